import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Address,
  embeddedIPv4,
  embeddingPrefixes,
  formatAddress,
  parseAddress,
  prefixContains,
  prefixesOverlap,
} from '@cofferdam/net';
import fc from 'fast-check';
import { holds } from './seed.ts';

for (const [form, text, inner] of [
  ['mapped', '::ffff:127.0.0.1', '127.0.0.1'],
  ['mapped, in hexadecimal', '::ffff:a9fe:a9fe', '169.254.169.254'],
  ['mapped, unspecified', '::ffff:0.0.0.0', '0.0.0.0'],
  ['compatible', '::127.0.0.1', '127.0.0.1'],
  ['compatible', '::a9fe:a9fe', '169.254.169.254'],
  ['compatible, lowest', '::2', '0.0.0.2'],
  ['NAT64', '64:ff9b::10.1.2.3', '10.1.2.3'],
  ['local NAT64, /96', '64:ff9b:1::10.1.2.3', '10.1.2.3'],
  ['local NAT64, /96 below a subnet', '64:ff9b:1:abcd::10.1.2.3', '10.1.2.3'],
  // RFC 6052, section 2.4: 192.0.2.33 below a /48 is PREFIX:c000:2:2100::
  ['local NAT64, /48', '64:ff9b:1:c000:2:2100::', '192.0.2.33'],
  ['local NAT64, /48, with a suffix that translators ignore', '64:ff9b:1:a00:0:100:808:808', '10.0.0.1'],
  ['local NAT64, /48, 10.1.0.0', '64:ff9b:1:a01::', '10.1.0.0'],
  ['6to4', '2002:a9fe:a9fe::1', '169.254.169.254'],
  ['6to4', '2002:c000:204:ffff:1:2:3:4', '192.0.2.4'],
  // RFC 4380, section 4: the client is inverted; 192.0.2.45 is 3fff:fdd2
  ['Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2', '192.0.2.45'],
  ['none: unspecified', '::', undefined],
  ['none: loopback', '::1', undefined],
  ['none: global', '2606:4700::1111', undefined],
  ['none: documentation', '2001:db8::7f00:1', undefined],
  ['none: beside Teredo', '2001:1::7f00:1', undefined],
  ['none: beside NAT64', '64:ff9b:2::7f00:1', undefined],
  ['none: IPv4', '127.0.0.1', undefined],
] as const) {
  test(`${form}: ${text} holds ${inner ?? 'nothing'}`, () => {
    const found = embeddedIPv4(parseAddress(text)!);
    assert.equal(found && formatAddress(found), inner);
  });
}

const quad = fc.nat(0xffffffff).map((n): Address => ({ family: 4, value: BigInt(n) }));
const v6 = (value: bigint): Address => ({ family: 6, value });

test('an IPv4 address put in by any of the forms comes out again', () => {
  const forms: ((n: bigint, noise: bigint) => bigint)[] = [
    (n) => (0xffffn << 32n) | n,
    (n) => (0x64ff9bn << 96n) | n,
    (n, noise) => (0x2002n << 112n) | (n << 80n) | (noise & ((1n << 80n) - 1n)),
    (n, noise) => (0x20010000n << 96n) | ((noise & ((1n << 64n) - 1n)) << 32n) | (n ^ 0xffffffffn),
    (n, noise) =>
      (0x64ff9b0001n << 80n) |
      ((n >> 16n) << 64n) |
      ((n & 0xffffn) << 40n) |
      ((n & 0xffffn) === 0n ? 0n : noise & ((1n << 40n) - 1n)),
  ];
  holds(
    fc.property(quad, fc.bigInt(0n, (1n << 128n) - 1n), fc.nat(forms.length - 1), (address, noise, form) => {
      assert.deepEqual(embeddedIPv4(v6(forms[form]!(address.value, noise))), address);
    }),
    2000,
  );
});

test('only addresses below the embedding prefixes hold one, and these do not overlap', () => {
  holds(
    // From 2: `::` and `::1` are themselves.
    fc.property(fc.oneof(fc.bigInt(2n, (1n << 128n) - 1n), fc.bigInt(2n, 1n << 50n)).map(v6), (address) => {
      assert.equal(
        embeddedIPv4(address) !== undefined,
        embeddingPrefixes.some((prefix) => prefixContains(prefix, address)),
      );
    }),
  );
  for (const [i, a] of embeddingPrefixes.entries()) {
    for (const b of embeddingPrefixes.slice(i + 1)) assert.ok(!prefixesOverlap(a, b));
  }
});
