import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allPorts, formatPortRange, parsePortRange, portRangeContains } from '@cofferdam/net';
import fc from 'fast-check';
import { holds } from './seed.ts';

for (const [written, first, last] of [
  [443, 443, 443],
  [0, 0, 0],
  [65535, 65535, 65535],
  ['443', 443, 443],
  ['8000-8100', 8000, 8100],
  ['0-65535', 0, 65535],
  ['80-80', 80, 80],
] as const) {
  test(`${JSON.stringify(written)} is ${first} to ${last}`, () =>
    assert.deepEqual(parsePortRange(written), { ok: true, value: { first, last } }));
}

for (const [written, code, help] of [
  [65536, 'port-syntax', '65535'],
  [-1, 'port-syntax', '65535'],
  [1.5, 'port-syntax', '65535'],
  [Number.NaN, 'port-syntax', '65535'],
  [1e21, 'port-syntax', '65535'],
  ['', 'port-syntax', '65535'],
  ['-', 'port-syntax', '65535'],
  ['80-', 'port-syntax', '65535'],
  ['-80', 'port-syntax', '65535'],
  ['1-2-3', 'port-syntax', '65535'],
  ['0443', 'port-syntax', '65535'],
  ['+443', 'port-syntax', '65535'],
  ['0x50', 'port-syntax', '65535'],
  ['80,443', 'port-syntax', '65535'],
  ['8000 - 8100', 'port-syntax', '"8000-8100"'],
  ['8000:8100', 'port-syntax', '"8000-8100"'],
  ['https', 'port-syntax', '443'],
  ['constructor', 'port-syntax', '65535'],
  ['99999', 'port-syntax', '65535'],
  ['8100-8000', 'port-order', '"8000-8100"'],
] as const) {
  test(`${JSON.stringify(written)} is refused: ${code}`, () => {
    const range = parsePortRange(written);
    assert.ok(!range.ok);
    assert.equal(range.error.code, code);
    assert.ok(range.error.help.includes(help), range.error.help);
  });
}

const port = fc.nat(65535);

test('format then parse gives the same range', () => {
  holds(
    fc.property(port, port, (a, b) => {
      const range = { first: Math.min(a, b), last: Math.max(a, b) };
      assert.deepEqual(parsePortRange(formatPortRange(range)), { ok: true, value: range });
    }),
  );
});

test('both ends are inside', () => {
  holds(
    fc.property(port, port, port, (a, b, c) => {
      const [first, middle, last] = [a, b, c].toSorted((x, y) => x - y) as [number, number, number];
      assert.ok([first, middle, last].every((p) => portRangeContains({ first, last }, p)));
      assert.ok(!portRangeContains({ first, last }, last + 1) && !portRangeContains({ first, last }, first - 1));
      assert.ok(portRangeContains(allPorts, a));
    }),
  );
});
