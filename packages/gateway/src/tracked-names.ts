import { type Address, type DomainName, err, ok, type Result } from '@cofferdam/net';
import { createTimetable } from './timetable.ts';
import {
  createTrackedIds,
  type StandingIds,
  type Told,
  type TrackedIdLimits,
  type TrackedIdTable,
  type TrackedName,
} from './tracked-ids.ts';

/** The kernel's part of it. */
export interface TrackedNameTable extends TrackedIdTable {
  /** From now on the address has these names for the holder. False: there is no room. */
  readonly track: (holder: bigint, address: Address, id: number) => boolean;
  readonly untrack: (holder: bigint, address: Address) => void;
  /** Where live flows of each holder go, as they wrote it. */
  readonly reached: () => Iterable<{ readonly holder: bigint; readonly address: Address }>;
}

export interface TrackedNameLimits extends TrackedIdLimits {
  /** Of an agent and in all: a pair is one name and one address that it was given for. */
  readonly pairs: number;
  readonly namesOfOne: number;
  readonly pairsOfOne: number;
  /** Names that one agent may have for one address. */
  readonly namesOfAddress: number;
}

export interface TrackedNameOptions {
  readonly table: TrackedNameTable;
  readonly limits: TrackedNameLimits;
  /** Milliseconds that clients may keep an address past its answer. */
  readonly grace: number;
  /** What stands for an agent over plans and restarts. */
  readonly holderOf: (agent: string) => bigint;
}

/** What the kernel still has from an earlier process. Each pair is kept as if it had just been told. */
export interface StandingTracked extends StandingIds {
  readonly tracked: readonly { readonly holder: bigint; readonly address: Address; readonly id: number }[];
  /** Milliseconds since the epoch: now, and when answers that were given until now have run out. */
  readonly at: number;
  readonly until: number;
}

export interface TrackedNames {
  /**
   * Remembers that an agent is given addresses for a name, for `ttl` seconds from `at` and the grace. When it returns the datapath knows;
   * where there is no room for all of them the agent must be given none.
   */
  readonly remember: (told: {
    readonly agent: string;
    readonly name: DomainName;
    readonly addresses: readonly Address[];
    readonly ttl: number;
    readonly at: number;
  }) => Result<void>;
  /** The names that this agent was given this address for. */
  readonly namesAt: (agent: string, address: Address) => readonly DomainName[];
  /** The names of an id; none: it is not known. */
  readonly namesOf: (id: number) => readonly DomainName[];
  /** Addresses were given for the name, and it was not forgotten since. */
  readonly has: (name: DomainName) => boolean;
  /** Somebody claims a name. False: it is not one of these. */
  readonly claim: (name: DomainName, at: number) => boolean;
  /** Forgets what ran out and what no flow holds. To be called now and then. */
  readonly tidy: (at: number) => void;
  /** All ids whose rows a plan must have. */
  readonly entries: () => IterableIterator<readonly [number, readonly DomainName[]]>;
  readonly size: () => {
    readonly names: number;
    readonly sets: number;
    readonly pairs: number;
    readonly addresses: number;
  };
}

/**
 * One agent is an eighth of what all share, as far as names go. The kernel has 262,144 places for addresses and as many for members of sets, and
 * 65,536 for rows of names, sets, and names that clients claimed.
 */
export const trackedNameLimits: TrackedNameLimits = {
  names: 32_768,
  sets: 8192,
  members: 262_144,
  pairs: 200_000,
  namesOfOne: 4096,
  pairsOfOne: 16_384,
  setsOfOne: 1024,
  membersOfOne: 32_768,
  namesOfAddress: 256,
};

interface Holder {
  readonly id: bigint;
  readonly places: Map<string, Place>;
  /** By how many of its addresses. */
  readonly names: Map<TrackedName, number>;
  pairs: number;
}

/** An address of one agent. */
interface Place {
  readonly holder: Holder;
  readonly address: Address;
  /** When each name of it runs out, grace included. */
  readonly names: Map<TrackedName, number>;
  told: Told | undefined;
}

/** Milliseconds that a pair may live longer than it has to. */
const precision = 10_000;
/** Milliseconds until it is asked again whether a flow lives. */
const askAgain = 60_000;
/** Addresses looked at in one go. */
const mostAtOnce = 4096;

const keyOf = ({ family, value }: Address): string => `${family} ${value}`;
const namesIn = (told: Told): readonly DomainName[] =>
  told.kind === 'name' ? [told.name] : told.members.map(({ name }) => name);

const over = (what: string, most: number): Result<never> =>
  err('tracked-quota', `the agent holds as many ${what} as it may`, `at most ${most} at once`);
const full = (): Result<never> => err('tracked-full', 'the gateway keeps no more addresses', 'ask for fewer at once');

/**
 * What each agent was told: for which names it was given an address. A pair of name and address is kept as long as its answer and the grace, and
 * as long as a flow of that agent to that address lives, so that what turns its addresses over never takes the ground of a connection away.
 */
export const createTrackedNames = (options: TrackedNameOptions, standing?: StandingTracked): TrackedNames => {
  const { table, limits, grace } = options;
  const ids = createTrackedIds(table, limits, standing ?? { names: [], sets: [] }, standing?.at ?? 0);
  const holders = new Map<bigint, Holder>();
  const due = createTimetable<Place>(precision);
  let pairs = 0;
  let addresses = 0;

  const holderFor = (id: bigint): Holder =>
    holders.get(id) ?? { id, places: new Map<string, Place>(), names: new Map<TrackedName, number>(), pairs: 0 };

  const addPair = ({ holder, names }: Place, name: TrackedName, until: number): void => {
    names.set(name, until);
    holder.names.set(name, (holder.names.get(name) ?? 0) + 1);
    holder.pairs += 1;
    pairs += 1;
  };

  const dropPair = ({ holder, names }: Place, name: TrackedName): void => {
    if (!names.delete(name)) return;
    const left = (holder.names.get(name) ?? 1) - 1;
    if (left === 0) holder.names.delete(name);
    else holder.names.set(name, left);
    holder.pairs -= 1;
    pairs -= 1;
  };

  const addPlace = (place: Place): void => {
    holders.set(place.holder.id, place.holder);
    place.holder.places.set(keyOf(place.address), place);
    addresses += 1;
  };

  const dropPlace = ({ holder, address }: Place): void => {
    holder.places.delete(keyOf(address));
    if (holder.places.size === 0) holders.delete(holder.id);
    addresses -= 1;
  };

  /** Has the address stand for these names. False: there is no room, and it stands for what it stood for. */
  const tell = (place: Place, told: Told, at: number): boolean => {
    const before = place.told;
    if (before === told) return true;
    if (!table.track(place.holder.id, place.address, told.id)) {
      ids.offer(told, at);
      return false;
    }
    ids.hold(told);
    place.told = told;
    if (before !== undefined) ids.release(before, at);
    return true;
  };

  /** Gives the name to the address. What stood for several addresses alike does so afterwards: `joined` remembers. */
  const join = (place: Place, name: TrackedName, at: number, joined: Map<Told, Told>): Result<void> => {
    const { told } = place;
    if (told === undefined) return tell(place, name, at) ? ok(undefined) : full();
    if (place.names.size >= limits.namesOfAddress) return over('names of one address', limits.namesOfAddress);
    let next = joined.get(told);
    if (next === undefined) {
      const made = ids.together([...place.names.keys(), name], place.holder.id);
      if (!made.ok) return made;
      next = made.value;
      joined.set(told, next);
    }
    return tell(place, next, at) ? ok(undefined) : full();
  };

  /** Lets go of the names that ran out. When to look again; undefined: none is left. */
  const expire = (place: Place, at: number, isReached: (place: Place) => boolean): number | undefined => {
    const { holder, address, names, told } = place;
    const gone = [...names].flatMap(([name, until]) => (until <= at ? [name] : []));
    if (gone.length > 0) {
      if (isReached(place)) return at + askAgain;
      const left = [...names.keys()].filter((name) => !gone.includes(name));
      if (left.length === 0) {
        table.untrack(holder.id, address);
        for (const name of gone) dropPair(place, name);
        dropPlace(place);
        if (told !== undefined) ids.release(told, at);
        return undefined;
      }
      const next = ids.together(left, undefined);
      // Without room for the smaller set the larger one stays, until there is.
      if (!next.ok || !tell(place, next.value, at)) return at + askAgain;
      for (const name of gone) dropPair(place, name);
    }
    return Math.min(...names.values());
  };

  const restore = ({ tracked, until }: StandingTracked): void => {
    for (const { holder: id, address, id: told } of tracked) {
      const found = ids.byId(told);
      if (found === undefined) {
        table.untrack(id, address);
        continue;
      }
      const place: Place = { holder: holderFor(id), address, names: new Map(), told: found };
      addPlace(place);
      ids.hold(found);
      for (const name of found.kind === 'name' ? [found] : found.members) addPair(place, name, until);
      due.put(place, until);
    }
  };
  if (standing !== undefined) restore(standing);

  const bound = (holder: Holder, name: DomainName, more: number): Result<void> => {
    const known = ids.named(name);
    const isNew = known === undefined || !holder.names.has(known);
    if (isNew && holder.names.size >= limits.namesOfOne) return over('names', limits.namesOfOne);
    if (holder.pairs + more > limits.pairsOfOne) return over('addresses', limits.pairsOfOne);
    return pairs + more > limits.pairs ? full() : ok(undefined);
  };

  return {
    remember({ agent, name, addresses: given, ttl, at }) {
      const holder = holderFor(options.holderOf(agent));
      const places = new Map<string, Place>(
        given.map((address) => {
          const key = keyOf(address);
          const fresh: Place = { holder, address, names: new Map(), told: undefined };
          return [key, holder.places.get(key) ?? fresh];
        }),
      );
      const known = ids.named(name);
      const lacks = (place: Place): boolean => known === undefined || !place.names.has(known);
      const bounded = bound(holder, name, [...places.values()].filter(lacks).length);
      if (!bounded.ok) return bounded;
      const named = ids.nameFor(name);
      if (!named.ok) return named;
      const until = at + ttl * 1000 + grace;
      const joined = new Map<Told, Told>();
      let outcome: Result<void> = ok(undefined);
      for (const place of places.values()) {
        const before = place.names.get(named.value);
        if (before !== undefined) {
          place.names.set(named.value, Math.max(before, until));
          continue;
        }
        const isNew = place.told === undefined;
        outcome = join(place, named.value, at, joined);
        if (!outcome.ok) break;
        if (isNew) addPlace(place);
        addPair(place, named.value, until);
        due.put(place, until);
      }
      ids.offer(named.value, at);
      return outcome;
    },
    namesAt(agent, address) {
      const told = holders.get(options.holderOf(agent))?.places.get(keyOf(address))?.told;
      return told === undefined ? [] : namesIn(told);
    },
    namesOf(id) {
      const told = ids.byId(id);
      return told === undefined ? [] : namesIn(told);
    },
    has: (name) => ids.named(name) !== undefined,
    claim: ids.claim,
    tidy(at) {
      const places = due.take(at, mostAtOnce);
      let reached: ReadonlySet<string> | undefined;
      const isReached = ({ holder, address }: Place): boolean => {
        reached ??= new Set([...table.reached()].map((one) => `${one.holder} ${keyOf(one.address)}`));
        return reached.has(`${holder.id} ${keyOf(address)}`);
      };
      for (const place of places) {
        const again = expire(place, at, isReached);
        if (again !== undefined) due.put(place, again);
      }
      ids.tidy(at);
    },
    *entries() {
      for (const told of ids.all()) yield [told.id, namesIn(told)];
    },
    size: () => ({ ...ids.size(), pairs, addresses }),
  };
};
