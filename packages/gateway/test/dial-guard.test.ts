import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';
import { addressesEqual, formatPrefix, parsePrefix, prefixContains } from '@cofferdam/net';
import { mayDial } from '../src/dial-guard.ts';
import { localAddresses, localPrefixes, parseLocal4, parseLocal6 } from '../src/local-addresses.ts';
import { address } from './fakes.ts';

const prefix = (text: string) => {
  const parsed = parsePrefix(text);
  assert.ok(parsed.ok, text);
  return parsed.value;
};

describe('what the proxy may dial', () => {
  const known = [address('192.168.50.2'), address('2a01:4f8:50::2')];
  const facts = {
    links: [prefix('198.19.0.0/16'), prefix('fdc0:ffe7:da11:ffff::/64')],
    local: ['192.168.50.2/32', '2a01:4f8:50::2/128', '10.9.0.1/32', 'fd00:9::1/128', '100.64.0.0/24'].map(prefix),
    isReserved: (one: ReturnType<typeof address>) => known.some((each) => addressesEqual(each, one)),
  };
  const rows: readonly (readonly [string, boolean, string])[] = [
    ['93.184.216.34', true, 'an address of the world'],
    ['2606:2800::1', true, 'one of IPv6'],
    ['192.168.50.2', true, 'an address of the host that the plan knows: a rule named it'],
    ['2a01:4f8:50::2', true, 'the same in IPv6'],
    ['10.9.0.1', false, 'one that the host got since'],
    ['fd00:9::1', false, 'the same in IPv6'],
    ['100.64.0.77', false, 'a range that the host takes for itself'],
    ['198.19.4.1', false, 'a link of a run'],
    ['fdc0:ffe7:da11:ffff::5', false, 'a link of a run in IPv6'],
    ['::ffff:10.9.0.1', false, 'a socket connects to what is inside'],
    ['::ffff:198.19.4.1', false, 'and so to a link'],
    ['64:ff9b::10.9.0.1', false, 'a translator too'],
    ['::ffff:192.168.50.2', true, 'inside is one that the plan knows'],
  ];
  for (const [to, may, what] of rows) test(`${to}: ${what}`, () => assert.equal(mayDial(address(to), facts), may));
});

describe('what the machine takes for itself', () => {
  test('is read from the routing of IPv4', () => {
    const text = `Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 172.17.0.0
        /16 link UNICAST
        /32 link BROADCAST
     |-- 172.17.0.1
        /24 link UNICAST
        /32 host LOCAL`;
    assert.deepEqual(parseLocal4(text).map(formatPrefix), ['127.0.0.0/8', '127.0.0.1/32', '172.17.0.1/32']);
  });

  test('and from the addresses of IPv6', () => {
    const text =
      '00000000000000000000000000000001 01 80 10 80       lo\n20010db8000000000000000000000002 04 40 00 82     eth0\n';
    assert.deepEqual(parseLocal6(text).map(formatPrefix), ['::1/128', '2001:db8::2/128']);
  });

  test('holds at least what Node lists of it', () => {
    const listed = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address));
    assert.ok(listed.length > 0);
    const [prefixes, addresses] = [localPrefixes(), localAddresses()];
    for (const text of listed.map((one) => address(one.replace(/%.*$/, '')))) {
      assert.ok(prefixes.some((one) => prefixContains(one, text)));
      assert.ok(addresses.some((one) => addressesEqual(one, text)));
    }
  });
});
