import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileTally, type Report, Totals } from './tally.ts';

const path = '/checkout/a.test.ts';
const report = (name: string, rest: Partial<Report> = {}): Report => ({ name, details: { type: 'test' }, ...rest });
const failing = (name: string, failureType: string, type = 'test'): Report =>
  report(name, {
    details: { type, error: Object.assign(new Error('wrapped'), { failureType, cause: new Error('cause') }) },
  });

test('each report counts once, and a mark never hides a failure', () => {
  const rows: readonly (readonly [passed: boolean, report: Report, counts: readonly [number, number, number]])[] = [
    [true, report('passes'), [1, 0, 0]],
    [true, report('a suite of passing tests', { details: { type: 'suite' } }), [0, 0, 0]],
    [false, failing('fails', 'testCodeFailure'), [0, 1, 0]],
    [false, failing('holds one that fails', 'subtestsFailed'), [0, 0, 0]],
    [false, failing('a suite whose hook fails', 'hookFailed', 'suite'), [0, 1, 0]],
    [false, failing('is cancelled', 'cancelledByParent'), [0, 1, 0]],
    [false, failing(path, 'testAborted'), [0, 1, 0]],
    [true, report('is skipped', { skip: 'needs root' }), [0, 0, 1]],
    [true, report('is skipped without a word', { skip: true }), [0, 0, 1]],
    [true, report('a skipped suite', { skip: 'needs root', details: { type: 'suite' } }), [0, 0, 1]],
    [true, report('is to be done and passes', { todo: true }), [0, 1, 0]],
    [false, report('is to be done and fails', { todo: 'later' }), [0, 1, 0]],
    [true, report(path), [0, 1, 0]],
  ];
  const totals = new Totals();
  for (const [passed, one, counts] of rows) {
    const tally = new FileTally('a.test.ts', path);
    tally.count(passed, one);
    const outcome = tally.outcome(1);
    assert.deepEqual([outcome.passed, outcome.failed, outcome.skips.length], counts, one.name);
    totals.add(outcome);
  }
  assert.deepEqual([totals.passed, totals.failed, totals.skipped], [1, 7, 3]);
  assert.deepEqual([...totals.reasons.keys()], ['needs root', 'no reason given']);
});

test('a failure shows its cause, and output keeps its end', () => {
  const tally = new FileTally('a.test.ts', path);
  tally.count(false, failing('fails', 'testCodeFailure'));
  tally.keepOutput('x'.repeat(100_000));
  tally.keepOutput('end');
  const { failures, output } = tally.outcome(1);
  assert.equal((failures[0]!.error as Error).message, 'cause');
  assert.ok(output.endsWith('end') && output.length === 65_536);
});
