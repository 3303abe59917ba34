import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Address,
  addressBits,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixContains,
  prefixOf,
} from '@cofferdam/net';
import { buildLpm } from '@cofferdam/plan';
import * as fc from 'fast-check';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);

/** Addresses that share much with each other, so that prefixes nest and touch. */
const addresses = fc.constantFrom<4 | 6>(4, 6).chain((family) => {
  const bits = addressBits(family);
  return fc
    .array(fc.nat(bits - 1), { maxLength: 4 })
    .map((places): Address => ({ family, value: places.reduce((value, place) => value | (1n << BigInt(place)), 0n) }));
});
const allOnes = (address: Address): Address => ({
  family: address.family,
  value: address.value ^ ((1n << BigInt(addressBits(address.family))) - 1n),
});
const anyAddress = fc.oneof(addresses, addresses.map(allOnes));
const prefixes = fc
  .tuple(anyAddress, fc.nat(128))
  .map(([address, length]): Prefix => prefixOf(address, Math.min(length, addressBits(address.family))));

test('the longest prefix that holds an address gives its value', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(prefixes, {
        maxLength: 30,
        selector: ({ address, length }) => `${address.family}${address.value}/${length}`,
      }),
      fc.array(anyAddress, { maxLength: 30 }),
      (tree, probes) => {
        const entries = tree.map((prefix, i) => ({ prefix, value: 1 + (i % 5) }));
        const lpm = buildLpm(entries, 0);
        for (const probe of [...probes, ...tree.map(({ address }) => address)]) {
          const holding = entries.filter(({ prefix }) => prefixContains(prefix, probe));
          const longest = holding.sort((a, b) => b.prefix.length - a.prefix.length)[0];
          assert.equal(lpm.lookup(probe), longest?.value ?? 0);
        }
      },
    ),
    { seed, numRuns: 500 },
  );
});

test('ends of the space', () => {
  const entry = (text: string, value: number) => {
    const parsed = parsePrefix(text);
    assert.ok(parsed.ok);
    return { prefix: parsed.value, value };
  };
  const lpm = buildLpm(
    [entry('255.255.255.255/32', 1), entry('::/0', 2), entry('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128', 3)],
    9,
  );
  const at = (text: string): number => lpm.lookup(parseAddress(text)!);
  assert.deepEqual(['0.0.0.0', '255.255.255.254', '255.255.255.255'].map(at), [9, 9, 1]);
  assert.deepEqual(['::', 'ffff::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'].map(at), [2, 2, 3]);
});
