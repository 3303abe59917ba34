import type { AnyRecord, FlowRecord } from '@cofferdam/flows';
import { activeAt, agentOf, type Bitmap } from '@cofferdam/plan';
import { agentNamed } from './agent-named.ts';
import { createLookUps } from './look-ups.ts';
import { type ReplayPlan, replayFlow } from './replay-flow.ts';
import { replayQuery } from './replay-query.ts';
import type { Replayed } from './replayed.ts';

export interface ReplayOptions {
  /** The plan for records of this time: a plan knows its schedules only so far. The same object for the same plan. */
  readonly planAt: (at: number) => ReplayPlan;
  /** The interface on which these plans have the agent of a record; its own where nothing is said. */
  readonly interfaceOf?: (record: FlowRecord) => string;
  /** Called once for every flow, request, query and suppressed record. */
  readonly give: (record: AnyRecord, replayed: Replayed, plan: ReplayPlan) => void;
}

export interface Replay {
  /** Records in the order they were written. */
  readonly add: (record: AnyRecord) => void;
  /** Judges the flows that have not ended. */
  readonly finish: () => void;
  /** Flows that were judged by their start, since too many were open at once; one that ended later was counted twice. */
  readonly early: () => number;
}

/** A flow whose end has not come. */
interface Open {
  /** The record of its start; absent where none was written. */
  readonly start?: FlowRecord;
  /** Its requests are records of their own, which tell more. */
  requests: boolean;
}

const mostOpen = 32_768;
const mostRemembered = 32_768;

/**
 * Replays a changed policy over records, one after the other, in memory that does not grow with their number. A flow counts once, as it
 * ended; one that carried requests counts by these.
 */
export const createReplay = ({ planAt, interfaceOf, give }: ReplayOptions): Replay => {
  const lookUps = createLookUps();
  const open = new Map<string, Open>();
  /** By the rules that are in force. */
  const memories = new WeakMap<Bitmap, Map<string, Replayed>>();
  let early = 0;

  const memoryAt = ({ loaded }: ReplayPlan, at: number): Map<string, Replayed> => {
    const active = activeAt(loaded, at);
    const before = memories.get(active);
    if (before !== undefined && before.size < mostRemembered) return before;
    const made = new Map<string, Replayed>();
    memories.set(active, made);
    return made;
  };

  const judge = (record: FlowRecord): void => {
    const plan = planAt(record.start);
    const memory = memoryAt(plan, record.start);
    const [name] = record.addressNames;
    const key = keyOf(record, record.synthetic === undefined || name === undefined ? '' : lookUps.stamp(name));
    let replayed = memory.get(key);
    if (replayed === undefined) {
      replayed = replayFlow(plan, record, lookUps, interfaceOf?.(record));
      memory.set(key, replayed);
    }
    give(record, replayed, plan);
  };

  const forgetOldest = (): void => {
    const [key, oldest] = open.entries().next().value!;
    open.delete(key);
    if (oldest.start === undefined || oldest.requests) return;
    early++;
    judge(oldest.start);
  };

  const addFlow = (record: FlowRecord): void => {
    const key = `${record.gateway}\n${record.id}`;
    const before = open.get(key);
    if (record.end === undefined) {
      if (before === undefined) open.set(key, { start: record, requests: false });
      if (open.size > mostOpen) forgetOldest();
      return;
    }
    open.delete(key);
    if (before?.requests !== true) judge(record);
  };

  const addRequest = (record: FlowRecord): void => {
    if (record.flow !== undefined) {
      const key = `${record.gateway}\n${record.flow}`;
      const before = open.get(key);
      if (before === undefined) open.set(key, { requests: true });
      else before.requests = true;
      if (open.size > mostOpen) forgetOldest();
    }
    judge(record);
  };

  return {
    add(record) {
      switch (record.kind) {
        case 'flow':
          return addFlow(record);
        case 'request':
          return addRequest(record);
        case 'suppressed':
          return give(record, { kind: 'unknown', cause: 'suppressed', rule: 'default' }, planAt(record.start));
        case 'dns': {
          lookUps.learn(record);
          const plan = planAt(record.start);
          return give(record, replayQuery(plan, record, agentAt(plan, record)), plan);
        }
      }
    },
    finish() {
      for (const { start, requests } of open.values()) if (start !== undefined && !requests) judge(start);
      open.clear();
    },
    early: () => early,
  };
};

/** Queries tell no interface: their agent is known by its name, or where it has none by its address on any interface. */
const agentAt = ({ loaded }: ReplayPlan, { agent, source }: AnyRecord & { readonly kind: 'dns' }) =>
  agent.name === undefined ? agentOf(loaded, '', source.address) : agentNamed(loaded, agent.name, source.address);

/** Records with the same key are judged alike while the same rules are in force. `looked`: what is known of the name; empty where it has no part. */
const keyOf = (r: FlowRecord, looked: number | ''): string => {
  const claimed = r.claimedName.state === 'known' ? r.claimedName.value : r.claimedName.state;
  const request = r.request.state === 'known' ? JSON.stringify(r.request.value) : r.request.state;
  const mcp = r.mcp.state === 'known' ? JSON.stringify(r.mcp.value) : r.mcp.state;
  const { source, destination } = r;
  return `${r.interface} ${r.agent.name ?? ''} ${source.address.family} ${source.address.value} ${r.protocol} ${destination.address.family} ${destination.address.value} ${destination.port ?? ''} ${looked} ${r.addressNames.join()} ${r.tls.state} ${claimed} ${request} ${mcp} ${r.path} ${r.verdict} ${r.reason} ${r.stage}`;
};
