import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { editDistance, nearest } from '../src/suggest.ts';
import { seed } from './seed.ts';

for (const [written, meant] of [
  ['tire', 'tier'],
  ['prot', 'ports'],
  ['Protocol', 'protocol'],
  ['pubilc-internet', 'public-internet'],
  ['wonderland', undefined],
  ['x', undefined],
] as const) {
  test(`${written} means ${meant ?? 'nothing known'}`, () => {
    assert.equal(nearest(written, ['tier', 'ports', 'protocol', 'public-internet', 'priority']), meant);
  });
}

/** The textbook recursion. */
const slow = (a: string, b: string): number => {
  if (a === '' || b === '') return a.length + b.length;
  const swap = a.length > 1 && b.length > 1 && a.at(-1) === b.at(-2) && a.at(-2) === b.at(-1);
  return Math.min(
    slow(a.slice(0, -1), b) + 1,
    slow(a, b.slice(0, -1)) + 1,
    slow(a.slice(0, -1), b.slice(0, -1)) + (a.at(-1) === b.at(-1) ? 0 : 1),
    swap ? slow(a.slice(0, -2), b.slice(0, -2)) + 1 : Number.POSITIVE_INFINITY,
  );
};

test('the distance is that of the textbook, or limit + 1', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 });
  fc.assert(
    fc.property(word, word, fc.nat(4), (a, b, limit) => {
      assert.equal(editDistance(a, b, limit), Math.min(slow(a, b), limit + 1));
    }),
    { seed, numRuns: 300 },
  );
});
