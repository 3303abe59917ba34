import type { Address, DomainName } from '@cofferdam/net';
import { type Reason, reasonEntry } from '@cofferdam/verdict';
import {
  type DnsMessage,
  type DnsName,
  type DnsQuery,
  type DnsRecord,
  dnsAnswer,
  dnsName,
  extendedErrorCode,
  recordClass,
  recordType,
  responseCode,
  rootName,
  sameName,
  withoutEchAndHints,
} from '@cofferdam/wire';

/** Seconds. What an agent is told lives a minute at most, so that a changed policy or address is noticed soon. */
export const longestTtl = 60;
export const answerTtl = (ttl: number): number => Math.min(Math.max(Math.floor(ttl), 5), longestTtl);

/** The name in an answer must be the question's own, in the case it was asked. */
const owned = (query: DnsQuery, type: number, ttl: number, data: DnsRecord['data']): DnsRecord => ({
  name: query.question.name,
  type,
  class: recordClass.IN,
  ttl,
  data,
});

export const addressAnswer = (query: DnsQuery, addresses: readonly Address[], ttl: number): DnsMessage =>
  dnsAnswer(query, {
    answers: addresses.map((address) => owned(query, query.question.type, ttl, { kind: 'address', address })),
  });

export const pointerAnswer = (query: DnsQuery, names: readonly DomainName[], ttl: number): DnsMessage =>
  dnsAnswer(query, {
    answers: names.flatMap((text) => {
      const name = dnsName(text);
      return name === undefined ? [] : [owned(query, recordType.PTR, ttl, { kind: 'name', name })];
    }),
  });

const mailbox: DnsName = dnsName('nobody.invalid') ?? rootName;

/**
 * No such name, or no such data. The SOA (RFC 2308) lets stub resolvers remember it for `ttl` seconds; it is one of our own
 * in the question's name, since the zone's would tell nothing that is true of a filtered answer.
 */
export const negativeAnswer = (query: DnsQuery, exists: boolean, ttl: number): DnsMessage =>
  dnsAnswer(query, {
    responseCode: exists ? responseCode.noError : responseCode.nameError,
    authorities: [
      owned(query, recordType.SOA, ttl, {
        kind: 'soa',
        primary: mailbox,
        mailbox,
        serial: 1,
        refresh: 3600,
        retry: 600,
        expire: 86_400,
        minimum: ttl,
      }),
    ],
  });

/** RFC 8914: 15 Blocked where policy refuses what was asked, 17 Filtered where it refuses how or how often. */
const filteredReasons: ReadonlySet<Reason> = new Set<Reason>(['dns-type', 'dns-budget', 'dns-rate']);

export const refusal = (query: DnsQuery, reason: Reason): DnsMessage =>
  dnsAnswer(query, {
    responseCode: responseCode.refused,
    extendedErrors: [
      {
        code: filteredReasons.has(reason) ? extendedErrorCode.filtered : extendedErrorCode.blocked,
        text: `cofferdam ${reason}: ${reasonEntry(reason).summary}`,
      },
    ],
  });

export const failure = (query: DnsQuery, text: string): DnsMessage =>
  dnsAnswer(query, {
    responseCode: responseCode.serverFailure,
    extendedErrors: [{ code: extendedErrorCode.other, text: `cofferdam ${text}` }],
  });

/**
 * A service binding that keeps clients on the question's name. Aliases and other targets are left out: a client would connect
 * to the address of a name other than the one it then claims. `ech` would hide that claim, hints are addresses nobody judged.
 */
const cleanedService = (record: DnsRecord): DnsRecord | undefined => {
  if (record.data.kind !== 'service') return undefined;
  const { binding } = record.data;
  const own = sameName(binding.target, rootName) || sameName(binding.target, record.name);
  const cleaned = binding.priority > 0 && own ? withoutEchAndHints(binding) : undefined;
  return cleaned && { ...record, data: { kind: 'service', binding: { ...cleaned, target: rootName } } };
};

/** Records as they came for the question's type, under the question's name, so that no alias behind it shows. */
export const passedRecords = (query: DnsQuery, records: readonly DnsRecord[], ttl: number): readonly DnsRecord[] => {
  const { type } = query.question;
  const services = type === recordType.HTTPS || type === recordType.SVCB;
  const kept = services ? records.flatMap((record) => cleanedService(record) ?? []) : records;
  return kept.map((record) => owned(query, type, ttl, record.data));
};

export const passedAnswer = (query: DnsQuery, records: readonly DnsRecord[]): DnsMessage =>
  dnsAnswer(query, { answers: records });

const codeNames: Readonly<Record<number, string>> = {
  0: 'NOERROR',
  1: 'FORMERR',
  2: 'SERVFAIL',
  3: 'NXDOMAIN',
  4: 'NOTIMP',
  5: 'REFUSED',
  16: 'BADVERS',
};

export const responseCodeText = (code: number): string => codeNames[code] ?? `RCODE${code}`;

const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(recordType).map(([text, number]) => [number, text]),
);

/** RFC 3597, section 5 for types without a name here. */
export const typeText = (type: number): string => typeNames.get(type) ?? `TYPE${type}`;
