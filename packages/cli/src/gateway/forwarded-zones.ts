import type { UpstreamServer } from '@cofferdam/gateway';
import { canonicalName, type DomainName, err, ok, parseAddress, quote, type Result } from '@cofferdam/net';

/** A zone whose names are asked of resolvers of its own. */
export interface ForwardedZone {
  readonly suffix: DomainName;
  readonly servers: readonly UpstreamServer[];
}

const dnsPort = 53;

/** `SUFFIX=IP` of `--forward`, given once for each resolver of a zone. */
export const parseForwards = (texts: readonly string[]): Result<readonly ForwardedZone[]> => {
  const zones = new Map<DomainName, UpstreamServer[]>();
  for (const text of texts) {
    const equals = text.indexOf('=');
    const name = canonicalName(text.slice(0, Math.max(equals, 0)).replace(/^\./, ''));
    const address = parseAddress(text.slice(equals + 1));
    if (equals < 1 || !name.ok || address === undefined)
      return err('forward', `${quote(text)} is no zone and resolver`, 'write `--forward internal.example=10.0.0.53`');
    zones.set(name.value, [...(zones.get(name.value) ?? []), { address, port: dnsPort }]);
  }
  return ok([...zones].map(([suffix, servers]) => ({ suffix, servers })));
};
