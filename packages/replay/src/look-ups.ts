import type { DnsRecord } from '@cofferdam/flows';
import { type Address, type DomainName, formatAddress } from '@cofferdam/net';

/** Addresses that names stood for, as the DNS records before tell; what the plan of the day left out of its answers is in none. */
export interface LookUps {
  readonly learn: (record: DnsRecord) => void;
  /** Undefined: no look-up of the name was recorded, or it was long ago. */
  readonly of: (name: DomainName) => readonly Address[] | undefined;
  /** Another number whenever `of` would say something else; 0 where it says nothing. */
  readonly stamp: (name: DomainName) => number;
}

interface Known {
  readonly addresses: Map<string, Address>;
  stamp: number;
}

/** Bounds, since agents choose what they ask for. The name that was looked up longest ago is forgotten first. */
const mostNames = 65_536;
const mostAddresses = 64;

export const createLookUps = (): LookUps => {
  const known = new Map<string, Known>();
  let stamps = 0;
  return {
    learn({ name, addresses }) {
      if (addresses.length === 0) return;
      const one = known.get(name) ?? { addresses: new Map<string, Address>(), stamp: 0 };
      known.delete(name);
      known.set(name, one);
      for (const address of addresses) {
        const text = formatAddress(address);
        if (one.addresses.has(text) || one.addresses.size >= mostAddresses) continue;
        one.addresses.set(text, address);
        one.stamp = ++stamps;
      }
      if (known.size > mostNames) known.delete(known.keys().next().value!);
    },
    of: (name) => {
      const found = known.get(name);
      return found === undefined ? undefined : [...found.addresses.values()];
    },
    stamp: (name) => known.get(name)?.stamp ?? 0,
  };
};
