import { agentText, deciderText, destinationText, verdictText } from './describe.ts';
import type { AnyRecord } from './record.ts';

export const groupings = ['rule', 'destination', 'agent'] as const;
export type Grouping = (typeof groupings)[number];

/** What happened under one heading. */
export interface GroupSummary {
  /** Sanitised text: a rule, a destination or an agent. Empty: what has none. */
  readonly key: string;
  /** Connections, requests, and questions that were not answered as asked. */
  readonly count: number;
  readonly denied: number;
  /** Passed only because it is monitored. */
  readonly wouldDeny: number;
  /** Both ways together. */
  readonly bytes: bigint;
  /** Milliseconds since the epoch. */
  readonly first: number;
  readonly last: number;
}

export interface GroupedFlows {
  /** Most frequent first. */
  readonly rows: readonly GroupSummary[];
  /** All others together, and how many keys they have: at most, where it is incomplete. Absent: there are none. */
  readonly rest?: Omit<GroupSummary, 'key'> & { readonly keys: number };
  /** Whether there were too many keys to remember: a row then says no more than there was, and `rest` the difference. */
  readonly incomplete: boolean;
}

export interface FlowGroups {
  /** Takes records as {@link settling} gives them. */
  readonly add: (record: AnyRecord) => void;
  /** The `top` most frequent. */
  readonly finish: (top: number) => GroupedFlows;
}

/** Keys remembered at once: some 20 MB at most. Past that, the less frequent half becomes part of the rest. */
export const mostKeys = 20_000;

const keyOf = (by: Grouping, r: AnyRecord): string => {
  if (by === 'agent') return agentText(r);
  if (by === 'rule') return deciderText(r);
  return r.kind === 'suppressed' ? '' : destinationText(r);
};

const sum = (a: GroupSummary | undefined, b: GroupSummary): GroupSummary =>
  a === undefined
    ? b
    : {
        key: a.key,
        count: a.count + b.count,
        denied: a.denied + b.denied,
        wouldDeny: a.wouldDeny + b.wouldDeny,
        bytes: a.bytes + b.bytes,
        first: Math.min(a.first, b.first),
        last: Math.max(a.last, b.last),
      };

const summaryOf = (key: string, r: AnyRecord): GroupSummary => {
  const count = r.kind === 'suppressed' ? r.count : 1;
  const verdict = verdictText(r);
  return {
    key,
    count,
    denied: verdict === 'deny' ? count : 0,
    wouldDeny: verdict === 'would-deny' ? count : 0,
    bytes: r.kind === 'dns' || r.kind === 'suppressed' ? 0n : r.toDestination.bytes + r.toAgent.bytes,
    first: r.start,
    last: r.end ?? r.start,
  };
};

const byCount = (a: GroupSummary, b: GroupSummary): number =>
  b.count - a.count || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

/** A summary under one heading, of any number of records. Names that were looked up and answered are left out: to resolve is not to reach. */
export const groupFlows = (by: Grouping, remembered = mostKeys): FlowGroups => {
  let groups = new Map<string, GroupSummary>();
  let rest: GroupSummary | undefined;
  let forgotten = 0;
  const forget = (rows: readonly GroupSummary[]): void => {
    for (const row of rows) rest = sum(rest, row);
  };
  return {
    add(record) {
      if (record.kind === 'dns' && verdictText(record) === 'permit') return;
      const key = keyOf(by, record);
      groups.set(key, sum(groups.get(key), summaryOf(key, record)));
      if (groups.size <= remembered) return;
      const rows = [...groups.values()].sort(byCount);
      const kept = Math.ceil(remembered / 2);
      forget(rows.slice(kept));
      forgotten += rows.length - kept;
      groups = new Map(rows.slice(0, kept).map((row) => [row.key, row]));
    },
    finish(top) {
      const rows = [...groups.values()].sort(byCount);
      forget(rows.slice(top));
      const keys = forgotten + Math.max(0, rows.length - top);
      if (rest === undefined) return { rows, incomplete: false };
      const { key: _several, ...together } = rest;
      return { rows: rows.slice(0, top), rest: { ...together, keys }, incomplete: forgotten > 0 };
    },
  };
};
