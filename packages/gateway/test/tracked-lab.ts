import assert from 'node:assert/strict';
import { holderOf } from '@cofferdam/datapath';
import { type Address, formatAddress } from '@cofferdam/net';
import {
  createTrackedNames,
  type StandingTracked,
  type TrackedNameLimits,
  type TrackedNames,
  type TrackedNameTable,
  trackedNameLimits,
} from '../src/tracked-names.ts';
import { address, name } from './fakes.ts';

interface Flow {
  readonly holder: bigint;
  readonly address: Address;
  /** What its destination was called when it began. */
  readonly called: number;
  claimed: number;
}

/**
 * The tables of the kernel, and flows that hold what they found there when they began, as its program does. Each change is looked at: what a flow,
 * an address or a set still leads to is never taken away, and an id that is held is never another's.
 */
export const trackedKernel = (rooms = { rows: Number.POSITIVE_INFINITY, tracked: Number.POSITIVE_INFINITY }) => {
  const ids = new Map<string, number>();
  const rows = new Map<number, string>();
  const sets = new Map<number, readonly number[]>();
  const tracked = new Map<string, { readonly holder: bigint; readonly address: Address; readonly id: number }>();
  const flows = new Map<string, Flow>();
  const calls = { total: 0, held: 0, reached: 0 };
  const failing = { track: false };
  const keyOf = (holder: bigint, one: Address): string => `${holder} ${formatAddress(one)}`;
  const heldBy = (id: number): boolean => [...flows.values()].some((flow) => flow.called === id || flow.claimed === id);
  const leadsTo = (id: number): boolean => [...tracked.values()].some((one) => one.id === id);

  const table: TrackedNameTable = {
    classify(id, one) {
      calls.total += 1;
      assert.ok(id >= 0x10000000 && id < 0x20000000);
      assert.ok(!rows.has(id) || rows.get(id) === one, 'an id stands for one name');
      if (!rows.has(id) && rows.size >= rooms.rows) return false;
      rows.set(id, one);
      ids.set(one, id);
      return true;
    },
    unclaim(id, one) {
      calls.total += 1;
      if (ids.get(one) === id) ids.delete(one);
    },
    unclassify(id) {
      calls.total += 1;
      assert.ok(!heldBy(id), 'a live flow lost what it is judged by');
      assert.ok(!leadsTo(id), 'an address leads to a name that is gone');
      assert.ok(![...sets.values()].some((members) => members.includes(id)), 'a set lost a member');
      rows.delete(id);
    },
    installSet(id, members) {
      calls.total += 1 + members.length;
      assert.ok(id >= 0x20000000 && id < 0x40000000);
      assert.ok(!rows.has(id), 'a set never changes');
      assert.ok(members.length > 1 && members.every((member) => rows.has(member.id)));
      if (rows.size >= rooms.rows) return false;
      rows.set(id, members.map((member) => member.name).join());
      sets.set(
        id,
        members.map((member) => member.id),
      );
      return true;
    },
    removeSet(id) {
      calls.total += 1;
      assert.ok(!heldBy(id), 'a live flow lost the names it is judged by');
      assert.ok(!leadsTo(id), 'an address leads to a set that is gone');
      rows.delete(id);
      sets.delete(id);
    },
    track(holder, one, id) {
      calls.total += 1;
      assert.ok(rows.has(id), 'an address leads to what is not there');
      const key = keyOf(holder, one);
      if (failing.track) return false;
      if (!tracked.has(key) && tracked.size >= rooms.tracked) return false;
      tracked.set(key, { holder, address: one, id });
      return true;
    },
    untrack(holder, one) {
      calls.total += 1;
      tracked.delete(keyOf(holder, one));
    },
    held() {
      calls.held += 1;
      return new Set([...flows.values()].flatMap(({ called, claimed }) => [called, claimed]));
    },
    reached() {
      calls.reached += 1;
      return flows.values();
    },
  };

  return {
    table,
    rows,
    sets,
    tracked,
    flows,
    calls,
    failing,
    ids,
    /** A first packet. False: no answer gave this agent the address. */
    begin(flow: string, agent: string, text: string): boolean {
      const to = address(text);
      const holder = holderOf(agent);
      const called = tracked.get(keyOf(holder, to))?.id ?? 0;
      if (called !== 0) flows.set(flow, { holder, address: to, called, claimed: 0 });
      return called !== 0;
    },
    /** The client claims a name: whether it is one that the address was given for when the flow began. `miss`: nobody knows it. */
    claim(flow: string, claimed: string): boolean | 'miss' {
      const one = flows.get(flow)!;
      const id = ids.get(claimed);
      if (id === undefined) return 'miss';
      one.claimed = id;
      return one.called === id || (sets.get(one.called)?.includes(id) ?? false);
    },
    namesOf: (flow: string): readonly string[] => (rows.get(flows.get(flow)!.called) ?? '').split(','),
    standing: (at: number, until: number): StandingTracked => ({
      names: [...rows].flatMap(([id, text]) => (id < 0x20000000 ? [{ id, name: name(text) }] : [])),
      sets: [...sets].map(([id, members]) => ({ id, members })),
      tracked: [...tracked.values()],
      at,
      until,
    }),
  };
};

export type TrackedKernel = ReturnType<typeof trackedKernel>;

export const hour = 3_600_000;

export const trackedNames = (
  kernel: TrackedKernel,
  limits: Partial<TrackedNameLimits> = {},
  standing?: StandingTracked,
): TrackedNames =>
  createTrackedNames(
    { table: kernel.table, limits: { ...trackedNameLimits, ...limits }, grace: hour, holderOf },
    standing,
  );

/** Gives an agent addresses for a name, with a TTL of a minute. What went wrong, or `ok`. */
export const give = (
  names: TrackedNames,
  agent: string,
  text: string,
  addresses: readonly string[],
  at = 0,
  ttl = 60,
): string => {
  const told = names.remember({ agent, name: name(text), addresses: addresses.map(address), ttl, at });
  return told.ok ? 'ok' : told.error.code;
};

/** Looks once a second from `from` to `to`, as the gateway does. */
export const tidyFor = (names: TrackedNames, from: number, to: number, every = 1000): void => {
  for (let at = from; at <= to; at += every) names.tidy(at);
};
