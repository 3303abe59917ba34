import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { test } from 'node:test';
import {
  type Address,
  addressesEqual,
  addressFromBytes,
  addressToBytes,
  compareAddresses,
  formatAddress,
  parseAddress,
} from '@cofferdam/net';
import fc from 'fast-check';
import { holds } from './seed.ts';

const octets = (family: 4 | 6) => fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 });
/** Runs of zero groups, which random octets never have. */
const sparse = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255])));
const anyAddress: fc.Arbitrary<Address> = fc.oneof(octets(4), octets(6), sparse).map(addressFromBytes);

const readable: [string, string][] = [
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['192.0.2.7', '192.0.2.7'],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['2001:DB8::00a0', '2001:db8::a0'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ['0:0:0:0:0:0:0:1', '::1'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
  ['::FFFF:c000:201', '::ffff:192.0.2.1'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
];

for (const [text, canonical] of readable) {
  test(`${text} is the address ${canonical}`, () => {
    const address = parseAddress(text);
    assert.ok(address);
    assert.equal(formatAddress(address), canonical);
    assert.deepEqual(parseAddress(canonical), address);
  });
}

const unreadable = [
  '',
  ' ',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.',
  '.1.2.3',
  '1..2.3',
  '256.1.1.1',
  '01.2.3.4',
  '1.2.3.04',
  '00.0.0.0',
  '1.2.3.4 ',
  ' 1.2.3.4',
  '1.2.3.4\n',
  '1.2.3.4\0',
  '0x7f.0.0.1',
  '0x7f000001',
  '2130706433',
  '127.1',
  '0177.0.0.1',
  '+1.2.3.4',
  '-1.2.3.4',
  '1e0.2.3.4',
  '１.2.3.4',
  '1.2.3.4/32',
  '1.2.3.4:80',
  ':',
  ':::',
  '::1::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '::1:2:3:4:5:6:7:8',
  ':1:2:3:4:5:6:7:8',
  '1:2:3:4:5:6:7:8:',
  '12345::',
  'g::',
  '[::1]',
  '::1%eth0',
  '::1%25eth0',
  'fe80::1%1',
  '::1.2.3',
  '::01.2.3.4',
  '1.2.3.4::',
  '::1.2.3.4:5',
  '1:2:3:4:5:6:7:1.2.3.4',
  '::ffff:0x7f.0.0.1',
  '::-1',
  '::+1',
  '::1 ',
  '0:0:0:0:0:0:0:00001',
];

for (const text of unreadable) {
  test(`${JSON.stringify(text)} is no address`, () => assert.equal(parseAddress(text), undefined));
}

test('format then parse gives the same address', () => {
  holds(
    fc.property(anyAddress, (address) => assert.deepEqual(parseAddress(formatAddress(address)), address)),
    2000,
  );
});

test('bytes and back gives the same address', () => {
  holds(fc.property(anyAddress, (address) => assert.deepEqual(addressFromBytes(addressToBytes(address)), address)));
});

test('an address has 4 or 16 octets', () => {
  for (const length of [0, 3, 5, 15, 17]) assert.throws(() => addressFromBytes(new Uint8Array(length)), RangeError);
});

test('the text is what the URL standard prints, but for the quad of mapped addresses', () => {
  holds(
    fc.property(fc.oneof(octets(6), sparse).map(addressFromBytes), (address) => {
      if (address.value >> 32n === 0xffffn) return;
      assert.equal(`[${formatAddress(address)}]`, new URL(`http://[${formatAddress(address)}]/`).hostname);
    }),
    1000,
  );
});

test('what is an address, Node says too', () => {
  const part = fc.oneof(
    fc.constantFrom('::', ':', '.', '0', '00', 'ffff', '255', '256', '1.2.3.4', '%1', 'g'),
    fc.integer({ min: 0, max: 300 }).map(String),
  );
  const text = fc.oneof(
    fc.array(part, { maxLength: 10 }).map((parts) => parts.join('')),
    fc
      .array(fc.integer({ min: 0, max: 300 }).map(String), { minLength: 3, maxLength: 5 })
      .map((parts) => parts.join('.')),
    fc.tuple(anyAddress, fc.nat(40), fc.constantFrom('', ':', '.', '0', 'x')).map(([address, at, extra]) => {
      const whole = formatAddress(address);
      return whole.slice(0, at) + extra + whole.slice(at);
    }),
  );
  holds(
    fc.property(text, (candidate) => {
      const family = parseAddress(candidate)?.family;
      assert.equal(family === 4, isIPv4(candidate));
      // Node takes a zone; here an address has none.
      assert.equal(family === 6, isIPv6(candidate) && !candidate.includes('%'));
    }),
    3000,
  );
});

test('every truncation of an address is another address or none, and never throws', () => {
  for (const text of ['::ffff:192.0.2.1', '2001:db8:1:2:3:4:5:6', '192.168.100.200']) {
    for (let end = 0; end < text.length; end++) {
      const cut = parseAddress(text.slice(0, end));
      assert.ok(cut === undefined || formatAddress(cut) !== formatAddress(parseAddress(text)!), text.slice(0, end));
    }
  }
});

test('order: IPv4 first, then by value; equal only to itself', () => {
  holds(
    fc.property(anyAddress, anyAddress, (a, b) => {
      assert.equal(Math.sign(compareAddresses(a, b)), -Math.sign(compareAddresses(b, a)) + 0);
      assert.equal(compareAddresses(a, b) === 0, addressesEqual(a, b));
      assert.equal(compareAddresses(a, a), 0);
      if (a.family === b.family) {
        assert.equal(
          Math.sign(compareAddresses(a, b)),
          Math.sign(Buffer.compare(addressToBytes(a), addressToBytes(b))),
        );
      }
    }),
  );
  assert.ok(compareAddresses(parseAddress('255.255.255.255')!, parseAddress('::')!) < 0);
});
