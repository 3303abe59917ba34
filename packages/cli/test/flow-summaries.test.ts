import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cofferdam, workDirectory } from './cofferdam.ts';
import { assertGolden } from './golden.ts';
import { flowLine, morningLog } from './records.ts';

const directory = workDirectory();
const log = join(directory, 'flows.jsonl');
const lifted = flowLine({ id: '5', at: 5, end: 6, name: 'gist.github.com' }).replace(
  '"reason":"rule","enforced":true',
  '"reason":"monitored","enforced":false',
);
writeFileSync(log, `${[...morningLog, lifted].join('\n')}\n`);

for (const by of ['rule', 'destination', 'agent'])
  test(`by ${by}`, () => {
    const { code, out, err } = cofferdam(['flows', log, '--by', by]);
    assert.deepEqual([code, err], [0, '']);
    assertGolden(`flows-by-${by}.txt`, out);
  });

test('the top, and the others as one row', () => {
  const { out } = cofferdam(['flows', log, '--by', 'destination', '--top', '1']);
  const [, first, rest, end] = out.split('\n');
  assert.match(first!, /^gist\.github\.com:443 +2 +1 +1 /);
  assert.match(rest!, /^… 3 more +3 +1 +0 +900 B /);
  assert.equal(end, '');
});

test('a filter is asked of a connection as it ended', () => {
  const began = flowLine({ id: 'x', at: 1, name: 'late.example', rule: 'code' });
  const cut = flowLine({ id: 'x', at: 1, end: 2, name: 'late.example', deny: 'name-mismatch' });
  const input = `${began}\n${cut}\n`;
  const rows = (verdict: string) =>
    JSON.parse(cofferdam(['flows', '-', '--by', 'destination', '--verdict', verdict, '--json'], { input }).out).rows;
  assert.deepEqual(rows('permit'), []);
  assert.deepEqual(rows('deny'), [
    {
      key: 'late.example:443',
      count: 1,
      denied: 1,
      wouldDeny: 0,
      bytes: 300,
      first: '2020-01-30T09:01:00.000Z',
      last: '2020-01-30T09:02:00.000Z',
    },
  ]);
});

test('JSON has the rest too', () => {
  const { by, rows, rest, incomplete } = JSON.parse(
    cofferdam(['flows', log, '--by', 'agent', '--top', '1', '--json']).out,
  );
  assert.deepEqual([by, rows.length, rest.keys, rest.count, incomplete], ['agent', 1, 1, 1, false]);
});

for (const other of [['-f'], ['--last', '3'], ['--format', 'compact']])
  test(`not with ${other[0]}`, () => {
    const { code, err } = cofferdam(['flows', log, '--by', 'rule', ...other]);
    assert.equal(code, 2);
    assert.match(err, /and `--by` exclude each other\nhelp: /);
  });

test('`--top` is a number, of a summary', () => {
  assert.match(cofferdam(['flows', log, '--by', 'rule', '--top', '0']).err, /`--top` does not take `0`/);
  assert.match(cofferdam(['flows', log, '--top', '3']).err, /`--top` is of a summary/);
});
