import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createClockJump } from '../src/clock-jump.ts';

const hour = 3_600_000;

describe('the distance between wall clock and boot clock', () => {
  /** What is said at each look, one second of boot time apart; `set`: how far the wall clock is moved before the look. */
  const said = (moves: readonly number[]): readonly boolean[] => {
    let [wall, boot] = [1_700_000_000_000, 5000];
    const jumped = createClockJump(
      () => wall,
      () => boot,
    );
    return moves.map((set) => {
      boot += 1000;
      wall += 1000 + set;
      return jumped();
    });
  };

  for (const [what, moves, expected] of [
    ['stays: nothing', [0, 0, 0], [false, false, false]],
    ['grows: once', [0, hour, 0], [false, true, false]],
    ['shrinks: once', [0, -hour, 0], [false, true, false]],
    ['changes there and back: twice', [hour, -hour, 0], [true, true, false]],
    ['changes by no more than a second: nothing', [1000, 0, 0], [false, false, false]],
    ['changes by little more than a second', [1001, 0], [true, false]],
    ['drifts: as soon as it adds up', [400, 400, 400, 400, 400, 400], [false, false, true, false, false, true]],
  ] as const)
    test(what, () => assert.deepEqual(said(moves), expected));

  test('sleep moves both clocks, and is no jump', () => {
    let now = 0;
    const jumped = createClockJump(
      () => 1_700_000_000_000 + now,
      () => 5000 + now,
    );
    now += 8 * hour;
    assert.equal(jumped(), false);
  });
});
