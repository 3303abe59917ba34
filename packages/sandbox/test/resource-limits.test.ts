import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { attainableLimits, limitWord, parseLimits } from '../src/resource-limits.ts';

test('every limit that the kernel tells of is known, and prlimit takes its word', () => {
  const text = readFileSync('/proc/self/limits', 'utf8');
  const limits = parseLimits(text);
  assert.equal(limits.length, text.trim().split('\n').length - 1);
  const words = limits.map(limitWord);
  const done = spawnSync('prlimit', [...words, '--', 'cat', '/proc/self/limits'], { encoding: 'utf8' });
  assert.equal(done.stderr, '');
  assert.deepEqual(parseLimits(done.stdout), limits);
});

test('lines that mean nothing are left out', () => {
  assert.deepEqual(
    parseLimits('Max new thing   1   2   things\nnonsense\nMax open files            12   unlimited   files\n'),
    [{ name: 'nofile', soft: 12n, hard: undefined }],
  );
});

test('what cannot be raised stays, what is lower is taken over, what is equal is left out', () => {
  const limit = (name: string, soft: bigint | undefined, hard: bigint | undefined) => ({ name, soft, hard });
  const ours = [
    limit('nofile', 10n, 100n),
    limit('core', undefined, undefined),
    limit('cpu', 5n, 5n),
    limit('as', 1n, 2n),
  ];
  const theirs = [
    limit('nofile', 200n, 300n),
    limit('core', 0n, undefined),
    limit('cpu', 5n, 5n),
    limit('as', undefined, undefined),
    limit('unheard', 1n, 1n),
  ];
  assert.deepEqual(attainableLimits(theirs, ours), [
    limit('nofile', 100n, 100n),
    limit('core', 0n, undefined),
    limit('as', 2n, 2n),
  ]);
});
