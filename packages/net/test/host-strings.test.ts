import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  authorityName,
  canonicalName,
  domainPatternMatches,
  formatAddress,
  isPublicInternet,
  parseAddress,
  parseDomainPattern,
  reservedRange,
  wireName,
} from '@cofferdam/net';

/**
 * Hosts by which egress filters were passed: each means one thing to the filter and another to the resolver, the proxy or the server behind.
 * Here none of them is a name, or it is exactly the name that it looks like and no other.
 */
const notNames: [string, string][] = [
  ['NUL cuts the name for C programs', 'evil.net\0.allowed.example'],
  ['NUL at the end', 'allowed.example\0'],
  ['escaped NUL', 'evil.net%00.allowed.example'],
  ['escaped letter', 'allowed%2eexample'],
  ['escaped slash', 'evil.net%2f.allowed.example'],
  ['line break into a configuration or a header', 'allowed.example\r\nhttp_access allow all'],
  ['line feed', 'allowed.example\n.evil.net'],
  ['tab', 'allowed.example\t'],
  ['space', 'allowed.example evil.net'],
  ['comment sign', 'evil.net#.allowed.example'],
  ['query sign', 'evil.net?.allowed.example'],
  ['slash', 'evil.net/.allowed.example'],
  ['backslash', 'evil.net\\.allowed.example'],
  ['user name', 'allowed.example@evil.net'],
  ['user name and port', 'allowed.example:80@evil.net'],
  ['port', 'allowed.example:443'],
  ['regular expression', '.*'],
  ['regular expression', 'allowed.example|evil.net'],
  ['shell', '$(id).allowed.example'],
  ['quote', 'allowed.example"'],
  ['comma', 'allowed.example,evil.net'],
  ['semicolon', 'allowed.example;evil.net'],
  ['braces', '{allowed.example}'],
  ['two trailing dots', 'allowed.example..'],
  ['leading dot', '.allowed.example'],
  ['empty label', 'allowed..example'],
  ['dot alone', '.'],
  ['nothing', ''],
  ['brackets around a name', '[allowed.example]'],
  ['IPv6', '::1'],
  ['IPv6 in brackets', '[::1]'],
  ['IPv6 with a zone', '[fe80::1%25eth0]'],
  ['mapped IPv4 in brackets', '[::ffff:169.254.169.254]'],
  ['quad', '127.0.0.1'],
  ['quad with a dot', '127.0.0.1.'],
  ['short quad', '127.1'],
  ['three parts', '127.0.1'],
  ['one number', '2130706433'],
  ['octal', '0177.0.0.1'],
  ['octal number', '017700000001'],
  ['hexadecimal', '0x7f.0.0.1'],
  ['hexadecimal number', '0x7f000001'],
  ['hexadecimal, upper case', '0X7F000001'],
  ['hexadecimal last part', '127.0.0.0x1'],
  ['bare 0x is zero', '0x'],
  ['zero', '0'],
  ['overflow', '4294967296'],
  ['overflow in a part', '1.256'],
  ['too many parts', '1.2.3.4.5'],
  ['metadata as a number', '2852039166'],
  ['metadata, mixed', '0xA9.254.43518'],
];

for (const [what, text] of notNames) {
  test(`${what}: ${JSON.stringify(text)} is no name, written, sent or in Host`, () => {
    assert.equal(canonicalName(text).ok, false);
    assert.equal(wireName(text), undefined);
    assert.equal(parseDomainPattern(text).ok && !text.includes('*'), false);
    if (text !== 'allowed.example:443') assert.equal(authorityName(text, 443).kind, 'unreadable');
  });
}

/** Letters that fold to ASCII in JavaScript, ICU or a resolver. A person may write them; a client may not send them. */
for (const [text, meaning] of [
  ['ALLOWED.EXAMPLE', 'allowed.example'],
  ['\u212aelvin.example', 'kelvin.example'],
  ['ａｌｌｏｗｅｄ.example', 'allowed.example'],
  ['allowed。example', 'allowed.example'],
  ['al\u00adlowed.example', 'allowed.example'],
  ['allowed\u2060.example', 'allowed.example'],
  ['ſsh.example', 'ssh.example'],
] as const) {
  test(`${JSON.stringify(text)} may be written for ${meaning}; sent, it is a name only where ASCII case is all that differs`, () => {
    assert.deepEqual(canonicalName(text), { ok: true, value: meaning });
    assert.equal(wireName(text), /^[\x20-\x7e]*$/.test(text) ? meaning : undefined);
  });
}

test('look-alike letters are another name', () => {
  const cyrillic = canonicalName('аllowed.example');
  assert.ok(cyrillic.ok && cyrillic.value.startsWith('xn--') && cyrillic.value !== 'allowed.example');
});

for (const text of [
  '１２７.０.０.１',
  '①②⑦.1',
  '127。0。0。1',
  '１６９.254.169.254',
  '0ⅹ7f.1',
  '２１３０７０６４３３',
]) {
  test(`${text} folds to an address and is no name`, () => assert.equal(canonicalName(text).ok, false));
}

/** Names that end in, begin with or contain a permitted one without being it. */
for (const pattern of ['allowed.example', '*.allowed.example', '**.allowed.example']) {
  test(`${pattern} takes in no neighbour`, () => {
    const parsed = parseDomainPattern(pattern);
    assert.ok(parsed.ok);
    for (const neighbour of [
      'notallowed.example',
      'evil-allowed.example',
      'allowed.example.evil.net',
      'allowed-example',
      'allowedxexample',
      'allowed.examples',
      'xallowed.example',
      'sub.allowed.example.evil.net',
      'sub.notallowed.example',
      'example',
      'allowed.exampl',
      'a.allowedxexample',
    ]) {
      assert.equal(domainPatternMatches(parsed.value, wireName(neighbour)!), false, neighbour);
    }
  });
}

/** RFC 6052, section 2.2, below `64:ff9b:1::/48`, with a public address in the suffix that translators ignore. */
const localNat64 = (text: string): string => {
  const { value } = parseAddress(text)!;
  const suffix = (value & 0xffffn) === 0n ? 0n : 0x08080808n;
  return formatAddress({
    family: 6,
    value: (0x64ff9b0001n << 80n) | ((value >> 16n) << 64n) | ((value & 0xffffn) << 40n) | suffix,
  });
};

/** Private and platform addresses in every IPv6 disguise. */
for (const [inside, high, low] of [
  ['127.0.0.1', '7f00', '1'],
  ['10.0.0.1', 'a00', '1'],
  ['192.168.0.1', 'c0a8', '1'],
  ['172.16.0.1', 'ac10', '1'],
  ['100.64.0.1', '6440', '1'],
  ['169.254.169.254', 'a9fe', 'a9fe'],
  ['168.63.129.16', 'a83f', '8110'],
  ['100.100.100.200', '6464', '64c8'],
  ['0.0.0.0', '0', '0'],
] as const) {
  const invert = (group: string) => (0xffff ^ Number.parseInt(group, 16)).toString(16);
  const disguises = [
    inside,
    `::ffff:${inside}`,
    `::ffff:${high}:${low}`,
    `0:0:0:0:0:FFFF:${high}:${low}`,
    `::ffff:0:${high}:${low}`,
    `::${high}:${low}`,
    `64:ff9b::${high}:${low}`,
    `64:ff9b:1::${high}:${low}`,
    localNat64(inside),
    `2002:${high}:${low}::`,
    `2002:${high}:${low}::8.8.8.8`,
    `2001:0:808:808:8000:63bf:${invert(high)}:${invert(low)}`,
  ];
  test(`${inside} is not public internet in any of ${disguises.length} forms`, () => {
    for (const text of disguises) {
      const address = parseAddress(text);
      assert.ok(address, text);
      assert.equal(isPublicInternet(address), false, text);
    }
  });
}

test('a platform address is reserved in every form that may reach it', () => {
  for (const text of [
    '169.254.169.254',
    '::ffff:a9fe:a9fe',
    '::a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::a9fe:a9fe',
    '2002:a9fe:a9fe::1',
    '64:ff9b:1:a9fe:a9:fe00::',
  ]) {
    assert.equal(reservedRange(parseAddress(text)!)?.name, 'cloud-metadata', text);
  }
});
