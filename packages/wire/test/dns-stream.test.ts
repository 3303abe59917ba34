import assert from 'node:assert/strict';
import test from 'node:test';
import { cutStream } from '@cofferdam/testkit';
import { createDnsStreamReader, dnsFrame } from '@cofferdam/wire';
import fc from 'fast-check';
import { bytes } from './hello-bytes.ts';
import { property } from './parsing.ts';

test('messages come out as they went in, however the stream is cut', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 });
  property(fc.tuple(fc.array(fc.uint8Array({ maxLength: 40 })), sizes), ([messages, cuts]) => {
    const stream = bytes(...messages.map((each) => dnsFrame(each)!));
    const reader = createDnsStreamReader();
    const read = cutStream(stream, cuts).flatMap((piece) => reader.push(piece));
    assert.deepEqual(
      read.map((each) => [...each]),
      messages.map((each) => [...each]),
    );
  });
});

test('a message waits for its last byte', () => {
  const reader = createDnsStreamReader();
  for (const byte of [0, 3, 7, 8]) assert.deepEqual(reader.push(bytes(byte)), []);
  assert.deepEqual(reader.push(bytes(9, 0)), [bytes(7, 8, 9)]);
  assert.deepEqual(reader.push(bytes(0)), [new Uint8Array(0)]);
});

test('the longest message', () => {
  const longest = new Uint8Array(65_535).fill(1);
  assert.deepEqual(createDnsStreamReader().push(dnsFrame(longest)!), [longest]);
  assert.equal(dnsFrame(new Uint8Array(65_536)), undefined);
});
