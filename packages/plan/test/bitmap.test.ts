import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  and,
  andNot,
  bitIndices,
  bitmapOf,
  decodeBitmap,
  encodeBitmap,
  equalBitmaps,
  firstBit,
  intersects,
  or,
  wordsFor,
} from '@cofferdam/plan';
import * as fc from 'fast-check';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const rules = 200;
const words = wordsFor(rules);
const places = fc.oneof(
  fc.uniqueArray(fc.nat(rules - 1)),
  // Long runs, which cross words.
  fc.tuple(fc.nat(rules - 1), fc.nat(rules - 1)).map(([a, b]) => {
    const first = Math.min(a, b);
    return Array.from({ length: Math.max(a, b) - first + 1 }, (_, i) => first + i);
  }),
);
const sorted = (of: Iterable<number>): number[] => [...of].sort((a, b) => a - b);

test('words come in pairs, and there are always some', () => {
  assert.deepEqual([0, 1, 64, 65, 128, 129].map(wordsFor), [2, 2, 2, 4, 4, 6]);
});

test('a bitmap is read back as it was written', () => {
  fc.assert(
    fc.property(places, (of) => {
      const bits = bitmapOf(words, of);
      const text = encodeBitmap(bits);
      assert.deepEqual(decodeBitmap(text, rules), bits);
      assert.ok(text.length <= 1 + Math.ceil((words * 4) / 3) * 4);
    }),
    { seed },
  );
});

test('sets behave as sets', () => {
  fc.assert(
    fc.property(places, places, (a, b) => {
      const [x, y] = [bitmapOf(words, a), bitmapOf(words, b)];
      assert.deepEqual(bitIndices(or(x, y)), sorted(new Set([...a, ...b])));
      assert.deepEqual(bitIndices(and(x, y)), sorted(new Set(a).intersection(new Set(b))));
      assert.deepEqual(bitIndices(andNot(x, y)), sorted(new Set(a).difference(new Set(b))));
      assert.equal(firstBit(x), sorted(a)[0] ?? -1);
      assert.equal(
        intersects(x, y),
        a.some((i) => b.includes(i)),
      );
      assert.equal(equalBitmaps(x, y), sorted(a).join() === sorted(b).join());
    }),
    { seed },
  );
});

test('texts', () => {
  const text = (of: readonly number[]): string => encodeBitmap(bitmapOf(words, of));
  assert.equal(text([]), '');
  assert.equal(text([0]), '0');
  assert.equal(text([31, 32, 33]), '31-33');
  assert.equal(text([0, 1, 2, 3, 7, 63, 64, 127, 199]), '0-3,7,63-64,127,199');
  const scattered = Array.from({ length: 100 }, (_, i) => 2 * i);
  assert.match(text(scattered), /^\*[A-Za-z0-9+/]+=*$/);
});

test('what is no bitmap over so many rules is refused', () => {
  const tooFar = encodeBitmap(
    bitmapOf(
      words,
      Array.from({ length: 128 }, (_, i) => 2 * i),
    ),
  );
  assert.match(tooFar, /^\*/);
  for (const text of [
    '200',
    '0-200',
    '1,0',
    '1,1',
    '3-2',
    '-1',
    '01',
    '1-',
    ',',
    '1,',
    ' 1',
    '1.0',
    '1e1',
    'x',
    '*',
    '*AAAA',
    '*====',
    `${tooFar}A`,
    tooFar,
    '1-1-1',
  ])
    assert.equal(decodeBitmap(text, rules), undefined, text);
});
