import {
  type AnyRecord,
  agentText,
  deciderText,
  destinationText,
  type RuleReference,
  ruleText,
} from '@cofferdam/flows';
import type { Plan } from '@cofferdam/plan';
import type { Reason, RuleIndex } from '@cofferdam/verdict';
import { type Cause, type Change, changeOf, type Replayed } from './replayed.ts';

/** Records of one agent to one destination that change, or cannot be told, alike. */
export interface ChangeRow {
  readonly change: Exclude<Change, 'same'>;
  readonly agent: string;
  readonly kind: AnyRecord['kind'];
  readonly destination: string;
  /** `ruleset/rule`, `default` or empty: what decided on the day. */
  readonly before: string;
  /** What would decide, or would need to know. */
  readonly after: string;
  /** Of what is decided. */
  readonly reason?: Reason;
  /** Of what is not known. */
  readonly cause?: Cause;
  readonly count: number;
  /** The first of them. */
  readonly example: AnyRecord;
}

/** What one rule, or the default, would decide. */
export interface RuleCount {
  /** Absent: the default. */
  readonly rule?: RuleReference;
  readonly permitted: number;
  readonly denied: number;
  readonly newlyPermitted: number;
  readonly newlyDenied: number;
  /** Where it is what needs to know. */
  readonly unknown: number;
}

export type Counts = Readonly<Record<Change, number>>;

export interface Tally {
  readonly add: (record: AnyRecord, replayed: Replayed, plan: Plan) => void;
  readonly counts: () => Counts;
  /** Most frequent first. */
  readonly rows: () => readonly ChangeRow[];
  /** Records that change and have no row: there were too many different ones. */
  readonly withoutRow: () => number;
  /** In the order of the walk, the default last; those that decide nothing are left out. */
  readonly rules: () => readonly RuleCount[];
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Rows that are kept: a bound, since agents choose where they connect to. */
const mostRows = 20_000;

export const referenceOf = ({ rules }: Plan, index: RuleIndex): RuleReference | undefined => {
  const found = index === 'default' ? undefined : rules[index];
  if (found === undefined || index === 'default') return undefined;
  const { id, name, ruleset, tier } = found;
  return { index, ...(id === undefined ? {} : { id }), name, ruleset, tier };
};

export const createTally = (): Tally => {
  const counts = { same: 0, 'newly-denied': 0, 'newly-permitted': 0, unknown: 0 };
  const rows = new Map<string, Writable<ChangeRow>>();
  const rules = new Map<RuleIndex, Writable<RuleCount>>();
  let withoutRow = 0;

  const countRule = (replayed: Replayed, change: Change, many: number, plan: Plan): void => {
    let one = rules.get(replayed.rule);
    if (one === undefined) {
      const rule = referenceOf(plan, replayed.rule);
      one = { ...(rule && { rule }), permitted: 0, denied: 0, newlyPermitted: 0, newlyDenied: 0, unknown: 0 };
      rules.set(replayed.rule, one);
    }
    if (replayed.kind === 'unknown') one.unknown += many;
    else one[replayed.verdict === 'permit' ? 'permitted' : 'denied'] += many;
    if (change === 'newly-permitted') one.newlyPermitted += many;
    if (change === 'newly-denied') one.newlyDenied += many;
  };

  const countRow = (
    record: AnyRecord,
    change: ChangeRow['change'],
    replayed: Replayed,
    many: number,
    plan: Plan,
  ): void => {
    const after = ruleText(referenceOf(plan, replayed.rule));
    const because = replayed.kind === 'unknown' ? { cause: replayed.cause } : { reason: replayed.reason };
    const place = {
      change,
      agent: agentText(record),
      kind: record.kind,
      destination: record.kind === 'suppressed' ? '(not recorded)' : destinationText(record),
      before: deciderText(record),
      after,
      ...because,
    };
    const key = JSON.stringify(Object.values(place));
    const row = rows.get(key);
    if (row !== undefined) row.count += many;
    else if (rows.size < mostRows) rows.set(key, { ...place, count: many, example: record });
    else withoutRow += many;
  };

  return {
    add(record, replayed, plan) {
      const many = record.kind === 'suppressed' ? record.count : 1;
      const change = changeOf(record.verdict, replayed);
      counts[change] += many;
      countRule(replayed, change, many, plan);
      if (change !== 'same') countRow(record, change, replayed, many, plan);
    },
    counts: () => counts,
    rows: () =>
      [...rows.values()].sort(
        (a, b) => b.count - a.count || (a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0),
      ),
    withoutRow: () => withoutRow,
    rules: () =>
      [...rules.entries()]
        .sort(([a], [b]) => (a === 'default' ? 1 : b === 'default' ? -1 : a - b))
        .map(([, count]) => count),
  };
};
