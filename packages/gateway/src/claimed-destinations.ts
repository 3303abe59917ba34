import { type Address, addressesEqual, type DomainName } from '@cofferdam/net';
import { recordType } from '@cofferdam/wire';
import { staysHere } from './dns-decision.ts';
import type { Gate, GateAgent } from './gate.ts';
import { mayAsk } from './may-ask.ts';
import type { TunnelBudget } from './tunnel-budget.ts';
import type { UpstreamResolver } from './upstream-resolver.ts';

/** Where a claimed name leads. */
export type Led =
  /** No permit covers the name, and nobody was asked. */
  | { readonly kind: 'as-written' }
  /** At least one, in the order of dialling, whether or not policy permits it. */
  | { readonly kind: 'resolved'; readonly addresses: readonly Address[] }
  | { readonly kind: 'denied'; readonly reason: 'dns-budget' | 'dns-upstream' | 'dns-address-denied' };

/** Resolves a name that a client claims, on a connection to the address `written`. */
export type Follow = (gate: Gate, agent: GateAgent, name: DomainName, written: Address) => Promise<Led>;

export interface FollowOptions {
  readonly resolver: UpstreamResolver;
  /** The one of the DNS filter: a name that is claimed leaves the network as one that is asked for. */
  readonly budget: TunnelBudget;
  /** Whether there is an IPv6 route upstream. */
  readonly ipv6: boolean;
  readonly isPooled: (address: Address) => boolean;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Of each family: each that does not answer costs a time-out. */
const mostAddresses = 8;

/** Of the family that the agent dialled first; the others are a way all the same, since the proxy makes a connection of its own. */
export const inDialOrder = (addresses: readonly Address[], { family }: Address): readonly Address[] => [
  ...addresses.filter((one) => one.family === family),
  ...addresses.filter((one) => one.family !== family),
];

const inOrder = (addresses: readonly Address[], written: Address): readonly Address[] => {
  const others = addresses.filter((one) => !addressesEqual(one, written));
  const ofFamily = (family: 4 | 6): readonly Address[] =>
    others.filter((one) => one.family === family).slice(0, mostAddresses);
  const first = others.length < addresses.length ? [written] : [];
  return [...first, ...inDialOrder([...ofFamily(4), ...ofFamily(6)], written)];
};

export const createFollow = ({ resolver, budget, ipv6, isPooled, now }: FollowOptions): Follow => {
  const types = ipv6 ? [recordType.A, recordType.AAAA] : [recordType.A];
  return async (gate, agent, name, written) => {
    if (staysHere(name)) return { kind: 'as-written' };
    const at = now();
    const grant = gate.grantOf(agent, name, at);
    // What nothing but monitoring lets pass goes where it would go without a gateway.
    if (grant.kind === 'none' || grant.kind === 'lifted') return { kind: 'as-written' };
    if (!mayAsk(budget, agent, grant, name, at).ok) return { kind: 'denied', reason: 'dns-budget' };
    const answers = await Promise.all(types.map((type) => resolver.resolve(name, type)));
    const found = answers.flatMap((answer) =>
      answer.kind === 'records'
        ? answer.records.flatMap(({ data }) => (data.kind === 'address' ? [data.address] : []))
        : [],
    );
    if (found.length === 0) return { kind: 'denied', reason: 'dns-upstream' };
    const addresses = inOrder(
      found.filter((address) => !isPooled(address)),
      written,
    );
    return addresses.length === 0 ? { kind: 'denied', reason: 'dns-address-denied' } : { kind: 'resolved', addresses };
  };
};
