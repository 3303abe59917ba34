import { err, ok, type Result } from '@cofferdam/net';
import { type FieldReader, fieldReader } from './field-reader.ts';
import type { RuleReference } from './record.ts';
import type { RuleUse } from './rule-use.ts';

/** The rules that a gateway enforces, and how often each of them decided. */
export interface RulesReport {
  readonly gateway: string;
  /** Of the plan in force. */
  readonly revision: number;
  /** When counting began, and when this was said, milliseconds since the epoch. */
  readonly since: number;
  readonly at: number;
  /** In the order of the walk. */
  readonly rules: readonly ReportedRule[];
  readonly default: RuleUse;
}

export interface ReportedRule {
  readonly rule: Omit<RuleReference, 'index'>;
  readonly action: 'permit' | 'deny';
  /** As it is in force: `run --monitor` makes `enforce` a `monitor`. */
  readonly mode: 'enforce' | 'monitor' | 'disabled';
  readonly use: RuleUse;
}

const time = (at: number): string => new Date(at).toISOString();

/** A use as JSON has it. */
export const useData = ({ last, ...counts }: RuleUse) => ({
  ...counts,
  ...(last === undefined ? {} : { last: time(last) }),
});

/** JSON, with times as ISO 8601 in UTC. */
export const encodeRulesReport = (report: RulesReport): string => {
  const { gateway, revision, since, at, rules } = report;
  return JSON.stringify({
    gateway,
    revision,
    since: time(since),
    at: time(at),
    rules: rules.map(({ rule, action, mode, use }) => ({ ...rule, action, mode, ...useData(use) })),
    default: useData(report.default),
  });
};

const useOf = (f: FieldReader): RuleUse => {
  const last = f.optionalTime('last');
  return {
    permitted: f.count('permitted'),
    denied: f.count('denied'),
    wouldPermit: f.count('wouldPermit'),
    wouldDeny: f.count('wouldDeny'),
    ...(last === undefined ? {} : { last }),
  };
};

const ruleOf = (f: FieldReader): ReportedRule => {
  const id = f.optionalString('id');
  return {
    rule: {
      ...(id === undefined ? {} : { id }),
      name: f.string('name'),
      ruleset: f.string('ruleset'),
      tier: f.string('tier'),
    },
    action: f.oneOf<'permit' | 'deny'>('action', ['permit', 'deny']),
    mode: f.oneOf<'enforce' | 'monitor' | 'disabled'>('mode', ['enforce', 'monitor', 'disabled']),
    use: useOf(f),
  };
};

const bad = (problem: string): Result<never> =>
  err('rules-report', `the gateway's answer is not understood: ${problem}`, 'use the version that the gateway has');

/** Reads what {@link encodeRulesReport} wrote. */
export const parseRulesReport = (text: string): Result<RulesReport> => {
  let value: { readonly rules?: unknown } | null;
  try {
    value = JSON.parse(text);
  } catch {
    // JSON.parse has no other way to say so.
    return bad('it is not JSON');
  }
  const fields = fieldReader(value);
  const listed: readonly unknown[] = Array.isArray(value?.rules) ? value.rules : [];
  if (!Array.isArray(value?.rules)) fields.fail('rules', 'a list');
  const readers = listed.map((one) => fieldReader(one));
  const report: RulesReport = {
    gateway: fields.string('gateway'),
    revision: fields.count('revision'),
    since: fields.time('since'),
    at: fields.time('at'),
    rules: readers.map(ruleOf),
    default: useOf(fields.object('default')),
  };
  const problem = [fields, ...readers].map((f) => f.problem()).find((one) => one !== undefined);
  return problem === undefined ? ok(report) : bad(problem);
};
