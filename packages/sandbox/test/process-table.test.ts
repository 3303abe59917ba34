import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStat } from '../src/process-table.ts';
import { sharesForeground } from '../src/terminal.ts';

for (const name of ['cat', 'a b', ') S 1 2 3', '((', '']) {
  test(`stat of a process named \`${name}\``, () => {
    const stat = parseStat(`17 (${name}) S 4 5 6 34816 7 4194304 1 2`);
    assert.deepEqual(stat, { state: 'S', parent: 4, group: 5, terminal: 34816, foreground: 7 });
  });
}

test('no truncation of stat is read as something else', () => {
  const text = '17 (cat) S 4 5 6 34816 7 4194304';
  for (let length = 0; length < text.indexOf('34816'); length += 1)
    assert.equal(parseStat(text.slice(0, length)), undefined);
});

const process = (group: number, foreground: number, terminal = 34816) => ({
  state: 'S',
  parent: 1,
  group,
  terminal,
  foreground,
});

for (const [what, ours, theirs, shared] of [
  ['both in the foreground', process(5, 5), process(5, 5), true],
  ['both in the background', process(5, 9), process(5, 9), false],
  ['a job-control shell in the foreground', process(5, 6), process(6, 6), false],
  ['we in front, CMD in a group of its own', process(5, 5), process(6, 5), false],
  ['no terminal', process(5, 5, 0), process(5, 5, 0), false],
  ['CMD has ended', process(5, 5), undefined, false],
] as const) {
  test(`${what}: the terminal ${shared ? 'reaches' : 'does not reach'} both`, () =>
    assert.equal(sharesForeground(ours, theirs), shared));
}
