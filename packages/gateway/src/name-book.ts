import {
  type Address,
  addressesEqual,
  type DomainName,
  formatAddress,
  parseAddress,
  type Result,
} from '@cofferdam/net';
import type { NameClass } from '@cofferdam/plan';
import { createSyntheticPool, type PoolOptions, type PoolState, type Slot } from './synthetic-pool.ts';

/** One name with everything the datapath needs to carry its flows. */
export interface Binding {
  readonly id: number;
  readonly name: DomainName;
  readonly synthetic: { readonly v4: Address; readonly v6: Address };
  /** Real ones, at most 8 for each family, in the order of dialling. A family may have none. */
  readonly addresses: readonly Address[];
  readonly classes: NameClass;
}

/** Makes a binding so in the datapath before anybody is told of it. Called again with the same id it replaces. */
export interface NameInstaller {
  readonly install: (binding: Binding) => Promise<void>;
}

export interface NameBookOptions {
  readonly pool: PoolOptions;
  readonly installer: NameInstaller;
  /** What the plan in force says of a name. */
  readonly classesOf: (name: DomainName) => NameClass;
}

/** JSON-able. */
export interface NameBookState {
  readonly pool: PoolState;
  /** By slot. */
  readonly addresses: readonly (readonly [number, readonly string[]])[];
}

export interface NameBook {
  /**
   * Gives `name` an address for `agent`, with `addresses` (of one family) as the latest real ones, and resolves when the
   * datapath knows. `keep` says which of them may be used; those of the other family stay as they were.
   */
  readonly bind: (request: {
    readonly name: DomainName;
    readonly agent: string;
    readonly family: 4 | 6;
    readonly addresses: readonly Address[];
    readonly keep: (address: Address) => boolean;
    readonly ttl: number;
    readonly at: number;
  }) => Promise<Result<Slot>>;
  /** The binding an address of the pool stands for. Undefined: it stands for nothing. */
  readonly at: (address: Address) => Binding | undefined;
  readonly contains: (address: Address) => boolean;
  /** All of them, with the classes of the plan in force: what the datapath is given after a start and for a new plan. */
  readonly bindings: () => readonly Binding[];
  readonly state: () => NameBookState;
}

const mostAddresses = 8;

const restoredAddresses = (state: NameBookState | undefined): Map<number, readonly Address[]> =>
  new Map((state?.addresses ?? []).map(([id, texts]) => [id, texts.flatMap((text) => parseAddress(text) ?? [])]));

/**
 * The addresses of a new answer, those that were there before in their old places: resolvers turn the order of answers, and each
 * place that changes is one in which a flow could be judged by one address and sent to another.
 */
const inTheirPlaces = (before: readonly Address[], after: readonly Address[]): readonly Address[] => {
  const has = (list: readonly Address[], address: Address): boolean => list.some((one) => addressesEqual(one, address));
  const fresh = after.filter((address) => !has(before, address));
  const placed = before.slice(0, after.length).map((address) => (has(after, address) ? address : undefined));
  const moved = before.slice(after.length).filter((address) => has(after, address));
  const rest = [...moved, ...fresh];
  return [...placed.map((address) => address ?? rest.shift()!), ...rest];
};

export const createNameBook = (options: NameBookOptions, state?: NameBookState): Result<NameBook> => {
  const made = createSyntheticPool(options.pool, state?.pool);
  if (!made.ok) return made;
  const pool = made.value;
  const real = restoredAddresses(state);
  /** The name each slot's addresses belong to, so that a slot that changed hands starts empty. */
  const owners = new Map<number, DomainName>(pool.slots().map((slot) => [slot.id, slot.name]));
  /** Installs of one slot happen one after the other, so that the last one stands. */
  const installing = new Map<number, Promise<void>>();

  const bindingOf = (slot: Slot): Binding => ({
    id: slot.id,
    name: slot.name,
    synthetic: { v4: slot.v4, v6: slot.v6 },
    addresses: real.get(slot.id) ?? [],
    classes: options.classesOf(slot.name),
  });

  const install = (slot: Slot): Promise<void> => {
    const before = installing.get(slot.id) ?? Promise.resolve();
    const after = before
      // An earlier failure was told to whoever waited for it, and is no reason not to try again.
      .catch(() => undefined)
      .then(() => options.installer.install(bindingOf(slot)));
    installing.set(slot.id, after);
    const forget = (): void => {
      if (installing.get(slot.id) === after) installing.delete(slot.id);
    };
    after.then(forget, forget);
    return after;
  };

  return {
    ok: true,
    value: {
      bind: async ({ name, agent, family, addresses, keep, ttl, at }) => {
        const leased = pool.lease(name, agent, ttl, at);
        if (!leased.ok) return leased;
        const slot = leased.value;
        if (owners.get(slot.id) !== name) real.delete(slot.id);
        owners.set(slot.id, name);
        const before = real.get(slot.id) ?? [];
        // What another agent may use stays while the name still has it: the walk at each flow's first packet judges who may.
        const still = (address: Address): boolean => before.some((one) => addressesEqual(one, address));
        const usable = addresses.filter((address) => keep(address) || still(address)).slice(0, mostAddresses);
        const latest = inTheirPlaces(
          before.filter((address) => address.family === family),
          usable,
        );
        const other = before.filter((address) => address.family !== family);
        real.set(slot.id, family === 4 ? [...latest, ...other] : [...other, ...latest]);
        await install(slot);
        return leased;
      },
      at: (address) => {
        const slot = pool.at(address);
        return slot && bindingOf(slot);
      },
      contains: pool.contains,
      bindings: () => pool.slots().map(bindingOf),
      state: () => ({
        pool: pool.state(),
        addresses: [...real].map(([id, list]) => [id, list.map(formatAddress)]),
      }),
    },
  };
};
