import assert from 'node:assert/strict';
import test from 'node:test';
import { cutStream } from '@cofferdam/testkit';
import {
  type BodyFraming,
  createRequestHeadReader,
  createResponseHeadReader,
  type RequestHead,
  type RequestHeadState,
  type RequestTarget,
  type ResponseHead,
  type ResponseHeadState,
} from '@cofferdam/wire';
import fc from 'fast-check';
import { text } from './hello-bytes.ts';
import { everyCutInTwo, property } from './parsing.ts';

const request = (...pieces: readonly Uint8Array[]): RequestHeadState => {
  const reader = createRequestHeadReader();
  return pieces.map((piece) => reader.push(piece)).at(-1) ?? { state: 'need-more' };
};
const response = (method: string, ...pieces: readonly Uint8Array[]): ResponseHeadState => {
  const reader = createResponseHeadReader(method);
  return pieces.map((piece) => reader.push(piece)).at(-1) ?? { state: 'need-more' };
};
const outcome = (state: RequestHeadState | ResponseHeadState): string =>
  state.state === 'unreadable' ? state.because : state.state;
const lines = (...each: readonly string[]): string => `${each.join('\r\n')}\r\n\r\n`;
const get = (...fields: readonly string[]): string => lines('GET / HTTP/1.1', 'Host: a.example', ...fields);
const requestHead = (whole: string): RequestHead => {
  const state = request(text(whole));
  return state.state === 'head' ? state.head : assert.fail(`${outcome(state)}: ${whole}`);
};
const responseHead = (method: string, whole: string): ResponseHead => {
  const state = response(method, text(whole));
  return state.state === 'head' ? state.head : assert.fail(`${outcome(state)}: ${whole}`);
};

const typical = lines(
  'POST /v1/messages?beta=true HTTP/1.1',
  'Host: API.example.com',
  'Content-Type:application/json',
  'X-Empty:',
  'Accept: \t a, b \t',
  'Content-Length: 12',
);

test('a request head', () => {
  const state = request(text(`${typical}hello world!`));
  assert.equal(state.state, 'head');
  assert.equal(state.headLength, typical.length);
  assert.deepEqual(state.head, {
    method: 'POST',
    target: { form: 'origin', raw: '/v1/messages?beta=true', path: '/v1/messages', query: 'beta=true' },
    version: '1.1',
    fields: [
      { name: 'Host', value: 'API.example.com' },
      { name: 'Content-Type', value: 'application/json' },
      { name: 'X-Empty', value: '' },
      { name: 'Accept', value: 'a, b' },
      { name: 'Content-Length', value: '12' },
    ],
    host: 'API.example.com',
    authoritiesAgree: true,
    framing: { kind: 'length', length: 12 },
    keepAlive: true,
    expectsContinue: false,
    upgrade: [],
    upgradeToH2c: false,
  } satisfies RequestHead);
});

test('every truncation waits, every cut gives the same head', () => {
  const whole = text(typical);
  for (let length = 0; length < whole.length; length++) {
    assert.equal(request(whole.subarray(0, length)).state, 'need-more', `first ${length} bytes`);
  }
  const expected = request(whole);
  for (const pieces of everyCutInTwo(whole)) assert.deepEqual(request(...pieces), expected);
  assert.deepEqual(request(...cutStream(whole, [1])), expected);
  const answer = text(lines('HTTP/1.1 200 OK', 'Content-Length: 3'));
  for (let length = 0; length < answer.length; length++) {
    assert.equal(response('GET', answer.subarray(0, length)).state, 'need-more', `first ${length} bytes`);
  }
  for (const pieces of everyCutInTwo(answer)) assert.deepEqual(response('GET', ...pieces), response('GET', answer));
});

test('what is no strict request', () => {
  const rows: [string, string][] = [
    [lines('GET / HTTP/1.1'), 'host-missing'],
    [lines('GET / HTTP/1.1', 'Host: a', 'Host: a'), 'host-repeated'],
    [lines('GET / HTTP/1.1', 'Host: a', 'HOST: b'), 'host-repeated'],
    ...['', 'a b', 'a,b', 'u@a', 'a/b', 'a:x', 'a:99999', 'b\u00fccher', '[::1', '::1', 'a\\b', 'a%2e', 'a:'].map(
      (host): [string, string] => [lines('GET / HTTP/1.1', `Host: ${host}`), 'host-malformed'],
    ),
    ['GET /\r\n', 'http-0.9'],
    ['GET / HTTP/1.1\n', 'bare-lf'],
    ['GET / HTTP/1.1\r\nHost: a\n\n', 'bare-lf'],
    ['GET / HTTP/1.1\r\nHost: a\rb: c\r\n', 'bare-cr'],
    ['GET /\r HTTP/1.1\r\n', 'bare-cr'],
    ['GET /\0 HTTP/1.1\r\n', 'control-character'],
    ['GET / HTTP/1.1\r\nHost: a\0\r\n', 'control-character'],
    ['GET / HTTP/1.1\r\nHost: a\x7f\r\n', 'control-character'],
    ['GET / HTTP/1.1\r\nHost: a\r\n b\r\n', 'obs-fold'],
    ['GET / HTTP/1.1\r\n\tHost: a\r\n', 'obs-fold'],
    ['GET / HTTP/1.1\r\nHost : a\r\n', 'space-before-colon'],
    ['GET / HTTP/1.1\r\nHost\t: a\r\n', 'space-before-colon'],
    ['GET / HTTP/1.1\r\n: a\r\n', 'field-name'],
    ['GET / HTTP/1.1\r\nHost\r\n', 'field-name'],
    ['GET / HTTP/1.1\r\nHo st: a\r\n', 'field-name'],
    ['GET / HTTP/1.1\r\nH\u00f6st: a\r\n', 'field-name'],
    ['\r\nGET / HTTP/1.1\r\n', 'request-line'],
    ['\nGET / HTTP/1.1\r\n', 'bare-lf'],
    [' GET / HTTP/1.1\r\n', 'request-line'],
    ['GET  / HTTP/1.1\r\n', 'request-line'],
    ['GET / HTTP/1.1 \r\n', 'request-line'],
    ['GET\t/ HTTP/1.1\r\n', 'request-line'],
    ['GET\x0b/ HTTP/1.1\r\n', 'control-character'],
    ['GET\r/ HTTP/1.1\r\n', 'bare-cr'],
    ['\tGET / HTTP/1.1\r\n', 'method'],
    ['GET\n', 'not-http'],
    ['GET /a b HTTP/1.1\r\n', 'request-line'],
    ['EHLO mail\r\n', 'request-line'],
    ['get / HTTP/1.1\r\n', 'method'],
    ['G.T / HTTP/1.1\r\n', 'method'],
    [`${'A'.repeat(65)} / HTTP/1.1\r\n`, 'method'],
    ['GET / HTTP/2.0\r\n', 'version'],
    ['GET / http/1.1\r\n', 'version'],
    ['GET / HTTP/1.10\r\n', 'version'],
    ['PRI * HTTP/2.0\r\n', 'http2-preface'],
    ['\x16\x03\x01', 'not-http'],
    ['\x80\x2e\x01', 'not-http'],
    ['SSH-2.0-x\r\n', 'not-http'],
    ['{"a":', 'not-http'],
    ['\0', 'not-http'],
    ...[
      'a',
      'http:/a',
      'http://',
      'ftp://a/',
      'http://u@a/',
      '/#f',
      '/\x80',
      '*',
      'http://a:99999/',
      'a.example:443',
    ].map((target): [string, string] => [`GET ${target} HTTP/1.1\r\n`, 'target']),
    ['CONNECT / HTTP/1.1\r\n', 'target'],
    ['CONNECT a.example HTTP/1.1\r\n', 'target'],
    ['CONNECT http://a.example:443 HTTP/1.1\r\n', 'target'],
    [get('Content-Length: 1', 'Content-Length: 1'), 'content-length-repeated'],
    [get('Content-Length: 1', 'Content-Length: 2'), 'content-length-repeated'],
    [get('Content-Length: 1, 1'), 'content-length-repeated'],
    ...['', '+1', '-1', '1 ', '0x1', '01', '1.0', '1e3', '9'.repeat(16), '\u00b2']
      .filter((each) => each !== '1 ')
      .map((length): [string, string] => [get(`Content-Length: ${length}`), 'content-length-malformed']),
    [get('Content-Length: 1', 'Transfer-Encoding: chunked'), 'content-length-and-transfer-encoding'],
    [get('Transfer-Encoding: gzip'), 'transfer-encoding'],
    [get('Transfer-Encoding: gzip, chunked'), 'transfer-encoding'],
    [get('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'), 'transfer-encoding'],
    [get('Transfer-Encoding: chunked, chunked'), 'transfer-encoding'],
    [get('Transfer-Encoding: xchunked'), 'transfer-encoding'],
    [get('Transfer-Encoding:\x0bchunked'), 'control-character'],
    [get('Transfer-Encoding: "chunked"'), 'transfer-encoding'],
    [get('Transfer-Encoding: '), 'transfer-encoding'],
    [lines('POST / HTTP/1.0', 'Transfer-Encoding: chunked'), 'transfer-encoding-in-1.0'],
    [lines('CONNECT a:443 HTTP/1.1', 'Host: a:443', 'Content-Length: 3'), 'connect-with-body'],
    [lines('CONNECT a:443 HTTP/1.1', 'Host: a:443', 'Transfer-Encoding: chunked'), 'connect-with-body'],
  ];
  for (const [whole, expected] of rows) {
    const bytes = text(whole);
    assert.equal(outcome(request(bytes)), expected, JSON.stringify(whole));
    assert.equal(outcome(request(...cutStream(bytes, [1]))), expected, `${JSON.stringify(whole)}, byte by byte`);
    assert.equal(outcome(request(bytes, text(get()))), expected, 'an answer stays');
  }
});

test('bounds', () => {
  const both = (whole: string): string => {
    const bytes = text(whole);
    const expected = outcome(request(bytes));
    assert.equal(outcome(request(...cutStream(bytes, [1000, 1]))), expected);
    assert.equal(outcome(request(...cutStream(bytes, [7]))), expected);
    return expected;
  };
  const line = (length: number) => `GET /${'a'.repeat(length - 14)} HTTP/1.1`;
  assert.equal(line(100).length, 100);
  assert.equal(both(lines(line(8192), 'Host: a')), 'head');
  assert.equal(both(lines(line(8193), 'Host: a')), 'line-too-long');
  assert.equal(both(lines('GET / HTTP/1.1', `Host: a`, `X: ${'a'.repeat(8189)}`)), 'head');
  assert.equal(both(lines('GET / HTTP/1.1', `Host: a`, `X: ${'a'.repeat(8190)}`)), 'line-too-long');
  const fields = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: a`);
  assert.equal(both(get(...fields(99))), 'head');
  assert.equal(both(get(...fields(100))), 'too-many-fields');
  const wide = Array.from({ length: 15 }, () => `X: ${'a'.repeat(4000)}`);
  const rest = (total: number) => get(...wide, `Y: ${'b'.repeat(total - get(...wide, 'Y: ').length)}`);
  assert.equal(rest(65_536).length, 65_536);
  assert.equal(both(rest(65_536)), 'head');
  assert.equal(both(rest(65_537)), 'head-too-long');
  assert.equal(both(rest(66_000)), 'head-too-long');
  assert.equal(both('A'.repeat(70_000)), 'line-too-long');
  assert.equal(both(`${'A'.repeat(9000)}\0`), 'line-too-long');
});

test('request targets', () => {
  const target = (method: string, raw: string, host = 'a.example'): RequestHead =>
    requestHead(lines(`${method} ${raw} HTTP/1.1`, `Host: ${host}`));
  const rows: [string, string, RequestTarget][] = [
    ['GET', '/', { form: 'origin', raw: '/', path: '/', query: undefined }],
    ['GET', '//a?b?c', { form: 'origin', raw: '//a?b?c', path: '//a', query: 'b?c' }],
    ['GET', '/%2e?', { form: 'origin', raw: '/%2e?', path: '/%2e', query: '' }],
    ['OPTIONS', '*', { form: 'asterisk', raw: '*' }],
    [
      'GET',
      'HTTP://A.example:80?q',
      {
        form: 'absolute',
        raw: 'HTTP://A.example:80?q',
        scheme: 'http',
        authority: 'A.example:80',
        path: '/',
        query: 'q',
      },
    ],
    [
      'GET',
      'https://a.example/x',
      {
        form: 'absolute',
        raw: 'https://a.example/x',
        scheme: 'https',
        authority: 'a.example',
        path: '/x',
        query: undefined,
      },
    ],
    ['CONNECT', 'a.example:443', { form: 'authority', raw: 'a.example:443', host: 'a.example', port: 443 }],
    ['CONNECT', '[2001:db8::1]:22', { form: 'authority', raw: '[2001:db8::1]:22', host: '[2001:db8::1]', port: 22 }],
  ];
  for (const [method, raw, expected] of rows) assert.deepEqual(target(method, raw).target, expected);
  const agreement: [string, string, string, boolean][] = [
    ['GET', '/', 'b.example', true],
    ['GET', 'http://a.example/', 'a.example', true],
    ['GET', 'http://a.example:80/', 'A.EXAMPLE', true],
    ['GET', 'http://a.example/', 'a.example:80', true],
    ['GET', 'https://a.example/', 'a.example:443', true],
    ['GET', 'http://a.example/', 'a.example:443', false],
    ['GET', 'http://a.example/', 'b.example', false],
    ['GET', 'http://a.example/', 'a.example.', false],
    ['CONNECT', 'a.example:443', 'a.example:443', true],
    ['CONNECT', 'a.example:443', 'a.example', false],
  ];
  for (const [method, raw, host, expected] of agreement) {
    const head = target(method, raw, host);
    assert.equal(head.authoritiesAgree, expected, `${method} ${raw}, Host ${host}`);
    assert.equal(head.host, host);
  }
});

test('framing, connection and upgrade of requests', () => {
  const framing = (...fields: readonly string[]): BodyFraming => requestHead(get(...fields)).framing;
  assert.deepEqual(framing(), { kind: 'none' });
  assert.deepEqual(framing('Content-Length: 0'), { kind: 'length', length: 0 });
  assert.deepEqual(framing('content-length:\t999999999999999'), { kind: 'length', length: 999_999_999_999_999 });
  assert.deepEqual(framing('TRANSFER-ENCODING: Chunked'), { kind: 'chunked' });
  assert.equal(requestHead(get('Connection: keep-alive, CLOSE')).keepAlive, false);
  assert.equal(requestHead(lines('GET / HTTP/1.0')).keepAlive, false);
  assert.equal(requestHead(lines('GET / HTTP/1.0')).host, undefined);
  assert.equal(requestHead(lines('GET / HTTP/1.0', 'Connection: Keep-Alive')).keepAlive, true);
  assert.equal(requestHead(get('Expect: 100-Continue')).expectsContinue, true);
  assert.deepEqual(requestHead(get('Upgrade: WebSocket', 'Connection: upgrade')).upgrade, ['websocket']);
  assert.equal(requestHead(get('Upgrade: websocket')).upgradeToH2c, false);
  assert.equal(requestHead(get('Upgrade: websocket, h2c')).upgradeToH2c, true);
  assert.equal(requestHead(get('HTTP2-Settings: AAMAAABk')).upgradeToH2c, true);
});

test('response heads', () => {
  const rows: [string, string, ResponseHead['meaning'], string, boolean][] = [
    ['GET', lines('HTTP/1.1 200 OK'), 'final', 'until-close', false],
    ['GET', lines('HTTP/1.1 200'), 'final', 'until-close', false],
    ['GET', lines('HTTP/1.1 200 '), 'final', 'until-close', false],
    ['GET', lines('HTTP/1.1 200 OK', 'Content-Length: 5'), 'final', 'length', true],
    ['GET', lines('HTTP/1.0 200 OK', 'Content-Length: 5'), 'final', 'length', false],
    ['GET', lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'), 'final', 'chunked', true],
    ['GET', lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', 'Connection: close'), 'final', 'chunked', false],
    ['HEAD', lines('HTTP/1.1 200 OK', 'Content-Length: 5'), 'final', 'none', true],
    ['HEAD', lines('HTTP/1.1 200 OK'), 'final', 'none', true],
    ['GET', lines('HTTP/1.1 204 No Content'), 'final', 'none', true],
    ['GET', lines('HTTP/1.1 304 Not Modified', 'Content-Length: 5'), 'final', 'none', true],
    ['GET', lines('HTTP/1.1 100 Continue'), 'interim', 'none', true],
    ['GET', lines('HTTP/1.1 103 Early Hints', 'Link: </a>'), 'interim', 'none', true],
    ['GET', lines('HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket'), 'switched', 'none', true],
    ['CONNECT', lines('HTTP/1.1 200 OK', 'Content-Length: 5'), 'switched', 'none', true],
    ['CONNECT', lines('HTTP/1.1 407 No', 'Content-Length: 5'), 'final', 'length', true],
    ['GET', lines('HTTP/1.1 500 caf\u00e9 \t'), 'final', 'until-close', false],
  ];
  for (const [method, whole, meaning, framing, keepAlive] of rows) {
    const head = responseHead(method, whole);
    assert.deepEqual(
      [head.meaning, head.framing.kind, head.keepAlive],
      [meaning, framing, keepAlive],
      `${method} ${whole}`,
    );
  }
  assert.equal(responseHead('GET', lines('HTTP/1.1 404 Not Found')).reason, 'Not Found');
});

test('what is no strict response', () => {
  const ok = 'HTTP/1.1 200 OK';
  const rows: [string, string][] = [
    ['HTTP/1.1 200 OK\n', 'bare-lf'],
    ['\r\n', 'status-line'],
    ['HTTP/1.1  200 OK\r\n', 'status-line'],
    ['HTTP/1.1 20 OK\r\n', 'status-line'],
    ['HTTP/1.1 2000 OK\r\n', 'status-line'],
    ['HTTP/1.1 600 OK\r\n', 'status-line'],
    ['HTTP/1.1 099 OK\r\n', 'status-line'],
    ['HTTP/1.1 +20 OK\r\n', 'status-line'],
    ['http/1.1 200 OK\r\n', 'status-line'],
    ['ICY 200 OK\r\n', 'status-line'],
    ['HTTP/2.0 200 OK\r\n', 'version'],
    [lines(ok, 'Content-Length: 5', 'Content-Length: 5'), 'content-length-repeated'],
    [lines(ok, 'Content-Length: 5', 'Transfer-Encoding: chunked'), 'content-length-and-transfer-encoding'],
    [lines(ok, 'Transfer-Encoding: identity'), 'transfer-encoding'],
    [lines('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked'), 'transfer-encoding-in-1.0'],
    [lines(ok, ' folded'), 'obs-fold'],
    [lines(ok, 'Content-Length : 5'), 'space-before-colon'],
  ];
  for (const [whole, expected] of rows) {
    assert.equal(outcome(response('GET', text(whole))), expected, JSON.stringify(whole));
    assert.equal(
      outcome(response('GET', ...cutStream(text(whole), [1]))),
      expected,
      `${JSON.stringify(whole)}, byte by byte`,
    );
  }
});

test('any bytes, cut anyhow, give one answer', () => {
  const piece = fc.constantFrom(
    'GET ',
    '/ ',
    'HTTP/1.1',
    '\r\n',
    '\n',
    '\r',
    'Host: a',
    'X : b',
    ' ',
    '\0',
    'Content-Length: 1',
    'é',
    ':',
  );
  const near = fc.array(piece, { maxLength: 14 }).map((parts) => text(parts.join('')));
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 });
  property(
    fc.tuple(
      fc.oneof(
        near,
        near.map((tail) => Uint8Array.from([...text('GET / HTTP/1.1\r\nHost: a\r\n'), ...tail])),
        fc.uint8Array(),
      ),
      sizes,
    ),
    ([whole, cuts]) => {
      assert.deepEqual(request(...cutStream(whole, cuts)), request(whole.length === 0 ? new Uint8Array(0) : whole));
      assert.deepEqual(response('GET', ...cutStream(whole, cuts)), response('GET', whole));
    },
    1000,
  );
});
