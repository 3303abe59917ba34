import type { Reason } from '@cofferdam/verdict';
import {
  agentText,
  deciderText,
  decisiveReason,
  destinationText,
  flowName,
  isUnanswered,
  verdictText,
} from './describe.ts';
import type { AnyRecord, RecordProtocol } from './record.ts';
import { sanitise } from './text.ts';

/** One destination of one agent, as often as it was met with one outcome. */
export interface DestinationSummary {
  readonly agent: string;
  readonly verdict: 'permit' | 'deny' | 'would-deny';
  readonly kind: AnyRecord['kind'];
  /** Sanitised text: `api.github.com:443`, `10.0.0.7:22`, `evil.example A`; `(not recorded)` of what was suppressed. */
  readonly destination: string;
  /** Empty of what was suppressed: it may have been any. */
  readonly protocol: RecordProtocol | 'dns' | '';
  /** `ruleset/rule` or `default`; empty where neither decided. */
  readonly rule: string;
  readonly reason: Reason;
  /** `none`: over, and nothing came back. `no-such-name`: it was looked up and does not exist. */
  readonly answer: 'some' | 'none' | 'no-such-name';
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly first: number;
  readonly last: number;
  /** Both ways together. */
  readonly bytes: bigint;
  /** A record to ask {@link hint} about: the last one. */
  readonly example: AnyRecord;
}

export interface Summary {
  /** Most frequent first. */
  readonly reached: readonly DestinationSummary[];
  readonly denied: readonly DestinationSummary[];
  /** Names that were looked up and do not exist, whatever the type that was asked for. */
  readonly missing: readonly DestinationSummary[];
  /** Flows, requests and queries, each counted once; also those that are only counted. */
  readonly records: number;
}

const isMissing = (r: AnyRecord): boolean =>
  r.kind === 'dns' &&
  verdictText(r) === 'permit' &&
  r.rcode === 'NXDOMAIN' &&
  (r.type === 'A' || r.type === 'AAAA') &&
  r.name !== '';

const summaryOf = (r: AnyRecord): DestinationSummary => ({
  agent: agentText(r),
  verdict: verdictText(r),
  kind: r.kind,
  destination:
    r.kind === 'suppressed'
      ? '(not recorded)'
      : r.kind === 'dns' && isMissing(r)
        ? sanitise(r.name)
        : destinationText(r),
  protocol: r.kind === 'dns' ? 'dns' : r.kind === 'suppressed' ? '' : r.protocol,
  rule: deciderText(r),
  reason: decisiveReason(r),
  answer: isMissing(r) ? 'no-such-name' : isUnanswered(r) ? 'none' : 'some',
  count: r.kind === 'suppressed' ? r.count : 1,
  first: r.start,
  last: r.end ?? r.start,
  bytes: r.kind === 'dns' || r.kind === 'suppressed' ? 0n : r.toDestination.bytes + r.toAgent.bytes,
  example: r,
});

const merge = (a: DestinationSummary, b: DestinationSummary): DestinationSummary => ({
  ...a,
  count: a.count + b.count,
  first: Math.min(a.first, b.first),
  last: Math.max(a.last, b.last),
  bytes: a.bytes + b.bytes,
  example: b.last >= a.last ? b.example : a.example,
});

const keyOf = (s: DestinationSummary): string =>
  JSON.stringify([s.agent, s.verdict, s.kind, s.protocol, s.destination, s.rule, s.reason, s.answer]);

const byCount = (a: DestinationSummary, b: DestinationSummary): number =>
  b.count - a.count || (a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0);

/** A flow is written at its start and at its end: the later record stands for it. Requests of it are records of their own. */
const lastOfEach = (records: Iterable<AnyRecord>): readonly AnyRecord[] => {
  const last = new Map<string, AnyRecord>();
  for (const r of records) {
    const key = `${r.gateway}\n${r.id}`;
    const before = last.get(key);
    if (before === undefined || r.end !== undefined || before.end === undefined) last.set(key, r);
  }
  return [...last.values()];
};

const saidBy = (r: AnyRecord, flow: string): string =>
  JSON.stringify([r.gateway, flow, verdictText(r), destinationText(r), deciderText(r)]);

/** Without the connections whose requests say the same in more detail. */
const withoutCarriers = (records: readonly AnyRecord[]): readonly AnyRecord[] => {
  const said = new Set<string>();
  for (const r of records) if (r.kind === 'request' && r.flow !== undefined) said.add(saidBy(r, r.flow));
  return records.filter((r) => r.kind !== 'flow' || !said.has(saidBy(r, r.id)));
};

/**
 * Destinations reached and denied. DNS queries that were answered are left out of `reached`: to resolve is not to reach;
 * a refused one is a destination denied, and one that monitoring let pass is shown with what would be denied.
 */
export const summarise = (records: Iterable<AnyRecord>): Summary => {
  const groups = new Map<string, DestinationSummary>();
  const distinct = lastOfEach(records);
  for (const record of withoutCarriers(distinct)) {
    if (record.kind === 'dns' && verdictText(record) === 'permit' && !isMissing(record)) continue;
    const one = summaryOf(record);
    const key = keyOf(one);
    const before = groups.get(key);
    groups.set(key, before === undefined ? one : merge(before, one));
  }
  const all = [...groups.values()].sort(byCount);
  return {
    reached: all.filter((s) => s.verdict !== 'deny' && s.answer !== 'no-such-name'),
    denied: all.filter((s) => s.verdict === 'deny'),
    missing: all.filter((s) => s.answer === 'no-such-name'),
    records: distinct.reduce((sum, r) => sum + (r.kind === 'suppressed' ? r.count : 1), 0),
  };
};

/** The names an agent was denied, for `explain` and for suggestions; each once, in order of first sight. */
export const deniedNames = (records: Iterable<AnyRecord>): readonly string[] => {
  const names = new Set<string>();
  for (const r of records) {
    if (r.verdict !== 'deny' || r.kind === 'suppressed') continue;
    const name = r.kind === 'dns' ? r.name : flowName(r);
    if (name !== undefined && name !== '') names.add(name);
  }
  return [...names];
};
