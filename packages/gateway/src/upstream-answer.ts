import { type DnsMessage, type DnsName, type DnsRecord, recordType, responseCode, sameName } from '@cofferdam/wire';

/** What the world says of one name and type, with the chain of aliases already followed. */
export type UpstreamAnswer =
  /** At least one record. `ttl`: seconds, the least along the chain. */
  | { readonly kind: 'records'; readonly records: readonly DnsRecord[]; readonly ttl: number }
  /** The name is there without such records, or is not there. `ttl`: how long that may be believed. */
  | { readonly kind: 'nodata' | 'nxdomain'; readonly ttl: number }
  | { readonly kind: 'failed' };

/** RFC 1034 sets no limit; resolvers stop between 8 and 16. */
const longestChain = 12;

const negativeTtl = (message: DnsMessage): number => {
  for (const { ttl, data } of message.authorities) if (data.kind === 'soa') return Math.min(ttl, data.minimum);
  return 0;
};

/**
 * Reads a resolver's response to a question about `name`. Only records that the chain of aliases from `name` leads to
 * count; whatever else the answer section holds was not asked for. `failed`: ask another server.
 */
export const answerOf = (message: DnsMessage, name: DnsName, type: number): UpstreamAnswer => {
  if (message.responseCode === responseCode.nameError) return { kind: 'nxdomain', ttl: negativeTtl(message) };
  if (message.responseCode !== responseCode.noError) return { kind: 'failed' };
  let at = name;
  let ttl = Number.POSITIVE_INFINITY;
  for (let step = 0; step < longestChain; step++) {
    const here = message.answers.filter((record) => sameName(record.name, at));
    const wanted = here.filter((record) => record.type === type);
    if (wanted.length > 0) return { kind: 'records', records: wanted, ttl: Math.min(ttl, ...wanted.map((r) => r.ttl)) };
    const alias = here.find((record) => record.type === recordType.CNAME);
    if (alias === undefined || alias.data.kind !== 'name') return { kind: 'nodata', ttl: negativeTtl(message) };
    at = alias.data.name;
    ttl = Math.min(ttl, alias.ttl);
  }
  return { kind: 'failed' };
};
