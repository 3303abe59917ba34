import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstClaimedId, firstSetId, firstTrackedId, holderOf } from '../src/index.ts';

test('a holder is the beginning of the hash of a name, as a little-endian number', () => {
  assert.equal(holderOf('coder'), 0x3db444d1_3a9e4ac8n);
  assert.notEqual(holderOf('coder'), holderOf('Coder'));
  assert.ok(holderOf('') >= 0n && holderOf('') < 1n << 64n);
});

test('ids of names say what they are', () => {
  const starts = [0, firstTrackedId, firstSetId, firstClaimedId, 2 ** 32];
  assert.deepEqual(
    starts,
    [...starts].sort((a, b) => a - b),
  );
  // As many as the tables of the kernel take, and none of them twice for a long time.
  for (const [i, first] of starts.slice(1).entries()) assert.ok(first - starts[i]! >= 2 ** 28);
});
