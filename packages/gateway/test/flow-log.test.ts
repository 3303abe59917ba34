import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FlowRecord, WouldBeVerdict } from '@cofferdam/flows';
import { tcp } from '@cofferdam/testkit';
import type { Reason, WouldBe } from '@cofferdam/verdict';
import { createFlowLog } from '../src/flow-log.ts';
import { address, deny, fakeGate, permit, rule } from './fakes.ts';

const facts = tcp('93.184.216.34 port 80', { path: 'proxy' });
const permits: WouldBe = { verdict: 'permit', rule: 0, reason: 'rule' };
const denies: WouldBe = { verdict: 'deny', rule: 'default', reason: 'no-rule' };

/** What the record of the end says would be, where the walk says `decided` now and the gateway closed with `reason`. */
const recorded = (
  wouldBe: WouldBe,
  decided: ReturnType<typeof permit>,
  kind: 'permit' | 'deny',
  reason: Reason,
): WouldBeVerdict | undefined => {
  const records: FlowRecord[] = [];
  const gate = fakeGate({ decide: () => decided, wouldBe: () => wouldBe, rules: [rule({ name: 'some' })] });
  const log = createFlowLog({ gateway: 'g', now: () => 0, nextId: () => 'id', emit: (one) => records.push(one) });
  const subject = {
    id: 'f',
    start: 0,
    agent: undefined,
    source: { address: address('10.11.1.7') },
    synthetic: undefined,
  };
  const judgement = { kind, rule: 0, stage: 'request', reason, enforced: kind === 'deny' } as const;
  log.write(subject, gate, facts, judgement, { toDestination: 0n, toAgent: 0n }, { kind: 'flow', end: 1 });
  return records[0]?.wouldBe;
};

const verdictOf = (would: WouldBeVerdict | undefined): string | undefined =>
  would === undefined || would === 'unknown' ? would : would.verdict;

for (const [what, would, walked, kind, reason, said] of [
  ['the walk permits', permits, permit(0), 'permit', 'rule', 'permit'],
  ['the walk denies', permits, deny('no-rule'), 'deny', 'no-rule', 'permit'],
  ['the gateway denies by itself', permits, permit(0), 'deny', 'authority-mismatch', 'unknown'],
  ['the gateway would have, and monitoring lifts it', permits, permit(0), 'permit', 'undecided-timeout', 'unknown'],
  ['the gateway denies, and so would a rule', denies, permit(0), 'deny', 'authority-mismatch', 'deny'],
  ['a rule waited for what nobody reads', permits, deny('no-rule'), 'deny', 'would-need-opening', 'permit'],
] as const)
  test(`would-be where ${what}: ${said}`, () => {
    assert.equal(verdictOf(recorded(would, walked, kind, reason)), said);
  });
