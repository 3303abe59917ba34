import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorityName, canonicalName, parseAddress, wireName } from '@cofferdam/net';
import fc from 'fast-check';
import { holds } from './seed.ts';

const value = (text: string) => {
  const name = canonicalName(text);
  return name.ok ? name.value : undefined;
};
const label63 = 'a'.repeat(63);
const longest = `${label63}.${label63}.${label63}.${'a'.repeat(61)}`;

for (const [text, canonical] of [
  ['example.com', 'example.com'],
  ['EXAMPLE.Com', 'example.com'],
  ['localhost', 'localhost'],
  ['_dmarc.example.com', '_dmarc.example.com'],
  ['-a-.example', '-a-.example'],
  ['r3---sn-4g5e6nzz.googlevideo.com', 'r3---sn-4g5e6nzz.googlevideo.com'],
  ['127.0.0.1.example', '127.0.0.1.example'],
  ['0x7f.example', '0x7f.example'],
  ['1.2.3.4a', '1.2.3.4a'],
  ['a.0xg', 'a.0xg'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['BÜCHER.example', 'xn--bcher-kva.example'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['XN--BCHER-KVA.example', 'xn--bcher-kva.example'],
  ['faß.de', 'xn--fa-hia.de'],
  ['例え。テスト', 'xn--r8jz45g.xn--zckzah'],
  ['ｅｘａｍｐｌｅ.com', 'example.com'],
  [`${label63}.com`, `${label63}.com`],
  [longest, longest],
] as const) {
  test(`${JSON.stringify(text).slice(0, 60)} means ${canonical.slice(0, 60)}`, () =>
    assert.equal(value(text), canonical));
}

for (const [text, code, help] of [
  ['', 'name-empty', ''],
  ['.', 'name-empty-label', ''],
  ['example.com.', 'name-trailing-dot', '`example.com`'],
  ['a..b', 'name-empty-label', '`a.b`'],
  ['.example.com', 'name-empty-label', '`example.com`'],
  ['example.com。', 'name-trailing-dot', '`example.com`'],
  ['exa mple.com', 'name-character', ''],
  ['example.com\n', 'name-character', ''],
  ['example.com\0.evil.net', 'name-character', ''],
  ['example.com%00', 'name-character', ''],
  ['ex%61mple.com', 'name-character', ''],
  ['*.example.com', 'name-character', 'pattern'],
  ['example.com:443', 'name-character', '`example.com`'],
  ['example.com/path', 'name-character', '`example.com`'],
  ['user@example.com', 'name-character', ''],
  ['https://example.com/x', 'name-is-url', '`example.com`'],
  ['1.2.3.4', 'name-is-address', 'cidr'],
  ['[::1]', 'name-is-address', 'cidr'],
  ['::1', 'name-is-address', 'cidr'],
  ['127.1', 'name-numeric', 'cidr'],
  ['2130706433', 'name-numeric', 'cidr'],
  ['0x7f000001', 'name-numeric', 'cidr'],
  ['0X7F.1', 'name-numeric', 'cidr'],
  ['example.0x', 'name-numeric', 'cidr'],
  ['example.123', 'name-numeric', 'cidr'],
  ['１２７.0.0.1', 'name-is-address', 'cidr'],
  ['127。1', 'name-numeric', 'cidr'],
  ['①.②', 'name-numeric', 'cidr'],
  ['xn--a', 'name-idna', ''],
  ['xn--.com', 'name-idna', ''],
  ['xn--example-.com', 'name-idna', ''],
  ['\u200d.example', 'name-idna', ''],
  ['a\u0378.example', 'name-idna', ''],
  ['℀.example', 'name-character', ''],
  [`${label63}a.com`, 'name-label-length', '63'],
  [`${longest}a`, 'name-length', '253'],
  [`${'ü'.repeat(60)}.de`, 'name-label-length', '63'],
] as const) {
  test(`${JSON.stringify(text).slice(0, 60)} is refused: ${code}`, () => {
    const name = canonicalName(text);
    assert.ok(!name.ok, text);
    assert.equal(name.error.code, code);
    assert.ok(name.error.help.includes(help), name.error.help);
    assert.doesNotMatch(name.error.message, /^[A-Z]|\.$/);
  });
}

test('one trailing dot may be let be', () => {
  assert.deepEqual(canonicalName('example.com.', { trailingDot: true }), { ok: true, value: 'example.com' });
  assert.deepEqual(canonicalName(`${longest}.`, { trailingDot: true }), { ok: true, value: longest });
  assert.equal(canonicalName('example.com..', { trailingDot: true }).ok, false);
  assert.equal(canonicalName('.', { trailingDot: true }).ok, false);
});

const unicodeText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(
      fc.constantFrom(
        'a',
        'Z',
        '0',
        '9',
        '0x',
        '.',
        '..',
        '-',
        '_',
        'xn--',
        'ü',
        'ß',
        'א',
        '。',
        '\u200d',
        '\0',
        '%',
        '127',
        'K',
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join('')),
);

test('a canonical name is a fixed point, a name on the wire, and an authority', () => {
  holds(
    fc.property(unicodeText, (text) => {
      const name = value(text);
      if (name === undefined) return;
      assert.equal(value(name), name);
      assert.equal(wireName(name), name);
      assert.equal(wireName(name.toUpperCase()), name);
      assert.deepEqual(authorityName(name, 443), { kind: 'name', name });
    }),
    4000,
  );
});

test('on the wire a name differs from canonical by ASCII case alone', () => {
  holds(
    fc.property(unicodeText, (text) => {
      const name = wireName(text);
      if (name === undefined) return;
      assert.match(text, /^[A-Za-z0-9_.-]{1,253}$/);
      assert.equal(name, text.toLowerCase());
    }),
    4000,
  );
});

test('no name is an IPv4 address to the URL parser', () => {
  const part = fc.constantFrom(
    '0',
    '1',
    '7f',
    '0x',
    '0X7F',
    '127',
    '256',
    '4294967295',
    '.',
    '.',
    'a',
    'f',
    '017',
    '00',
  );
  holds(
    fc.property(
      fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => parts.join('')),
      (text) => {
        const parsed = URL.parse(`http://${text}/`);
        if (parsed !== null && /^[0-9.]+$/.test(parsed.hostname)) assert.equal(wireName(text), undefined);
        if (wireName(text) !== undefined && parsed !== null) assert.equal(parsed.hostname, wireName(text));
      },
    ),
    3000,
  );
});

test('a name on the wire may have an A-label that does not decode; a written one may not', () => {
  assert.equal(wireName('xn--a.example'), 'xn--a.example');
  assert.equal(value('xn--a.example'), undefined);
});

test('every truncation of a name on the wire is judged by itself', () => {
  const name = 'a-b.xn--bcher-kva.example';
  for (let end = 0; end <= name.length; end++) {
    const cut = name.slice(0, end);
    assert.equal(wireName(cut), cut === '' || cut.endsWith('.') ? undefined : cut);
  }
});

const here = parseAddress('192.0.2.1')!;
const here6 = parseAddress('2001:db8::1')!;

for (const [host, port, destination, expected] of [
  ['example.com', 443, here, 'example.com'],
  ['Example.COM', 443, here, 'example.com'],
  ['example.com.', 443, here, 'example.com'],
  ['example.com:443', 443, here, 'example.com'],
  ['example.com.:443', 443, here, 'example.com'],
  ['example.com:80', 443, here, 'unreadable'],
  ['example.com:0443', 443, here, 'unreadable'],
  ['example.com:', 443, here, 'unreadable'],
  ['example.com:443:443', 443, here, 'unreadable'],
  ['example.com:443.', 443, here, 'unreadable'],
  ['example.com..', 443, here, 'unreadable'],
  ['example.com..:443', 443, here, 'unreadable'],
  ['user@example.com', 443, here, 'unreadable'],
  ['example.com, evil.net', 443, here, 'unreadable'],
  [' example.com', 443, here, 'unreadable'],
  ['', 443, here, 'unreadable'],
  ['.', 443, here, 'unreadable'],
  [':443', 443, here, 'unreadable'],
  ['192.0.2.1', 80, here, 'address'],
  ['192.0.2.1:80', 80, here, 'address'],
  ['192.0.2.1', 80, undefined, 'unreadable'],
  ['192.0.2.1.', 80, here, 'unreadable'],
  ['192.0.2.2', 80, here, 'unreadable'],
  ['192.0.513', 80, here, 'unreadable'],
  ['0xc0.0.2.1', 80, here, 'unreadable'],
  ['[192.0.2.1]', 80, here, 'unreadable'],
  ['[::ffff:192.0.2.1]', 80, here, 'unreadable'],
  ['[2001:db8::1]', 80, here6, 'address'],
  ['[2001:DB8:0::1]:80', 80, here6, 'address'],
  ['2001:db8::1', 80, here6, 'unreadable'],
  ['[2001:db8::1%eth0]', 80, here6, 'unreadable'],
  ['[2001:db8::1', 80, here6, 'unreadable'],
  ['[2001:db8::2]', 80, here6, 'unreadable'],
  ['[v1.x]', 80, here6, 'unreadable'],
] as const) {
  test(`Host ${JSON.stringify(host)} on port ${port} is ${expected}`, () => {
    const authority = authorityName(host, port, destination);
    assert.equal(authority.kind === 'name' ? authority.name : authority.kind, expected);
  });
}
