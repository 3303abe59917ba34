import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clientHelloStream } from '@cofferdam/testkit';
import { createHelloReader } from '@cofferdam/wire';
import { createRetryChecks } from '../src/hello-retry.ts';

const retry = Buffer.concat([
  Buffer.from('160303002a020000260303', 'hex'),
  Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex'),
]);
const serverHello = Buffer.concat([Buffer.from('160303002a020000260303', 'hex'), Buffer.alloc(32, 7)]);
const changeCipherSpec = Buffer.from('140303000101', 'hex');
const earlyData = Buffer.concat([Buffer.from('1703030010', 'hex'), Buffer.alloc(16, 1)]);

const helloOf = (sni: string): Buffer => Buffer.from(clientHelloStream({ sni }));
const first = helloOf('api.example.com');

const checks = (over: { readonly refusesEch?: boolean; readonly lifts?: boolean } = {}) => {
  const seen = createHelloReader().push(first);
  assert.equal(seen.state, 'hello');
  const { name, rawLength } = (seen as Extract<typeof seen, { state: 'hello' }>).hello;
  const reasons: string[] = [];
  const made = createRetryChecks({
    first: name,
    length: rawLength,
    refusesEch: () => over.refusesEch === true,
    deny(reason) {
      reasons.push(reason);
      return over.lifts === true;
    },
  });
  return { ...made, reasons };
};

/** Bytes of the second flight that pass when it is sent in pieces of `size`; the server answers with `answer` before it. */
const passes = (answer: Buffer, flight: Buffer, size: number): boolean => {
  const { fromClient, fromUpstream } = checks();
  const pieces = (bytes: Buffer) =>
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
  if (!pieces(first).every(fromClient)) return false;
  for (const piece of pieces(answer)) fromUpstream(piece);
  return pieces(flight).every(fromClient);
};

describe('the hello after a retry', () => {
  for (const [what, answer, flight, expected] of [
    ['repeats the name', retry, helloOf('api.example.com'), true],
    [
      'repeats it behind change_cipher_spec',
      retry,
      Buffer.concat([changeCipherSpec, helloOf('api.example.com')]),
      true,
    ],
    ['changes the name', retry, helloOf('evil.example'), false],
    ['changes it behind change_cipher_spec', retry, Buffer.concat([changeCipherSpec, helloOf('evil.example')]), false],
    [
      'changes it behind early data',
      retry,
      Buffer.concat([earlyData, changeCipherSpec, helloOf('evil.example')]),
      false,
    ],
    ['changes it before the server answered', Buffer.alloc(0), helloOf('evil.example'), false],
    ['is no hello', retry, Buffer.from('16030300040e000000', 'hex'), false],
    [
      "is not asked for: later handshake records are nobody's to read",
      serverHello,
      Buffer.from('160303000410000000', 'hex'),
      true,
    ],
    ['is not asked for: early data', serverHello, Buffer.concat([earlyData, changeCipherSpec]), true],
  ] as const) {
    test(what, () => {
      for (const size of [1, 2, 3, 7, 64, 100_000])
        assert.equal(passes(answer, flight, size), expected, `pieces of ${size}`);
    });
  }

  for (const [what, answer, second, reason] of [
    ['another name', retry, helloOf('evil.example'), 'name-mismatch'],
    ['none', retry, Buffer.from(clientHelloStream({})), 'name-mismatch'],
    ['another name ahead of the server’s answer', Buffer.alloc(0), helloOf('evil.example'), 'hello-unreadable'],
    ['what is no hello', retry, Buffer.from('16030300040e000000', 'hex'), 'hello-unreadable'],
    ['an encrypted one', retry, Buffer.from(clientHelloStream({ sni: 'api.example.com', ech: true })), 'ech-refused'],
  ] as const) {
    test(`${what}: it is said why, once, and nothing of it passes unless that is lifted`, () => {
      for (const lifts of [false, true]) {
        const { fromClient, fromUpstream, reasons } = checks({ refusesEch: true, lifts });
        fromClient(first);
        fromUpstream(answer);
        assert.deepEqual([fromClient(second), reasons], [lifts, [reason]]);
      }
    });
  }
});
