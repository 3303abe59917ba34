import type { KernelFlow } from '@cofferdam/datapath';
import {
  type AnyRecord,
  createRuleTally,
  type Decided,
  type DnsRecord,
  decidedIn,
  type RuleTally,
} from '@cofferdam/flows';
import type { Facts, Reason, RuleIndex, Verdict } from '@cofferdam/verdict';
import type { Gate } from './gate.ts';
import type { Settled } from './judgement.ts';

/**
 * What this process counts itself, since the kernel does not see it: decisions of the proxy, questions to the DNS filter, would-be verdicts
 * that were known only when a flow's hello was read, and records. All of it only grows.
 */
export interface Counters {
  /** Uses of rules that the kernel does not count. */
  readonly rules: RuleTally;
  readonly proxied: CountsByReason;
  readonly questions: CountsByReason;
  /** Records that left the gateway, by kind; of those that were suppressed, how many denials they stand for, by reason. */
  readonly records: ReadonlyMap<string, number>;
  readonly suppressed: ReadonlyMap<Reason, number>;
  /** The plan that decides from now on. That of the one before is remembered for flows it decided. */
  readonly plan: (revision: number, keys: readonly string[]) => void;
  /** The kernel's log, once of each: a flow began, or ended without that, or was denied. Its verdict was counted in the kernel. */
  readonly kernelFlow: (verdict: Verdict, flow: KernelFlow) => void;
  /** The proxy decided on a flow, or on a request of it. */
  readonly proxyDecision: (gate: Gate | undefined, settled: Settled, facts: Facts) => void;
  readonly question: (record: DnsRecord) => void;
  /** A question that was neither answered nor recorded. */
  readonly droppedQuestion: (reason: Reason) => void;
  readonly written: (record: AnyRecord) => void;
}

/** By verdict and reason. */
export type CountsByReason = ReadonlyMap<
  string,
  { readonly verdict: Verdict; readonly reason: Reason; readonly count: number }
>;

const increment = (
  counts: Map<string, { verdict: Verdict; reason: Reason; count: number }>,
  verdict: Verdict,
  reason: Reason,
): void => {
  const key = `${verdict} ${reason}`;
  const before = counts.get(key);
  if (before === undefined) counts.set(key, { verdict, reason, count: 1 });
  else before.count += 1;
};

export const createCounters = (options: {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Boot time in nanoseconds when this process took over: what is older was counted before. */
  readonly began: bigint;
}): Counters => {
  const { now } = options;
  const rules = createRuleTally();
  const proxied = new Map<string, { verdict: Verdict; reason: Reason; count: number }>();
  const questions = new Map<string, { verdict: Verdict; reason: Reason; count: number }>();
  const records = new Map<string, number>();
  const suppressed = new Map<Reason, number>();
  /** By revision, the newest last. */
  const plans = new Map<number, readonly string[]>();

  const keyOf = (revision: number, rule: RuleIndex | undefined): string | undefined =>
    rule === undefined || rule === 'default' ? 'default' : plans.get(revision)?.[rule];

  const decided = (
    revision: number,
    verdict: Verdict,
    rule: RuleIndex | undefined,
    would: { readonly verdict: Verdict; readonly rule: RuleIndex | undefined } | undefined,
  ): Decided | undefined => {
    const key = keyOf(revision, rule);
    const wouldKey = would && keyOf(revision, would.rule);
    if (key === undefined) return undefined;
    return {
      rule: key,
      verdict,
      ...(would === undefined || wouldKey === undefined ? {} : { wouldBe: { rule: wouldKey, verdict: would.verdict } }),
      at: now(),
    };
  };

  return {
    rules,
    proxied,
    questions,
    records,
    suppressed,
    plan(revision, keys) {
      plans.delete(revision);
      plans.set(revision, keys);
      if (plans.size > 2) plans.delete(plans.keys().next().value!);
    },
    kernelFlow(verdict, flow) {
      if (flow.start < options.began) return;
      const { wouldVerdict, wouldRule, revision, rule } = flow;
      if (wouldVerdict === undefined || wouldVerdict === 'unknown') return;
      const found = decided(revision, verdict, rule, { verdict: wouldVerdict, rule: wouldRule });
      if (found !== undefined) rules.countWouldBe(found);
    },
    proxyDecision(gate, { kind, rule, reason }, facts) {
      increment(proxied, kind, reason);
      const would = gate?.wouldBe(facts);
      const found = decided(gate?.revision ?? 0, kind, rule, would === 'unknown' ? undefined : would);
      if (found !== undefined) rules.count(found);
    },
    question(record) {
      increment(questions, record.verdict, record.reason);
      const found = decidedIn(record);
      if (found !== undefined) rules.count(found);
    },
    droppedQuestion: (reason) => increment(questions, 'deny', reason),
    written(record) {
      records.set(record.kind, (records.get(record.kind) ?? 0) + 1);
      if (record.kind === 'suppressed')
        suppressed.set(record.reason, (suppressed.get(record.reason) ?? 0) + record.count);
    },
  };
};
