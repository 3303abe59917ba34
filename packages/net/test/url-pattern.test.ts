import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseUrlPattern, urlPatternMatches, wireName } from '@cofferdam/net';

const url = (text: string) => {
  const [, scheme, host, path] = /^(https?):\/\/([^/]+)(.*)$/.exec(text)!;
  return { scheme: scheme as 'http' | 'https', host: wireName(host!)!, path: path! };
};

for (const [text, matches, misses] of [
  [
    'https://api.github.com/repos/acme/**',
    ['https://api.github.com/repos/acme/', 'https://api.github.com/repos/acme/x/y'],
    [
      'http://api.github.com/repos/acme/x',
      'https://github.com/repos/acme/x',
      'https://api.github.com/repos/acme',
      'https://api.github.com/repos/acme-evil/x',
    ],
  ],
  [
    'http://*.example.com/v*/items',
    ['http://a.example.com/v1/items'],
    ['http://example.com/v1/items', 'http://a.example.com/v1/items/1'],
  ],
  ['HTTPS://Example.COM/**', ['https://example.com/'], ['https://www.example.com/']],
  ['https://bücher.example/', ['https://xn--bcher-kva.example/'], ['https://xn--bcher-kva.example/a']],
] as const) {
  test(`${text} takes in ${matches.join(' ')} and not ${misses.join(' ')}`, () => {
    const pattern = parseUrlPattern(text);
    assert.ok(pattern.ok);
    for (const match of matches) assert.ok(urlPatternMatches(pattern.value, url(match)), match);
    for (const miss of misses) assert.ok(!urlPatternMatches(pattern.value, url(miss)), miss);
    assert.deepEqual(parseUrlPattern(pattern.value.text), pattern);
  });
}

for (const [text, code, help] of [
  ['api.github.com/repos', 'url-syntax', 'https://'],
  ['', 'url-syntax', 'https://'],
  ['https:/example.com/', 'url-syntax', 'https://'],
  ['ftp://example.com/', 'url-scheme', '`http` or `https`'],
  ['*://example.com/', 'url-syntax', 'https://'],
  ['https://example.com', 'url-no-path', '`https://example.com/**`'],
  ['https://example.com:8443/x', 'url-port', '`https://example.com/x`'],
  ['https://example.com:/x', 'url-port', '`https://example.com/x`'],
  ['https://user:pw@example.com/x', 'url-user', '`https://example.com/x`'],
  ['https://allowed.com@evil.example/x', 'url-user', '`https://evil.example/x`'],
  ['https://example.com\\@evil.example/x', 'url-user', ''],
  ['https:///x', 'name-empty', ''],
  ['https://*.com/x', 'pattern-public-suffix', ''],
  ['https://10.0.0.1/x', 'name-is-address', 'cidr'],
  ['https://[::1]/x', 'name-is-address', 'cidr'],
  ['https://example.com?x', 'path-relative', ''],
  ['https://example.com/x?y', 'path-query', '`/x`'],
  ['https://example.com/a/../b', 'path-not-canonical', '`/b`'],
  ['https://example.com/**/b', 'path-double-star', '`/**`'],
] as const) {
  test(`${JSON.stringify(text)} is refused: ${code}`, () => {
    const pattern = parseUrlPattern(text);
    assert.ok(!pattern.ok);
    assert.equal(pattern.error.code, code);
    assert.ok(pattern.error.help.includes(help), pattern.error.help);
  });
}
