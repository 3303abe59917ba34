import { firstClaimedId, firstSetId, firstTrackedId } from '@cofferdam/datapath';
import { type DomainName, err, ok, type Result } from '@cofferdam/net';
import { createTimetable } from './timetable.ts';

/** The kernel's part of it: names that clients find, rows by id, and who belongs to a set. False: there is no room. */
export interface TrackedIdTable {
  /** Makes a name and what the rules say of it known under an id. */
  readonly classify: (id: number, name: DomainName) => boolean;
  /** Who claims the name from now on misses it. */
  readonly unclaim: (id: number, name: DomainName) => void;
  /** Forgets what the rules say of it. No live flow may hold the id. */
  readonly unclassify: (id: number) => void;
  readonly installSet: (id: number, members: readonly TrackedName[]) => boolean;
  /** No live flow may hold the id. */
  readonly removeSet: (id: number, members: readonly number[]) => void;
  /** Ids that live flows hold, of names and of sets. */
  readonly held: () => ReadonlySet<number>;
}

/** A name that addresses were given for. */
export interface TrackedName {
  readonly kind: 'name';
  readonly id: number;
  readonly name: DomainName;
}

/** At least two names that one address was given for, by rising id. */
export interface TrackedSet {
  readonly kind: 'set';
  readonly id: number;
  readonly members: readonly TrackedName[];
}

/** What an address was given for, under one id. */
export type Told = TrackedName | TrackedSet;

export interface TrackedIdLimits {
  readonly names: number;
  readonly sets: number;
  /** Of all sets together. */
  readonly members: number;
  /** The same of the sets that one agent was the first to need, until they are forgotten. */
  readonly setsOfOne: number;
  readonly membersOfOne: number;
}

export interface TrackedIds {
  readonly named: (name: DomainName) => TrackedName | undefined;
  readonly byId: (id: number) => Told | undefined;
  /** The id of a name, made if there is none; {@link hold} it, or {@link offer} it back. */
  readonly nameFor: (name: DomainName) => Result<TrackedName>;
  /** The one id of these names together, made if there is none. `maker`: who is charged for a new set; undefined: nobody. */
  readonly together: (names: readonly TrackedName[], maker: bigint | undefined) => Result<Told>;
  /** One more stands for it. */
  readonly hold: (told: Told) => void;
  /** One less does. */
  readonly release: (told: Told, at: number) => void;
  /** Lets go of what nothing stands for. */
  readonly offer: (told: Told, at: number) => void;
  /** Somebody claims it: true where it is one of these, which then can be found. */
  readonly claim: (name: DomainName, at: number) => boolean;
  /** What nothing stands for is forgotten in the kernel, in its steps. To be called now and then. */
  readonly tidy: (at: number) => void;
  /** All whose rows a plan must have, those on their way out too. */
  readonly all: () => IterableIterator<Told>;
  readonly size: () => { readonly names: number; readonly sets: number };
}

/** What the kernel has from an earlier process. */
export interface StandingIds {
  readonly names: readonly { readonly id: number; readonly name: DomainName }[];
  readonly sets: readonly { readonly id: number; readonly members: readonly number[] }[];
}

/** Milliseconds in which every packet is through that has read an id. */
const packetsPass = 1000;
/** Milliseconds until it is asked again whether flows hold an id. */
const askAgain = 60_000;
/** Milliseconds. */
const precision = 1000;
/** Looked at in one go. */
const mostAtOnce = 4096;

/** Numbers from `first` on, behind those that are taken; from the beginning again at `end`, and then without those in use. */
const createNumbers = (
  first: number,
  end: number,
  taken: readonly { readonly id: number }[],
  used: (id: number) => boolean,
): (() => number) => {
  const start = taken.reduce((next, { id }) => Math.max(next, id + 1), first);
  let next = start < end ? start : first;
  const forward = (id: number): number => (id + 1 < end ? id + 1 : first);
  return () => {
    while (used(next)) next = forward(next);
    const id = next;
    next = forward(next);
    return id;
  };
};

const keyOf = (members: readonly TrackedName[]): string => members.map(({ id }) => id).join();

interface Use {
  /** Addresses of agents and, of a name, sets. */
  count: number;
  /** The next step is not taken before. */
  rests: number;
  /** The kernel does not find the name any more. */
  unclaimed: boolean;
  readonly maker: bigint | undefined;
}

const full = (what: string): Result<never> =>
  err('tracked-full', `the gateway keeps no more ${what}`, 'ask for fewer names at once');

/**
 * Ids of names and of sets of names. Equal sets have one id, and a set of one name has the name's.
 *
 * A flow keeps the id it began with, and is judged by it anew with each plan: so nothing that a live flow holds is forgotten, and an id goes in
 * steps, as that of a claimed name does. First nothing leads to it: no address of an agent, and of a name no claim either. A packet that has read
 * it at that moment is through by the next step, and its flow is seen. Then, where no flow holds the id, its rows go. A set holds its members, since
 * a claimed name is looked for among them. Numbers run through their whole range before one is used again.
 */
export const createTrackedIds = (
  table: TrackedIdTable,
  limits: TrackedIdLimits,
  standing: StandingIds,
  at: number,
): TrackedIds => {
  const ids = new Map<number, Told>();
  const names = new Map<DomainName, TrackedName>();
  const sets = new Map<string, TrackedSet>();
  const uses = new Map<Told, Use>();
  const made = new Map<bigint, { sets: number; members: number }>();
  let members = 0;
  const loose = createTimetable<Told>(precision);

  const useOf = (told: Told): Use => {
    const use = uses.get(told);
    if (use === undefined) throw new Error(`${told.kind} ${told.id} was forgotten`);
    return use;
  };

  const keep = (told: Told, maker?: bigint): void => {
    ids.set(told.id, told);
    uses.set(told, { count: 0, rests: 0, unclaimed: false, maker });
    if (told.kind === 'name') {
      names.set(told.name, told);
      return;
    }
    sets.set(keyOf(told.members), told);
    members += told.members.length;
    for (const one of told.members) hold(one);
    if (maker === undefined) return;
    const before = made.get(maker) ?? { sets: 0, members: 0 };
    made.set(maker, { sets: before.sets + 1, members: before.members + told.members.length });
  };

  const uncharge = (maker: bigint, count: number): void => {
    const before = made.get(maker);
    if (before === undefined || before.sets === 1) made.delete(maker);
    else made.set(maker, { sets: before.sets - 1, members: before.members - count });
  };

  const forget = (told: Told, now: number): void => {
    const { maker } = useOf(told);
    ids.delete(told.id);
    uses.delete(told);
    if (told.kind === 'name') {
      names.delete(told.name);
      table.unclassify(told.id);
      return;
    }
    sets.delete(keyOf(told.members));
    members -= told.members.length;
    if (maker !== undefined) uncharge(maker, told.members.length);
    table.removeSet(
      told.id,
      told.members.map(({ id }) => id),
    );
    for (const one of told.members) release(one, now);
  };

  const rest = (told: Told, until: number): void => {
    const use = useOf(told);
    use.rests = Math.max(use.rests, until);
    loose.put(told, use.rests);
  };

  const offer = (told: Told, now: number): void => {
    if (useOf(told).count === 0) rest(told, now + packetsPass);
  };

  const hold = (told: Told): void => {
    useOf(told).count += 1;
  };

  const release = (told: Told, now: number): void => {
    useOf(told).count -= 1;
    offer(told, now);
  };

  /** Makes a name that was on its way out findable again. False: there is no room. */
  const restore = (name: TrackedName): boolean => {
    const use = useOf(name);
    if (use.unclaimed && table.classify(name.id, name.name)) use.unclaimed = false;
    return !use.unclaimed;
  };

  /** The next step of what nothing stands for. */
  const step = (told: Told, now: number, held: () => ReadonlySet<number>): void => {
    const use = uses.get(told);
    if (use === undefined || use.count > 0) return;
    if (now < use.rests) {
      loose.put(told, use.rests);
    } else if (held().has(told.id)) {
      if (told.kind === 'name') restore(told);
      rest(told, now + askAgain);
    } else if (told.kind === 'set' || use.unclaimed) {
      forget(told, now);
    } else {
      use.unclaimed = true;
      table.unclaim(told.id, told.name);
      rest(told, now + packetsPass);
    }
  };

  const inUse = (id: number): boolean => ids.has(id);
  const nextName = createNumbers(firstTrackedId, firstSetId, standing.names, inUse);
  const nextSet = createNumbers(firstSetId, firstClaimedId, standing.sets, inUse);

  const setOver = (count: number, maker: bigint | undefined): boolean => {
    if (sets.size >= limits.sets || members + count > limits.members) return true;
    const own = maker === undefined ? undefined : made.get(maker);
    return own !== undefined && (own.sets >= limits.setsOfOne || own.members + count > limits.membersOfOne);
  };

  for (const { id, name } of standing.names) keep({ kind: 'name', id, name });
  for (const { id, members: list } of standing.sets) {
    const found = list.flatMap((member) => {
      const told = ids.get(member);
      return told?.kind === 'name' ? [told] : [];
    });
    const sorted = found.sort((a, b) => a.id - b.id);
    // What was half made or half removed when the earlier process ended.
    if (found.length < list.length || found.length < 2 || sets.has(keyOf(sorted))) table.removeSet(id, list);
    else keep({ kind: 'set', id, members: sorted });
  }
  for (const told of ids.values()) offer(told, at);

  return {
    named: (name) => names.get(name),
    byId: (id) => ids.get(id),
    nameFor(name) {
      const before = names.get(name);
      if (before !== undefined) return restore(before) ? ok(before) : full('names');
      if (names.size >= limits.names) return full('names');
      const fresh: TrackedName = { kind: 'name', id: nextName(), name };
      if (!table.classify(fresh.id, name)) {
        // What was put into one of its tables before another was full.
        table.unclaim(fresh.id, name);
        table.unclassify(fresh.id);
        return full('names');
      }
      keep(fresh);
      return ok(fresh);
    },
    together(list, maker) {
      const sorted = [...list].sort((a, b) => a.id - b.id);
      const [first] = sorted;
      if (first !== undefined && sorted.length === 1) return ok(first);
      const before = sets.get(keyOf(sorted));
      if (before !== undefined) return ok(before);
      if (setOver(sorted.length, maker)) return full('names of one address');
      const fresh: TrackedSet = { kind: 'set', id: nextSet(), members: sorted };
      if (!table.installSet(fresh.id, sorted)) {
        table.removeSet(
          fresh.id,
          sorted.map(({ id }) => id),
        );
        return full('names of one address');
      }
      keep(fresh, maker);
      return ok(fresh);
    },
    hold,
    release,
    offer,
    claim(name, now) {
      const tracked = names.get(name);
      if (tracked === undefined) return false;
      restore(tracked);
      // Its client sends the claim again, later each time.
      if (useOf(tracked).count === 0) rest(tracked, now + askAgain);
      return true;
    },
    tidy(now) {
      const due = loose.take(now, mostAtOnce);
      if (due.length === 0) return;
      let held: ReadonlySet<number> | undefined;
      const once = (): ReadonlySet<number> => {
        held ??= table.held();
        return held;
      };
      for (const told of due) step(told, now, once);
    },
    all: () => ids.values(),
    size: () => ({ names: names.size, sets: sets.size }),
  };
};
