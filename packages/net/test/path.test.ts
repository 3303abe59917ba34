import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalPath, foldPath, parsePathPattern, pathPatternMatches } from '@cofferdam/net';
import fc from 'fast-check';
import { holds } from './seed.ts';

for (const [raw, canonical] of [
  ['/', '/'],
  ['/a/b', '/a/b'],
  ['/a/', '/a/'],
  ['//', '/'],
  ['//a///b//', '/a/b/'],
  ['/.', '/'],
  ['/..', '/'],
  ['/../..', '/'],
  ['/../a', '/a'],
  ['/a/.', '/a/'],
  ['/a/./b', '/a/b'],
  ['/a/..', '/'],
  ['/a/b/..', '/a/'],
  ['/a/../b', '/b'],
  ['/a//../b', '/b'],
  ['/...', '/...'],
  ['/.a/..b', '/.a/..b'],
  ['/%61%2E%7e', '/a.~'],
  ['/a/%2e%2E/b', '/b'],
  ['/a/.%2e/b', '/b'],
  ['/%252e%252e/b', '/%252e%252e/b'],
  ['/%252f', '/%252f'],
  ['/%20', '/%20'],
  ['/%3f%23', '/%3F%23'],
  ['/{x}|^"<>`[]', '/%7Bx%7D%7C%5E%22%3C%3E%60%5B%5D'],
  ['/@acme', '/@acme'],
  ['/%40acme', '/%40acme'],
  ['/a+b%2b', '/a+b%2B'],
  ["/!$&'()*+,;=:@", "/!$&'()*+,;=:@"],
  ['/a;x=1/b', '/a;x=1/b'],
  ['/a;x/../b', '/b'],
  ['/%c3%bc', '/%C3%BC'],
  ['/%e2%82%ac%f0%9f%98%80', '/%E2%82%AC%F0%9F%98%80'],
] as const) {
  test(`${raw} is the path ${canonical}`, () => assert.equal(canonicalPath(raw), canonical));
}

for (const [why, raw] of [
  ['empty', ''],
  ['relative', 'a'],
  ['asterisk', '*'],
  ['absolute URL', 'http://example.com/'],
  ['query', '/a?b'],
  ['fragment', '/a#b'],
  ['space', '/a b'],
  ['NUL', '/a\0'],
  ['escaped NUL', '/a%00'],
  ['line feed', '/a\nb'],
  ['escaped line feed', '/a%0a'],
  ['escaped carriage return', '/a%0D%0AHost:x'],
  ['escaped delete', '/%7f'],
  ['escaped C1 control', '/%C2%85'],
  ['backslash', '/a\\..\\b'],
  ['escaped backslash', '/a%5c'],
  ['escaped slash', '/a%2fb'],
  ['escaped dots and slash', '/%2e%2e%2fa'],
  ['broken escape', '/%'],
  ['broken escape', '/%2'],
  ['broken escape', '/%zz'],
  ['IIS escape', '/%u002e'],
  ['overlong slash', '/%c0%af'],
  ['overlong dot', '/%c0%ae%c0%ae/'],
  ['overlong slash, three octets', '/%e0%80%af'],
  ['surrogate', '/%ed%a0%80'],
  ['above Unicode', '/%f4%90%80%80'],
  ['lone continuation', '/%80'],
  ['cut character', '/%c3'],
  ['cut character before text', '/%c3a'],
  ['cut character before an escape', '/%e2%82%41'],
  ['latin-1', '/%fc'],
  ['not ASCII', '/ü'],
  ['parameters that hide dots', '/..;/admin'],
  ['parameters that hide dots', '/a/..;x=1/admin'],
  ['escaped parameters that hide dots', '/a/..%3b/admin'],
  ['parameters that hide a dot', '/a/.;/admin'],
  ['parameters alone', '/;/admin'],
] as const) {
  test(`${why}: ${JSON.stringify(raw)} has no canonical form`, () => assert.equal(canonicalPath(raw), undefined));
}

const part = fc.constantFrom(
  '/',
  '//',
  '.',
  '..',
  '/../',
  '/./',
  'a',
  'B',
  '~',
  '%2e',
  '%2E',
  '%41',
  '%25',
  '%2f',
  '%40',
  '@',
  ';',
  '%3B',
  '%20',
  '%c3%bc',
  '%C3',
  '*',
  '+',
  '{',
  '%',
  ' ',
  '\\',
  '%00',
  'ü',
);
const rawPath = fc.array(part, { maxLength: 14 }).map((parts) => `/${parts.join('')}`);

test('a canonical path is a fixed point with no dot segments, no double slash and only strict escapes', () => {
  holds(
    fc.property(rawPath, (raw) => {
      const path = canonicalPath(raw);
      if (path === undefined) return;
      assert.equal(canonicalPath(path), path);
      assert.match(path, /^(?:\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-F]{2})*)+$/);
      assert.doesNotMatch(path, /\/\/|\/\.\.?(?:\/|$)|%2F|%5C|%00/);
    }),
    4000,
  );
});

test('a canonical path is what the URL parser makes of it, so the server reads no other', () => {
  holds(
    fc.property(rawPath, (raw) => {
      const path = canonicalPath(raw);
      if (path !== undefined) assert.equal(new URL(`https://example.com${path}`).pathname, path);
    }),
    2000,
  );
});

test('where nothing is folded, resolving dots is the URL parser’s', () => {
  holds(
    fc.property(fc.array(fc.constantFrom('a', 'b', '.', '..', '%2e', 'c.d'), { maxLength: 8 }), (segments) => {
      const raw = `/${segments.join('/')}`;
      assert.equal(canonicalPath(raw), new URL(`https://example.com${raw}`).pathname);
    }),
    1500,
  );
});

test('every escape of an octet is decoded, kept or refused; lower case digits make no difference', () => {
  for (let octet = 0; octet < 128; octet++) {
    const written = `%${octet.toString(16).padStart(2, '0')}`;
    const path = canonicalPath(`/x${written}y`);
    assert.equal(path, canonicalPath(`/x${written.toUpperCase()}y`));
    const character = String.fromCharCode(octet);
    if (octet < 32 || octet === 127 || character === '/' || character === '\\') assert.equal(path, undefined, written);
    else if (/[A-Za-z0-9._~-]/.test(character)) assert.equal(path, `/x${character}y`);
    else assert.equal(path, `/x${written.toUpperCase()}y`);
  }
});

for (const [text, matches, misses] of [
  ['/', ['/'], ['/a', '/a/']],
  ['/**', ['/', '/a', '/a/b/', '/%40x'], []],
  ['/repos/**', ['/repos/', '/repos/a', '/repos/a/b'], ['/repos', '/repos-evil/a', '/', '/x/repos/a']],
  ['/repos/*', ['/repos/a', '/repos/%20'], ['/repos/', '/repos', '/repos/a/', '/repos/a/b']],
  ['/v*/x', ['/v/x', '/v1/x', '/v1.2/x'], ['/w/x', '/v1/y', '/v1/x/']],
  ['/a/*.json', ['/a/x.json', '/a/.json'], ['/a/x.jsonp', '/a/x/y.json']],
  ['/*/raw/**', ['/x/raw/', '/x/raw/a/b'], ['/x/raw', '/x/y/raw/a']],
  ['/a*b*c', ['/abc', '/axbxc'], ['/ac', '/acb', '/abc/']],
  ['/@acme/**', ['/@acme/x', '/%40acme/x'], ['/acme/x']],
  ['/%40acme/**', ['/@acme/x', '/%40acme/x'], []],
  ['/a%2Ab', ['/a*b', '/a%2Ab'], ['/axb']],
  ['/a%20b', ['/a%20b'], ['/ab']],
  ['/A', ['/A'], ['/a']],
] as const) {
  test(`${text} takes in ${matches.join(' ')} and not ${misses.join(' ')}`, () => {
    const pattern = parsePathPattern(text);
    assert.ok(pattern.ok);
    for (const match of matches) assert.ok(pathPatternMatches(pattern.value, match), match);
    for (const miss of misses) assert.ok(!pathPatternMatches(pattern.value, miss), miss);
  });
}

for (const [text, code, help] of [
  ['repos/**', 'path-relative', '`/repos/**`'],
  ['', 'path-relative', '`/`'],
  ['/a?b=c', 'path-query', '`/a`'],
  ['/a#b', 'path-query', '`/a`'],
  ['/a//b', 'path-not-canonical', '`/a/b`'],
  ['/a/../b', 'path-not-canonical', '`/b`'],
  ['/a b', 'path-not-canonical', '`/a%20b`'],
  ['/bücher/*', 'path-not-canonical', '`/b%C3%BCcher/*`'],
  ['/%7Ea', 'path-not-canonical', '`/~a`'],
  ['/a%2fb', 'path-syntax', ''],
  ['/a\\b', 'path-syntax', ''],
  ['/%', 'path-syntax', ''],
  ['/**/b', 'path-double-star', '`/**`'],
  ['/a/**/b', 'path-double-star', '`/a/**`'],
  ['/a/b**', 'path-double-star', '`/a/**`'],
  ['/a/***', 'path-double-star', '`/a/**`'],
] as const) {
  test(`the path ${JSON.stringify(text)} is refused: ${code}`, () => {
    const pattern = parsePathPattern(text);
    assert.ok(!pattern.ok);
    assert.equal(pattern.error.code, code);
    assert.ok(pattern.error.help.includes(help), pattern.error.help);
  });
}

const segment = fc.stringMatching(/^[ab*]{1,5}$/).filter((text) => !text.includes('**'));
const anyPattern = fc
  .tuple(fc.array(segment, { minLength: 0, maxLength: 3 }), fc.constantFrom('', '/', '/**'))
  .map(
    ([segments, end]) =>
      `/${segments.join('/')}${segments.length === 0 && end !== '/**' ? '' : segments.length === 0 ? '**' : end}`,
  );

/** The obvious twin, as a regular expression. */
function slowMatches(text: string, path: string): boolean {
  const source = text
    .split('/')
    .map((part) => (part === '**' ? '.*' : part === '*' ? '[^/]+' : part.replaceAll('*', '[^/]*')))
    .join('/');
  return new RegExp(`^${source}$`).test(path);
}

test('a path pattern takes in what its obvious twin takes in', () => {
  holds(
    fc.property(anyPattern, fc.stringMatching(/^(?:\/[ab]{1,4}){0,4}\/?$/), (text, path) => {
      const pattern = parsePathPattern(text);
      assert.ok(pattern.ok, text);
      const canonical = canonicalPath(path === '' ? '/' : path)!;
      assert.equal(pathPatternMatches(pattern.value, canonical), slowMatches(text, canonical), `${text} ${canonical}`);
    }),
    4000,
  );
});

test('folding touches delimiters only', () => {
  assert.equal(foldPath('/%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40'), "/!$&'()*+,;=:@");
  assert.equal(
    foldPath('/%20%22%23%25%3C%3E%3F%5B%5D%5E%60%7B%7C%7D%C3%BC'),
    '/%20%22%23%25%3C%3E%3F%5B%5D%5E%60%7B%7C%7D%C3%BC',
  );
  // Decoded once: an escaped percent sign and two digits make no escape.
  assert.equal(foldPath('/%2540'), '/%2540');
});
