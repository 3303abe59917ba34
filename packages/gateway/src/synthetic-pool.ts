import {
  type Address,
  type DomainName,
  err,
  formatPrefix,
  literalPrefix,
  ok,
  type Prefix,
  prefixContains,
  type Result,
} from '@cofferdam/net';

/**
 * Addresses that stand for names. Slot `id` is one address of each family: the same place in both pools, so that a slot
 * is one small number to the kernel. A slot stands for exactly one name at a time, for all agents alike, and is given to
 * another name only when no answer and no flow can still mean the old one: a client with a stale address would otherwise
 * reach a name it never asked for.
 */
export interface PoolOptions {
  /** Its first 256 addresses are left out: the gateway's own live there. */
  readonly v4: Prefix;
  readonly v6: Prefix;
  /** How long after an answer ran out clients may still use it, milliseconds. Many keep addresses past their TTL. */
  readonly grace: number;
  /** Names that one agent may hold at once. */
  readonly quota: number;
  /** Whether a live flow is on this slot, or claims its name; asked before it is given to another name. */
  readonly inUse: (id: number) => boolean;
}

export interface Slot {
  readonly id: number;
  readonly name: DomainName;
  readonly v4: Address;
  readonly v6: Address;
}

/** JSON-able; survives a restart, so that running agents keep the addresses they were told. */
export interface PoolState {
  readonly version: 1;
  readonly v4: string;
  readonly v6: string;
  /** In the order of their last use. Leases are `[agent, until]`, milliseconds since the epoch, grace included. */
  readonly slots: readonly {
    readonly id: number;
    readonly name: string;
    readonly leases: readonly (readonly [string, number])[];
  }[];
}

export interface SyntheticPool {
  /** The slot of a name, made if there is none, and held for `agent` until `ttl` seconds from `at` and the grace. */
  readonly lease: (name: DomainName, agent: string, ttl: number, at: number) => Result<Slot>;
  /** The slot an address of either pool stands for now. */
  readonly at: (address: Address) => Slot | undefined;
  readonly ofName: (name: DomainName) => Slot | undefined;
  /** Whether an address lies in a pool, bound or not. */
  readonly contains: (address: Address) => boolean;
  readonly slots: () => readonly Slot[];
  readonly state: () => PoolState;
}

/** RFC 2544 benchmarking range, which nothing on the internet uses, and a ULA (RFC 4193) drawn once for Cofferdam. */
export const defaultPool: PoolOptions = {
  v4: literalPrefix('198.18.0.0/16'),
  v6: literalPrefix('fdc0:ffe7:da11:198::/64'),
  grace: 3_600_000,
  quota: 4096,
  inUse: () => false,
};

const reserved = 256n;
/** The kernel's name table has one row for each slot. */
const mostSlots = 65_536n - reserved;

interface Entry {
  readonly slot: Slot;
  readonly leases: Map<string, number>;
}

/** Whether an address lies in one of the two pools. */
export const poolHolds =
  ({ v4, v6 }: Pick<PoolOptions, 'v4' | 'v6'>) =>
  (address: Address): boolean =>
    prefixContains(address.family === 4 ? v4 : v6, address);

const sizeOf = (prefix: Prefix): bigint => 1n << BigInt((prefix.address.family === 4 ? 32 : 128) - prefix.length);

export const createSyntheticPool = (options: PoolOptions, restored?: PoolState): Result<SyntheticPool> => {
  const { v4, v6 } = options;
  if (v4.address.family !== 4 || v6.address.family !== 6 || sizeOf(v4) <= reserved || sizeOf(v6) <= reserved) {
    return err(
      'pool-size',
      'the synthetic pool is too small',
      'give an IPv4 prefix of at most /23 and an IPv6 prefix of at most /119',
    );
  }
  const usable = [sizeOf(v4) - reserved, sizeOf(v6) - reserved, mostSlots].reduce((a, b) => (b < a ? b : a));
  const capacity = Number(usable);

  /** By name, least recently leased first. */
  const entries = new Map<DomainName, Entry>();
  const byId = new Map<number, Entry>();
  const heldBy = new Map<string, Set<Entry>>();
  let fresh = 0;

  const slotOf = (id: number, name: DomainName): Slot => ({
    id,
    name,
    v4: { family: 4, value: v4.address.value + reserved + BigInt(id) },
    v6: { family: 6, value: v6.address.value + reserved + BigInt(id) },
  });

  const indexOf = (address: Address): bigint => address.value - (address.family === 4 ? v4 : v6).address.value;
  const contains = poolHolds(options);

  const put = (entry: Entry): void => {
    entries.set(entry.slot.name, entry);
    byId.set(entry.slot.id, entry);
  };

  const forgetLease = (entry: Entry, agent: string): void => {
    entry.leases.delete(agent);
    const held = heldBy.get(agent);
    held?.delete(entry);
    if (held?.size === 0) heldBy.delete(agent);
  };

  const expire = (entry: Entry, at: number): void => {
    for (const [agent, until] of entry.leases) if (until <= at) forgetLease(entry, agent);
  };

  /** A number never used before while there is one: the longer a slot rests, the fewer stale copies of it are about. */
  const take = (at: number): number | undefined => {
    if (fresh < capacity) {
      while (fresh < capacity && byId.has(fresh)) fresh += 1;
      if (fresh < capacity) return fresh++;
    }
    for (const entry of entries.values()) {
      expire(entry, at);
      // Entries stand in the order of their last lease, and leases are nearly equally long: behind one that still runs
      // none that ran out is worth the search, which an agent could otherwise make expensive at will.
      if (entry.leases.size > 0) return undefined;
      if (options.inUse(entry.slot.id)) continue;
      entries.delete(entry.slot.name);
      byId.delete(entry.slot.id);
      return entry.slot.id;
    }
    return undefined;
  };

  const overQuota = (agent: string, entry: Entry | undefined, at: number): boolean => {
    const held = heldBy.get(agent);
    if (held === undefined || held.size < options.quota || (entry && held.has(entry))) return false;
    for (const one of [...held]) expire(one, at);
    return (heldBy.get(agent)?.size ?? 0) >= options.quota;
  };

  const remember = (entry: Entry, agent: string, until: number): void => {
    entry.leases.set(agent, Math.max(until, entry.leases.get(agent) ?? 0));
    const held = heldBy.get(agent) ?? new Set<Entry>();
    heldBy.set(agent, held.add(entry));
  };

  if (restored !== undefined) {
    if (restored.version !== 1 || restored.v4 !== formatPrefix(v4) || restored.v6 !== formatPrefix(v6)) {
      return err(
        'pool-state',
        'the saved names belong to another pool',
        'keep the pool, or remove the saved state while no agent runs',
      );
    }
    for (const saved of restored.slots) {
      if (!Number.isInteger(saved.id) || saved.id < 0 || saved.id >= capacity || byId.has(saved.id)) {
        return err(
          'pool-state',
          `slot \`${saved.id}\` of the saved names is not valid`,
          'remove the saved state while no agent runs',
        );
      }
      const entry: Entry = { slot: slotOf(saved.id, saved.name as DomainName), leases: new Map() };
      for (const [agent, until] of saved.leases) remember(entry, agent, until);
      put(entry);
    }
  }

  return ok({
    lease: (name, agent, ttl, at) => {
      const known = entries.get(name);
      if (overQuota(agent, known, at)) {
        return err(
          'pool-quota',
          `agent \`${agent}\` holds as many names as it may`,
          `at most ${options.quota} at once`,
        );
      }
      const id = known?.slot.id ?? take(at);
      if (id === undefined) {
        return err('pool-full', 'every address of the synthetic pool is in use', 'give the gateway a larger pool');
      }
      const entry = known ?? { slot: slotOf(id, name), leases: new Map<string, number>() };
      entries.delete(name);
      put(entry);
      remember(entry, agent, at + ttl * 1000 + options.grace);
      return ok(entry.slot);
    },
    at: (address) => {
      if (!contains(address)) return undefined;
      return byId.get(Number(indexOf(address) - reserved))?.slot;
    },
    ofName: (name) => entries.get(name)?.slot,
    contains,
    slots: () => [...byId.values()].map((entry) => entry.slot),
    state: () => ({
      version: 1,
      v4: formatPrefix(v4),
      v6: formatPrefix(v6),
      slots: [...entries.values()].map(({ slot, leases }) => ({ id: slot.id, name: slot.name, leases: [...leases] })),
    }),
  });
};
