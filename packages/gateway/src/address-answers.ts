import { type Address, type DomainName, type Family, ok, type Result } from '@cofferdam/net';
import type { GateAgent } from './gate.ts';
import type { NameBook } from './name-book.ts';
import type { TrackedNames } from './tracked-names.ts';

/** What resolvers say of a permitted name, for an agent that asked for its addresses. */
export interface FoundAddresses {
  readonly name: DomainName;
  readonly agent: GateAgent;
  /** Of the addresses that were asked for by the agent, and of those that were found. */
  readonly wanted: Family;
  readonly family: Family;
  readonly addresses: readonly Address[];
  /** Whether policy lets the agent use one of them for this name. It does, of one at least. */
  readonly keep: (address: Address) => boolean;
  /** Seconds that the answer lives. */
  readonly ttl: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface GivenAddresses {
  /** Those the agent is told. */
  readonly told: readonly Address[];
  /** Of them, the synthetic ones. */
  readonly synthetic: readonly Address[];
  /** Real ones that it may reach by them. */
  readonly addresses: readonly Address[];
}

/** How permitted questions for addresses are answered: what tells the DNS modes apart in the filter. */
export interface AddressAnswers {
  /** Of which families resolvers are asked, in order, until one has addresses. */
  readonly families: (agent: GateAgent, wanted: Family) => readonly Family[];
  /** The name that an address of the pool stands for now. */
  readonly nameOf: (address: Address) => DomainName | undefined;
  /** Whether an address lies in the pool: whoever runs a permitted zone could otherwise point it at another name's. */
  readonly isPooled: (address: Address) => boolean;
  /** Resolves when the datapath knows what the agent is about to be told. An error: it must not be told anything. */
  readonly give: (found: FoundAddresses) => Promise<Result<GivenAddresses>>;
}

/** More than any name needs, and few enough for one agent's quota to hold a hundred such answers. */
const mostTold = 64;

const real = ({ addresses, keep }: FoundAddresses): GivenAddresses => {
  const each = new Map(addresses.filter(keep).map((address) => [`${address.value}`, address]));
  const told = [...each.values()].slice(0, mostTold);
  return { told, synthetic: [], addresses: told };
};

/** The address of the pool that stands for the name. An agent that has only one family reaches the other by the proxy. */
export const syntheticAnswers = (book: Pick<NameBook, 'at' | 'contains' | 'bind'>): AddressAnswers => ({
  families: ({ families }, wanted) => {
    const other = wanted === 4 ? 6 : 4;
    return families.has(other) ? [wanted] : [wanted, other];
  },
  nameOf: (address) => book.at(address)?.name,
  isPooled: book.contains,
  give: async (found) => {
    const bound = await book.bind({ ...found, agent: found.agent.name });
    if (!bound.ok) return bound;
    const synthetic = [found.wanted === 4 ? bound.value.v4 : bound.value.v6];
    return ok({ told: synthetic, synthetic, addresses: found.addresses.filter(found.keep) });
  },
});

const unsynthesised = (isPooled: (address: Address) => boolean): Omit<AddressAnswers, 'give'> => ({
  families: (_agent, wanted) => [wanted],
  nameOf: () => undefined,
  isPooled,
});

/** The real addresses, each remembered for the agent and the name before it is told. */
export const trackedAnswers = (
  tracked: Pick<TrackedNames, 'remember'>,
  isPooled: (address: Address) => boolean,
): AddressAnswers => ({
  ...unsynthesised(isPooled),
  give: async (found) => {
    const given = real(found);
    const remembered = tracked.remember({ ...found, agent: found.agent.name, addresses: given.told });
    return remembered.ok ? ok(given) : remembered;
  },
});

/** The real addresses, and nothing is remembered: what counts is the name that the client claims. */
export const ownAnswers = (isPooled: (address: Address) => boolean): AddressAnswers => ({
  ...unsynthesised(isPooled),
  give: async (found) => ok(real(found)),
});
