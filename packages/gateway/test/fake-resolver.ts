import { type Address, type DomainName, parseAddress } from '@cofferdam/net';
import { dnsName, recordClass, recordType } from '@cofferdam/wire';
import type { UpstreamAnswer, UpstreamResolver } from '../src/index.ts';

export interface FakeResolver extends UpstreamResolver {
  /** Addresses by name; `failed`: nobody answers. A name that is not here does not exist. May be changed. */
  readonly zone: Map<string, readonly string[] | 'failed'>;
  /** What was asked, as `name TYPE`. */
  readonly asked: string[];
}

const records = (name: DomainName, type: number, addresses: readonly Address[]): UpstreamAnswer => ({
  kind: 'records',
  ttl: 300,
  records: addresses.map((address) => ({
    name: dnsName(name)!,
    type,
    class: recordClass.IN,
    ttl: 300,
    data: { kind: 'address', address },
  })),
});

/** Answers from a table. */
export const fakeResolver = (zone: Readonly<Record<string, readonly string[] | 'failed'>>): FakeResolver => {
  const table = new Map(Object.entries(zone));
  const asked: string[] = [];
  return {
    zone: table,
    asked,
    async resolve(name, type) {
      asked.push(`${name} ${type === recordType.A ? 'A' : 'AAAA'}`);
      const found = table.get(name);
      if (found === 'failed') return { kind: 'failed' };
      if (found === undefined) return { kind: 'nxdomain', ttl: 60 };
      const family = type === recordType.A ? 4 : 6;
      const addresses = found.map((text) => parseAddress(text)!).filter((one) => one.family === family);
      return addresses.length === 0 ? { kind: 'nodata', ttl: 60 } : records(name, type, addresses);
    },
  };
};
