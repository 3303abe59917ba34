/**
 * Agents that are only monitored, and what the proxy does not read of theirs: that it was not read is lifted, and still an enforced deny of
 * what it may have been denies it.
 */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { clientHelloStream } from '@cofferdam/testkit';
import { ownWays, syntheticWays, trackedWays, type Ways } from '../src/arrival.ts';
import { createFollow } from '../src/claimed-destinations.ts';
import { type Binding, createTunnelBudget, defaultPool, defaultTunnelBudget } from '../src/index.ts';
import { poolHolds } from '../src/synthetic-pool.ts';
import { compiledGate, type Sketch } from './compiled-gate.ts';
import { fakeResolver } from './fake-resolver.ts';
import { address } from './fakes.ts';
import { converse, lab, listen, loopbackBinding, recordingServer, until } from './proxy-lab.ts';
import { give, trackedKernel, trackedNames } from './tracked-lab.ts';

const there = '93.184.216.34';
const isPooled = poolHolds(defaultPool);

const waysIn = (mode: Sketch['mode']): Ways => {
  switch (mode) {
    case 'synthetic': {
      const binding: Binding = { ...loopbackBinding, addresses: [address(there)] };
      return syntheticWays({ at: () => binding, contains: () => true });
    }
    case 'track': {
      const tracked = trackedNames(trackedKernel());
      give(tracked, 'coder', 'api.example.com', [there]);
      return trackedWays(tracked, isPooled);
    }
    case 'own': {
      const resolver = fakeResolver({ 'api.example.com': [there] });
      const budget = createTunnelBudget(defaultTunnelBudget);
      return ownWays(isPooled, createFollow({ resolver, budget, ipv6: false, isPooled, now: Date.now }));
    }
  }
};

const hello = (sni: string): Buffer => Buffer.from(clientHelloStream({ sni }));
/** A HelloRetryRequest, as far as it is looked at (RFC 8446, 4.1.3). */
const retry = Buffer.from(
  '160303002a020000260303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c',
  'hex',
);

const permitted = { name: 'named', web: ['named'] };
const uploads = { name: 'uploads', action: 'deny', http: { methods: ['POST'] } };
const badNames = { name: 'bad-names', action: 'deny', web: ['bad'] };

const reads = { name: 'reads', web: ['named'], http: { methods: ['GET'] } };
const upgrade = [
  'GET / HTTP/1.1',
  'Host: api.example.com',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  '\r\n',
].join('\r\n');

interface Attempt {
  readonly what: string;
  readonly denies: Readonly<Record<string, unknown>>;
  /** A rule above the denial. */
  readonly before?: Readonly<Record<string, unknown>>;
  readonly pieces: readonly (string | Buffer)[];
  /** What must not arrive. */
  readonly secret: string | Buffer;
  readonly half?: boolean;
  /** What the server says to whoever connects, and to the first bytes. */
  readonly greets?: string;
  readonly answers?: string | Buffer;
  readonly only?: Sketch['mode'];
}

const attempts: readonly Attempt[] = [
  {
    what: 'half the head of a request, and a wait',
    denies: uploads,
    pieces: ['POST /secret HTTP/1.1\r\nHost: api.example.com\r\n', '', '', '\r\n'],
    secret: '/secret',
  },
  {
    what: 'half the head of a request, and the end of what it has to say',
    denies: uploads,
    pieces: ['POST /secret HTTP/1.1\r\nHost: api.example.com\r\n'],
    half: true,
    secret: '/secret',
  },
  {
    what: 'half a hello, and a wait',
    denies: badNames,
    pieces: [hello('bad.example.com').subarray(0, 60), '', '', hello('bad.example.com').subarray(60)],
    secret: 'bad.example.com',
  },
  {
    what: 'half the head of a second request, and a wait',
    denies: uploads,
    pieces: [
      'GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n',
      '',
      'POST /secret HTTP/1.1\r\nHost: api.example.com\r\n',
      '',
      '',
      '\r\n',
    ],
    answers: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    secret: '/secret',
  },
  {
    what: 'a second request that only a lax server reads, for another name',
    denies: badNames,
    pieces: [
      'GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n',
      '',
      'GET /secret HTTP/1.1\nHost: bad.example.com\n\n',
      '',
    ],
    answers: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    secret: '/secret',
  },
  {
    what: 'two authorities in one request',
    denies: badNames,
    pieces: ['GET http://api.example.com/secret HTTP/1.1\r\nHost: bad.example.com\r\n\r\n', ''],
    secret: '/secret',
  },
  {
    what: 'TLS out of turn, after the server spoke first',
    denies: badNames,
    greets: '220 ready\r\n',
    pieces: ['', '', hello('bad.example.com'), ''],
    secret: 'bad.example.com',
  },
  {
    what: 'another name in the hello after a retry',
    denies: badNames,
    answers: retry,
    pieces: [hello('api.example.com'), '', hello('bad.example.com'), ''],
    secret: 'bad.example.com',
  },
  {
    what: 'TLS that a permit before would have to open',
    denies: badNames,
    before: reads,
    pieces: [hello('bad.example.com'), ''],
    secret: 'bad.example.com',
  },
  {
    what: 'a WebSocket, and a request in it',
    denies: uploads,
    pieces: [upgrade, '', 'POST /secret HTTP/1.1\r\nHost: api.example.com\r\n\r\n', ''],
    answers: 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
    secret: '/secret',
  },
  {
    what: 'a request that only a lax server reads, after the server spoke first',
    denies: badNames,
    greets: '220 ready\r\n',
    pieces: ['', '', '\r\nGET /secret HTTP/1.1\r\nHost: bad.example.com\r\n\r\n', ''],
    secret: '/secret',
  },
  {
    what: 'nothing until its time is up, and then a hello',
    denies: badNames,
    pieces: ['', '', '', hello('bad.example.com'), ''],
    secret: 'bad.example.com',
  },
];

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const run = async (mode: Sketch['mode'], rules: Sketch['rules'], attempt: Attempt) => {
  const { pieces, greets, answers, half = false } = attempt;
  const gate = compiledGate({
    mode,
    containment: 'monitor',
    web: { named: ['api.example.com'], bad: ['bad.example.com'] },
    rules,
  });
  const { server, bytes } = recordingServer((socket) => {
    socket.on('end', () => socket.end());
    if (greets !== undefined) socket.write(greets);
    if (answers !== undefined) socket.once('data', () => socket.write(answers));
  });
  const one = await lab(await listen(server), gate, {
    ways: waysIn(mode),
    ...(mode === 'synthetic' ? {} : { written: () => there }),
    undecidedTimeout: 100,
    idle: 600,
  });
  closing.push(one.close, () => new Promise((resolve) => server.close(resolve)));
  await converse(one.port, pieces, { half, gap: 80 });
  const last = () => one.records.find(({ kind, end }) => kind === 'flow' && end !== undefined);
  await until(() => last() !== undefined);
  const record = last()!;
  return {
    verdict: `${record.verdict} ${record.reason} ${record.rule?.name ?? 'default'}`,
    arrived: bytes().includes(attempt.secret),
  };
};

for (const mode of ['synthetic', 'track', 'own'] as const)
  describe(`a monitored agent in DNS mode ${mode}, and what is not read of it`, () => {
    for (const attempt of attempts) {
      test(attempt.what, async () => {
        const above = attempt.before === undefined ? [] : [attempt.before];
        const denied = await run(mode, [...above, attempt.denies, permitted], attempt);
        assert.deepEqual(denied, { verdict: `deny rule-denies ${attempt.denies.name}`, arrived: false });
        const lifted = await run(mode, [...above, permitted], attempt);
        assert.ok(lifted.arrived && lifted.verdict.startsWith('permit '), `control: ${lifted.verdict}`);
      });
    }
  });

test('what monitoring never lifts stays closed to what is not read', async () => {
  const metadata = { name: 'reads', to: ['metadata'], http: { methods: ['GET'] } };
  const { server, bytes } = recordingServer((socket) => void socket.on('end', () => socket.end()));
  const gate = compiledGate({
    mode: 'synthetic',
    containment: 'monitor',
    to: { metadata: ['169.254.169.254/32'] },
    rules: [metadata],
  });
  const one = await lab(await listen(server), gate, {
    ways: syntheticWays({ at: () => undefined, contains: () => false }),
    written: () => '169.254.169.254',
  });
  closing.push(one.close, () => new Promise((resolve) => server.close(resolve)));
  await converse(one.port, [hello('x.example.com'), ''], { half: true, gap: 40 });
  await until(() => one.records.some(({ end }) => end !== undefined));
  assert.deepEqual([one.records.at(-1)?.reason, bytes().length], ['reserved-address', 0]);
});

test('nothing is lifted where the other end is enforced', async () => {
  const { server, bytes } = recordingServer((socket) => void socket.on('end', () => socket.end()));
  const inside = { to: ['inside'], http: { methods: ['GET'] }, name: 'reads' };
  const gate = compiledGate({
    mode: 'synthetic',
    containment: 'monitor',
    to: { inside: ['10.0.0.0/8'] },
    rules: [inside],
  });
  const enforced = compiledGate({
    mode: 'synthetic',
    containment: 'monitor',
    enforced: ['tester'],
    to: { inside: ['10.0.0.0/8'] },
    rules: [inside],
  });
  for (const [by, expected] of [
    [gate, 'permit would-need-opening'],
    [enforced, 'deny would-need-opening'],
  ] as const) {
    const one = await lab(await listen(server), by, {
      ways: syntheticWays({ at: () => undefined, contains: () => false }),
      written: () => '10.0.0.9',
    });
    const before = bytes().length;
    await converse(one.port, [hello('x.example.com'), ''], { half: true, gap: 40 });
    await until(() => one.records.some(({ end }) => end !== undefined));
    const { verdict, reason } = one.records.at(-1)!;
    assert.equal(`${verdict} ${reason}`, expected);
    assert.equal(bytes().length > before, verdict === 'permit');
    await one.close();
    await new Promise((resolve) => server.close(resolve));
  }
});
