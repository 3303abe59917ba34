import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWallClock } from '../src/wall-clock.ts';

test('boot times are told by the wall clock as it was at the last look', () => {
  let [wall, boot] = [1_800_000_000_000, 5_000_000_000n];
  const clock = createWallClock(
    () => wall,
    () => boot,
  );
  assert.equal(clock.wallTime(3_500_000_000n), 1_799_999_998_500);
  // It is set back an hour while a second goes by.
  [wall, boot] = [wall - 3_599_000, boot + 1_000_000_000n];
  assert.equal(clock.wallTime(3_500_000_000n), 1_799_999_998_500);
  clock.look();
  assert.equal(clock.wallTime(3_500_000_000n), 1_799_996_398_500);
  assert.equal(clock.wallTime(6_250_000_000n), wall + 250, 'what came since');
});
