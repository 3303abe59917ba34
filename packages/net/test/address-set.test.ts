import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  isPrivateNetwork,
  isPublicInternet,
  lastAddress,
  parseAddress,
  parsePrefix,
  privateNetworks,
  reservedRange,
  reservedRanges,
  specialPurpose,
} from '@cofferdam/net';
import { testdata, withTestdata } from './seed.ts';

const address = (text: string) => parseAddress(text)!;

/** Every entry of the two IANA special-purpose registries. Those that may hold an IPv4 address are judged by it and stand below. */
const registered = `
  0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.0.0/29 192.0.0.8/32
  192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16
  192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32
  ::1/128 ::/128 100::/64 100:0:0:1::/64 2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28
  2001:20::/28 2001:30::/28 2001:db8::/32 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10`;

test('nothing that IANA registers as special-purpose is public internet', () => {
  for (const text of registered.trim().split(/\s+/)) {
    const prefix = parsePrefix(text);
    assert.ok(prefix.ok, text);
    assert.equal(isPublicInternet(prefix.value.address), false, text);
    assert.equal(isPublicInternet(lastAddress(prefix.value)), false, text);
  }
});

for (const [text, expected] of [
  ['8.8.8.8', true],
  ['1.1.1.1', true],
  ['9.255.255.255', true],
  ['11.0.0.0', true],
  ['100.63.255.255', true],
  ['100.128.0.0', true],
  ['172.15.255.255', true],
  ['172.32.0.0', true],
  ['192.0.1.0', true],
  ['223.255.255.255', true],
  ['168.63.129.15', true],
  ['168.63.129.16', false],
  ['100.100.100.200', false],
  ['161.26.0.10', false],
  ['224.0.0.1', false],
  ['2606:4700:4700::1111', true],
  ['2a00:1450:4001::200e', true],
  ['2001:200::1', true],
  ['2001:1ff::1', false],
  ['ff02::1', false],
  ['ff0e::1', false],
  ['fec0::1', false],
  ['4000::1', false],
  ['::ffff:0:127.0.0.1', false],
  // An IPv4 address inside is what counts, alone.
  ['::ffff:8.8.8.8', true],
  ['::8.8.8.8', true],
  ['64:ff9b::8.8.8.8', true],
  ['64:ff9b:1::8.8.8.8', true],
  ['2002:808:808::1', true],
  ['2001:0:4136:e378:8000:63bf:f7f7:f7f7', true],
  ['::ffff:10.0.0.1', false],
  ['::ffff:168.63.129.16', false],
  ['64:ff9b::169.254.169.254', false],
  ['64:ff9b:1:a00:0:100:808:808', false],
  ['2002:7f00:1::', false],
  ['2001:0:4136:e378:8000:63bf:80ff:fffe', false],
] as const) {
  test(`${text} is ${expected ? '' : 'not '}public internet`, () =>
    assert.equal(isPublicInternet(address(text)), expected));
}

test('private networks: RFC 1918, RFC 4193, RFC 6598', () => {
  for (const text of [
    '10.0.0.0',
    '172.31.255.255',
    '192.168.0.1',
    '100.64.0.1',
    '100.127.255.255',
    'fd00::1',
    'fc00::',
  ]) {
    assert.ok(isPrivateNetwork(address(text)), text);
    assert.ok(!isPublicInternet(address(text)), text);
  }
  for (const text of [
    '172.32.0.0',
    '100.128.0.0',
    '169.254.0.1',
    '127.0.0.1',
    'fe80::1',
    'fe00::',
    '8.8.8.8',
    '::ffff:10.0.0.1',
  ]) {
    assert.ok(!isPrivateNetwork(address(text)), text);
  }
});

for (const [text, name] of [
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['0.0.0.0', 'this-network'],
  ['::', 'unspecified'],
  ['::1', 'loopback-ipv6'],
  ['169.254.1.1', 'link-local'],
  ['169.254.169.254', 'cloud-metadata'],
  ['169.254.169.253', 'aws-dns'],
  ['168.63.129.16', 'azure-platform'],
  ['fd00:ec2::254', 'aws-ipv6'],
  ['fd00:ec2::253', 'aws-ipv6'],
  ['fd00:ec2::23', 'aws-ipv6'],
  ['100.100.100.200', 'alibaba-metadata'],
  ['fd20:ce::254', 'google-metadata-ipv6'],
  ['fe80::1', 'link-local-ipv6'],
  ['fe80::a9fe:a9fe', 'openstack-metadata-ipv6'],
  ['224.0.0.251', 'multicast'],
  ['ff02::fb', 'multicast-ipv6'],
  ['255.255.255.255', 'limited-broadcast'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:169.254.169.254', 'cloud-metadata'],
  ['64:ff9b::a9fe:a9fe', 'cloud-metadata'],
  ['64:ff9b:1::a9fe:a9fe', 'cloud-metadata'],
  ['2002:a9fe:a9fe::', 'cloud-metadata'],
  ['::a9fe:a9fe', 'cloud-metadata'],
  ['2001:0:4136:e378:8000:63bf:5601:5601', 'cloud-metadata'],
  ['10.0.0.1', undefined],
  ['8.8.8.8', undefined],
  ['fd00::1', undefined],
  ['2606:4700::1111', undefined],
] as const) {
  test(`${text} is in ${name ?? 'no reserved range'}`, () => assert.equal(reservedRange(address(text))?.name, name));
}

test('reserved ranges have a name of their own and a source, and none is public internet', () => {
  assert.equal(new Set(reservedRanges.map((range) => range.name)).size, reservedRanges.length);
  for (const { prefix, name, source } of reservedRanges) {
    assert.match(name, /^[a-z0-9]+(-[a-z0-9]+)*$/);
    assert.notEqual(source, '');
    assert.equal(isPublicInternet(prefix.address), false, name);
    assert.equal(isPublicInternet(lastAddress(prefix)), false, name);
  }
});

test('private networks are special-purpose', () => {
  const special = new Set(specialPurpose.map((prefix) => `${prefix.address.value}/${prefix.length}`));
  for (const prefix of privateNetworks) {
    const listed = special.has(`${prefix.address.value}/${prefix.length}`);
    assert.ok(listed || (prefix.address.family === 6 && prefix.address.value >= 1n << 127n));
  }
});

test('what AWS, Google and GitHub publish is public internet', withTestdata, () => {
  const read = (file: string) => JSON.parse(readFileSync(`${testdata}/1_ip_ranges/${file}`, 'utf8'));
  const aws = read('aws/ip-ranges_20200109.json');
  const google = read('gcp/cloud_20250715.json');
  const github = read('github/meta_20250720.json');
  const texts: string[] = [
    ...aws.prefixes.map((row: { ip_prefix: string }) => row.ip_prefix),
    ...aws.ipv6_prefixes.map((row: { ipv6_prefix: string }) => row.ipv6_prefix),
    ...google.prefixes.map((row: { ipv4Prefix?: string; ipv6Prefix?: string }) => row.ipv4Prefix ?? row.ipv6Prefix),
    ...github.web,
    ...github.actions,
  ];
  assert.ok(texts.length > 5000);
  for (const text of new Set(texts)) {
    const prefix = parsePrefix(text);
    assert.ok(prefix.ok, text);
    assert.ok(isPublicInternet(prefix.value.address) && isPublicInternet(lastAddress(prefix.value)), text);
  }
});
