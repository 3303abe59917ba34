import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Address,
  addressBits,
  addressFromBytes,
  comparePrefixes,
  formatPrefix,
  lastAddress,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixCovers,
  prefixesOverlap,
  prefixOf,
} from '@cofferdam/net';
import fc from 'fast-check';
import { holds } from './seed.ts';

const bits = (address: Address): string => address.value.toString(2).padStart(addressBits(address.family), '0');
/** The obvious twin: the same first characters. */
const slowContains = (prefix: Prefix, address: Address): boolean =>
  prefix.address.family === address.family && bits(address).startsWith(bits(prefix.address).slice(0, prefix.length));

const addressOf = (family: 4 | 6) =>
  fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 }).map(addressFromBytes);
const anyPrefix = fc.oneof(
  fc.tuple(addressOf(4), fc.integer({ min: 0, max: 32 })).map(([address, length]) => prefixOf(address, length)),
  fc.tuple(addressOf(6), fc.integer({ min: 0, max: 128 })).map(([address, length]) => prefixOf(address, length)),
);
/** An address that shares bits with a prefix, one of them flipped perhaps. */
const near = (prefix: Prefix) =>
  fc.tuple(fc.bigInt(0n, (1n << 128n) - 1n), fc.nat(127)).map(([random, flip]): Address => {
    const { family } = prefix.address;
    const size = BigInt(addressBits(family));
    const inside = prefix.address.value | (random & ((1n << (size - BigInt(prefix.length))) - 1n));
    return { family, value: inside ^ (BigInt(flip) < size ? 1n << BigInt(flip) : 0n) };
  });

for (const [text, canonical] of [
  ['10.0.0.0/8', '10.0.0.0/8'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['::/0', '::/0'],
  ['192.0.2.7', '192.0.2.7/32'],
  ['192.0.2.7/32', '192.0.2.7/32'],
  ['fd00::/8', 'fd00::/8'],
  ['2001:DB8::1', '2001:db8::1/128'],
  ['::ffff:10.0.0.0/104', '::ffff:10.0.0.0/104'],
] as const) {
  test(`${text} is the prefix ${canonical}`, () => {
    const prefix = parsePrefix(text);
    assert.ok(prefix.ok);
    assert.equal(formatPrefix(prefix.value), canonical);
  });
}

for (const [text, code, help] of [
  ['10.0.0.1/8', 'prefix-host-bits', '10.0.0.0/8'],
  ['fd00::1/64', 'prefix-host-bits', 'fd00::/64'],
  ['0.0.0.1/0', 'prefix-host-bits', '0.0.0.0/0'],
  ['10.0.0.0/33', 'prefix-length', '0 to 32'],
  ['fd00::/129', 'prefix-length', '0 to 128'],
  ['10.0.0.0/', 'prefix-length', '10.0.0.0/32'],
  ['10.0.0.0/08', 'prefix-length', '0 to 32'],
  ['10.0.0.0/-1', 'prefix-length', '0 to 32'],
  ['10.0.0.0/8/8', 'prefix-length', '0 to 32'],
  ['10.0.0.0/255.0.0.0', 'prefix-length', '0 to 32'],
  ['10.0.0.0/8 ', 'prefix-length', '0 to 32'],
  ['10/8', 'prefix-syntax', '192.0.2.7'],
  ['', 'prefix-syntax', '192.0.2.7'],
  ['/8', 'prefix-syntax', '192.0.2.7'],
  ['[::1]', 'prefix-syntax', 'brackets'],
  ['fe80::1%eth0', 'prefix-syntax', 'zone'],
  ['example.com', 'prefix-syntax', '192.0.2.7'],
] as const) {
  test(`${JSON.stringify(text)} is refused: ${code}`, () => {
    const prefix = parsePrefix(text);
    assert.ok(!prefix.ok);
    assert.equal(prefix.error.code, code);
    assert.ok(prefix.error.help.includes(help), prefix.error.help);
  });
}

test('format then parse gives the same prefix', () => {
  holds(
    fc.property(anyPrefix, (prefix) =>
      assert.deepEqual(parsePrefix(formatPrefix(prefix)), { ok: true, value: prefix }),
    ),
  );
});

test('a prefix contains what shares its bits', () => {
  holds(
    fc.property(
      anyPrefix.chain((prefix) => fc.tuple(fc.constant(prefix), fc.oneof(near(prefix), addressOf(4), addressOf(6)))),
      ([prefix, address]) => assert.equal(prefixContains(prefix, address), slowContains(prefix, address)),
    ),
    2000,
  );
});

test('covering: the first and the last address of the inner are in the outer, and it is no shorter', () => {
  const pair = anyPrefix.chain((outer) =>
    fc.tuple(
      fc.constant(outer),
      fc.oneof(
        anyPrefix,
        near(outer).chain((address) => fc.nat(addressBits(address.family)).map((n) => prefixOf(address, n))),
      ),
    ),
  );
  holds(
    fc.property(pair, ([outer, inner]) => {
      const expected = slowContains(outer, inner.address) && slowContains(outer, lastAddress(inner));
      assert.equal(prefixCovers(outer, inner), expected);
      assert.equal(prefixesOverlap(outer, inner), prefixCovers(outer, inner) || prefixCovers(inner, outer));
      assert.equal(prefixesOverlap(outer, inner), prefixesOverlap(inner, outer));
      assert.ok(prefixCovers(outer, outer));
      if (prefixCovers(outer, inner)) assert.ok(comparePrefixes(outer, inner) <= 0);
    }),
    1500,
  );
});

test('families never mix, not even for all of IPv6', () => {
  const all = parsePrefix('::/0');
  const quad = parsePrefix('10.0.0.0/8');
  assert.ok(all.ok && quad.ok);
  assert.equal(prefixContains(all.value, quad.value.address), false);
  assert.equal(prefixesOverlap(all.value, quad.value), false);
});
