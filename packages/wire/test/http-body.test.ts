import assert from 'node:assert/strict';
import test from 'node:test';
import { cutStream } from '@cofferdam/testkit';
import {
  type BodyState,
  chunkLimits,
  createBodyScanner,
  createRequestHeadReader,
  type ResponseFraming,
} from '@cofferdam/wire';
import fc from 'fast-check';
import { bytes, text } from './hello-bytes.ts';
import { everyCutInTwo, property } from './parsing.ts';

interface Scanned {
  readonly outcome: string;
  readonly consumed: number;
  readonly content: string;
}

const shown = (data: Uint8Array): string => String.fromCharCode(...data);

/** Scans pieces to the end of the body or of the pieces. */
const scan = (framing: ResponseFraming, pieces: readonly Uint8Array[]): Scanned => {
  const scanner = createBodyScanner(framing);
  let consumed = 0;
  let content = '';
  for (const piece of pieces) {
    const state: BodyState = scanner.push(piece);
    if (state.state === 'unreadable') return { outcome: state.because, consumed: 0, content: '' };
    consumed += state.consumed;
    content += state.data.map(shown).join('');
    if (state.state === 'end') return { outcome: 'end', consumed, content };
    assert.equal(state.consumed, piece.length);
  }
  return { outcome: 'need-more', consumed, content };
};
const chunked = (whole: string, cuts: readonly number[] = [whole.length || 1]): Scanned =>
  scan({ kind: 'chunked' }, cutStream(text(whole), cuts));

test('bodies by length, without one, and to the end of the connection', () => {
  const none = new Uint8Array(0);
  const body = text('hello, and more');
  assert.equal(scan({ kind: 'none' }, [none]).outcome, 'end');
  assert.deepEqual(scan({ kind: 'none' }, [body]), { outcome: 'end', consumed: 0, content: '' });
  assert.equal(scan({ kind: 'length', length: 0 }, [none]).outcome, 'end');
  assert.deepEqual(scan({ kind: 'length', length: 5 }, [body]), { outcome: 'end', consumed: 5, content: 'hello' });
  assert.deepEqual(scan({ kind: 'length', length: 5 }, cutStream(body, [2])), {
    outcome: 'end',
    consumed: 5,
    content: 'hello',
  });
  assert.equal(scan({ kind: 'length', length: 99 }, [body]).outcome, 'need-more');
  assert.equal(scan({ kind: 'until-close' }, [body]).outcome, 'need-more');
});

const typical = '5\r\nhello\r\n00a;x="y";z\r\n, chunked\r\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n';

test('a chunked body ends where its trailers do', () => {
  const expected = { outcome: 'end', consumed: typical.length, content: 'hello, chunked\r' };
  assert.deepEqual(chunked(`${typical}GET / HTTP/1.1\r\n`), expected);
  assert.deepEqual(chunked(typical, [1]), expected);
  for (const pieces of everyCutInTwo(text(typical))) assert.deepEqual(scan({ kind: 'chunked' }, pieces), expected);
  for (let length = 0; length < typical.length; length++) {
    assert.equal(chunked(typical.slice(0, length)).outcome, 'need-more', `first ${length} bytes`);
  }
  assert.equal(chunked('0\r\n\r\n').consumed, 5);
  assert.equal(chunked('000\r\n\r\n').consumed, 7);
  assert.equal(chunked('FfFfFfFfFfFfF\r\n').outcome, 'need-more');
});

test('what is no strict chunked body', () => {
  const rows: [string, string][] = [
    ['\r\n', 'chunk-size'],
    ['g\r\n', 'chunk-size'],
    ['0x5\r\n', 'chunk-size'],
    ['+5\r\n', 'chunk-size'],
    ['-5\r\n', 'chunk-size'],
    [' 5\r\n', 'chunk-size'],
    ['5 \r\n', 'chunk-size'],
    ['5 ;x\r\n', 'chunk-size'],
    ['5_0\r\n', 'chunk-size'],
    [`${'0'.repeat(13)}5\r\n`, 'chunk-size'],
    [';x\r\n', 'chunk-size'],
    ['5\n', 'bare-lf'],
    ['5;\n', 'bare-lf'],
    ['5;\r\r\n', 'bare-cr'],
    ['5;\0\r\n', 'control-character'],
    ['5;\xe9\r\n', 'chunk-extension'],
    [`5;${'x'.repeat(chunkLimits.sizeLine - 1)}\r\n`, 'line-too-long'],
    ['5\r\nhello5', 'chunk-end'],
    ['5\r\nhello\n', 'chunk-end'],
    ['5\r\nhello\r\r', 'chunk-end'],
    ['0\r\nX: 1\n', 'bare-lf'],
    ['0\r\n X: 1\r\n', 'obs-fold'],
    ['0\r\nX : 1\r\n', 'space-before-colon'],
    ['0\r\nGET / HTTP/1.1\r\n', 'field-name'],
    ['0\r\nContent-Length: 5\r\n', 'trailer-field'],
    ['0\r\ntransfer-encoding: chunked\r\n', 'trailer-field'],
    ['0\r\nHOST: b\r\n', 'trailer-field'],
    [`0\r\n${'X: 1\r\n'.repeat(chunkLimits.trailerFields + 1)}`, 'too-many-fields'],
    [`0\r\nX: ${'1'.repeat(chunkLimits.trailerLine)}\r\n`, 'line-too-long'],
    [`0\r\n${`X: ${'1'.repeat(8000)}\r\n`.repeat(3)}`, 'head-too-long'],
    [`1;${'x'.repeat(200)}\r\na\r\n`.repeat(82), 'chunk-extension'],
  ];
  for (const [whole, expected] of rows) {
    assert.equal(chunked(whole).outcome, expected, JSON.stringify(whole.slice(0, 60)));
    assert.equal(chunked(whole, [1]).outcome, expected, `${JSON.stringify(whole.slice(0, 60))}, byte by byte`);
  }
  assert.equal(chunked(`0\r\n${'X: 1\r\n'.repeat(chunkLimits.trailerFields)}\r\n`).outcome, 'end');
  assert.equal(chunked(`1;${'x'.repeat(199)}\r\na\r\n`.repeat(81)).outcome, 'need-more');
});

test('a fault and an end stay', () => {
  const broken = createBodyScanner({ kind: 'chunked' });
  broken.push(text('x\r\n'));
  assert.deepEqual(broken.push(text('0\r\n\r\n')), { state: 'unreadable', because: 'chunk-size' });
  const ended = createBodyScanner({ kind: 'chunked' });
  ended.push(text('0\r\n\r\n'));
  assert.deepEqual(ended.push(text('GET / HTTP/1.1')), { state: 'end', consumed: 0, data: [] });
});

test('any content, cut into any chunks and pieces, comes out whole', () => {
  const chunk = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.constantFrom('', ';a', ';a=b'));
  const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 });
  property(fc.tuple(fc.array(chunk), cuts), ([chunks, sizes]) => {
    const parts = chunks.map(([data, extension]) =>
      bytes(text(`${data.length.toString(16)}${extension}\r\n`), data, 13, 10),
    );
    const whole = bytes(...parts, text('0\r\n\r\n'));
    const scanned = scan({ kind: 'chunked' }, cutStream(bytes(whole, text('next')), sizes));
    assert.deepEqual(scanned, {
      outcome: 'end',
      consumed: whole.length,
      content: chunks.map(([data]) => shown(data)).join(''),
    });
  });
});

test('any bytes, cut anyhow, give one answer', () => {
  const piece = fc.constantFrom(
    '5',
    '0',
    'a;b',
    '\r\n',
    '\n',
    '\r',
    'hello',
    'X: 1',
    ' ',
    '\0',
    'ff',
    '1\r\na\r\n',
    '0\r\n',
  );
  const stream = fc.array(piece, { maxLength: 12 }).map((parts) => parts.join(''));
  property(
    fc.tuple(stream, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 })),
    ([whole, cuts]) => {
      assert.deepEqual(chunked(whole, cuts), chunked(whole));
    },
    1000,
  );
});

test('pipelined requests are found one after the other', () => {
  const stream = text(
    'POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n' +
      'PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\nGET /x HTTP/1.1\n' +
      'GET /c HTTP/1.1\r\nHost: a\r\n\r\n',
  );
  const paths: string[] = [];
  for (let at = 0; at < stream.length; ) {
    const state = createRequestHeadReader().push(stream.subarray(at));
    assert.equal(state.state, 'head');
    assert.equal(state.head.target.form, 'origin');
    paths.push(state.head.target.raw);
    at += state.headLength;
    const body = createBodyScanner(state.head.framing).push(stream.subarray(at));
    assert.equal(body.state, 'end');
    at += body.consumed;
  }
  assert.deepEqual(paths, ['/a', '/b', '/c']);
});
