import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longestLaxLine, mayBeRequest, recognisedMethods } from '../src/index.ts';

const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1');

const rows: readonly (readonly [string, 'yes' | 'no' | 'need-more'])[] = [
  ['\r\nGET / HTTP/1.1\r\n', 'yes'],
  ['\n\n\nGET / HTTP/1.1\r\n', 'yes'],
  ['\rGET / HTTP/1.1\r\n', 'yes'],
  [' \tGET / HTTP/1.1\r\n', 'yes'],
  ['\x0b\x85\xa0GET / HTTP/1.1\r\n', 'yes'],
  ['get / HTTP/1.1\r\n', 'yes'],
  ['BREW / HTTP/1.1\r\n', 'yes'],
  ['M-SEARCH * HTTP/1.1\r\n', 'yes'],
  ['GET\t/\tHTTP/1.1\r\n', 'yes'],
  ['QUERY\r/ HTTP/1.1\n', 'yes'],
  ['QUERY / http/1.1\r\n', 'yes'],
  ['QUERY /HHTTP/1.1', 'yes'],
  ['GET /\r\n', 'yes'],
  ['\r\nGET ', 'yes'],
  ['PRI * HTTP/2.0\r\n', 'yes'],
  ['QUERY / HTTP', 'need-more'],
  ['QUERY ', 'need-more'],
  ['QUERY', 'need-more'],
  ['\r\n', 'need-more'],
  ['', 'need-more'],
  ['QUERY /\r\n', 'no'],
  ['QUERY / HTT\nP/1.1', 'no'],
  ['QUERY / HTTP\n/1.1', 'no'],
  ['SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n', 'no'],
  ['EHLO agent.example\r\n', 'no'],
  ['NICK agent\r\n', 'no'],
  ['PING\r\n', 'no'],
  ['PING\n', 'no'],
  ['*1\r\n$4\r\nPING\r\n', 'no'],
  ['{"jsonrpc": "2.0"}', 'no'],
  ['AMQP\0\0\x09\x01', 'no'],
  ['\0GET / HTTP/1.1\r\n', 'no'],
  ['\x16\x03\x01', 'no'],
];

test('what a lax server takes for a request', () => {
  for (const [text, expected] of rows) assert.equal(mayBeRequest(latin1(text)), expected, JSON.stringify(text));
  for (const method of recognisedMethods) assert.equal(mayBeRequest(latin1(`\r\n${method} /`)), 'yes', method);
});

test('more bytes never change an answer', () => {
  for (const [text, expected] of rows) {
    for (let length = 0; length < text.length; length++) {
      const early = mayBeRequest(latin1(text.slice(0, length)));
      assert.ok(early === 'need-more' || early === expected, `${JSON.stringify(text.slice(0, length))}: ${early}`);
    }
    if (expected !== 'need-more') assert.equal(mayBeRequest(latin1(`${text}\r\nmore HTTP/1.1\n`)), expected, text);
  }
});

test('what stays undecided to the end of what is looked at is a request', () => {
  for (const filling of ['\n', 'A', 'A /']) {
    const bytes = latin1(filling.padEnd(longestLaxLine, filling.at(-1)));
    assert.equal(mayBeRequest(bytes), 'yes', filling);
    assert.equal(mayBeRequest(bytes.subarray(0, -1)), 'need-more', filling);
  }
});
