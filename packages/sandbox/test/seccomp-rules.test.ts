import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { allowedFamilies, type Cube, complementCubes, seccompRules } from '../src/seccomp-rules.ts';
import { seed } from './seed.ts';

const holding = (cubes: readonly Cube[], number: number) =>
  cubes.filter(({ mask, value }) => (number & mask) >>> 0 === value).length;

test('cubes hold every number but the kept ones, once', () => {
  const word = fc.integer({ min: 0, max: 0xffffffff });
  const kept = fc.uniqueArray(fc.oneof(word, fc.integer({ min: 0, max: 50 })), { maxLength: 6 });
  fc.assert(
    fc.property(kept, fc.oneof(word, fc.integer({ min: 0, max: 50 })), (numbers, probe) => {
      const cubes = complementCubes(numbers, 32);
      assert.equal(holding(cubes, probe), numbers.includes(probe) ? 0 : 1);
      for (const number of numbers) assert.equal(holding(cubes, number), 0);
    }),
    { seed },
  );
});

test('of the small numbers, all but four families are refused for both calls', () => {
  for (const call of ['socket', 'socketpair']) {
    const tests = seccompRules.filter((rule) => rule.call === call).flatMap((rule) => rule.tests);
    const families = tests.filter((test) => test.argument === 0);
    for (let family = 0; family < 4096; family += 1) {
      assert.equal(holding(families, family), allowedFamilies.includes(family) ? 0 : 1, `${call} ${family}`);
    }
  }
});

test('no test looks at the upper half of a register', () => {
  for (const { tests } of seccompRules) for (const { mask } of tests) assert.ok(mask >= 0 && mask <= 0xffffffff);
});
