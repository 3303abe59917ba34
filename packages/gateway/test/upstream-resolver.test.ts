import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { formatAddress } from '@cofferdam/net';
import { type DnsMessage, type DnsQuery, dnsAnswer, dnsName, encodeDns, parseDnsQuery } from '@cofferdam/wire';
import { createUpstreamResolver, type UpstreamOptions, upstreamDefaults } from '../src/index.ts';
import { address, name } from './fakes.ts';

const sockets: UdpSocket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

const bytesOf = (message: DnsMessage): Uint8Array => {
  const encoded = encodeDns(message);
  assert.ok(encoded.ok);
  return encoded.value.bytes;
};

/** A resolver of 127.0.0.1 that answers each query as `answer` says; several datagrams may answer one. */
const server = async (answer: (query: DnsQuery) => readonly Uint8Array[]) => {
  const socket = createSocket('udp4');
  const asked: { query: DnsQuery; port: number }[] = [];
  sockets.push(socket);
  socket.on('message', (datagram, from) => {
    const query = parseDnsQuery(datagram);
    assert.ok(query.ok);
    asked.push({ query: query.value, port: from.port });
    for (const bytes of answer(query.value)) socket.send(bytes, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { server: { address: address('127.0.0.1'), port: socket.address().port }, asked };
};

const a = (owner: string, to: string, ttl = 60) => ({
  name: dnsName(owner)!,
  type: 1,
  class: 1,
  ttl,
  data: { kind: 'address', address: address(to) } as const,
});
const cname = (owner: string, to: string, ttl = 60) => ({
  name: dnsName(owner)!,
  type: 5,
  class: 1,
  ttl,
  data: { kind: 'name', name: dnsName(to)! } as const,
});
const good = (query: DnsQuery): Uint8Array =>
  bytesOf(dnsAnswer(query, { answers: [a(query.question.name.text, '93.184.216.34')] }));

const resolver = (servers: UpstreamOptions['servers'], over: Partial<UpstreamOptions> = {}) =>
  createUpstreamResolver({
    ...upstreamDefaults,
    timeout: 150,
    rounds: 1,
    servers,
    sockets: {
      openUdp: (family) => createSocket(family === 4 ? 'udp4' : 'udp6'),
      connectTcp: (to, port) => connect(port, formatAddress(to)),
    },
    randomId: () => Math.floor(Math.random() * 65_536),
    now: () => Date.now(),
    ...over,
  });

const told = (answer: Awaited<ReturnType<ReturnType<typeof resolver>['resolve']>>): string =>
  answer.kind === 'records'
    ? answer.records.map(({ data }) => (data.kind === 'address' ? formatAddress(data.address) : data.kind)).join(' ')
    : answer.kind;

describe('upstream resolver', () => {
  test('forged answers are passed over: another id, another question, unreadable; the true one is taken', async () => {
    const one = await server((query) => [
      bytesOf(dnsAnswer({ ...query, id: query.id ^ 1 }, { answers: [a('x.example', '6.6.6.6')] })),
      bytesOf(
        dnsAnswer(
          { ...query, question: { ...query.question, name: dnsName('y.example')! } },
          { answers: [a('y.example', '6.6.6.6')] },
        ),
      ),
      Uint8Array.of(1, 2, 3),
      good(query),
    ]);
    assert.equal(told(await resolver([one.server]).resolve(name('x.example'), 1)), '93.184.216.34');
  });

  test('an answer from another port is not heard', async () => {
    const stranger = createSocket('udp4');
    sockets.push(stranger);
    const one = await server(() => []);
    const answering = resolver([one.server]).resolve(name('x.example'), 1);
    while (one.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const { query, port } = one.asked[0]!;
    stranger.send(good(query), port, '127.0.0.1');
    assert.equal(told(await answering), 'failed');
  });

  test('ids and ports differ from question to question', async () => {
    const one = await server((query) => [good(query)]);
    const r = resolver([one.server]);
    for (let i = 0; i < 20; i++) await r.resolve(name(`n${i}.example`), 1);
    assert.ok(new Set(one.asked.map(({ query }) => query.id)).size > 15);
    assert.ok(new Set(one.asked.map(({ port }) => port)).size > 10);
    assert.equal(one.asked[0]?.query.edns?.udpSize, 1232);
  });

  test('silence and failures go to the next server; one that failed is asked last for a while', async () => {
    const silent = await server(() => []);
    const failing = await server((query) => [bytesOf(dnsAnswer(query, { responseCode: 2 }))]);
    const one = await server((query) => [good(query)]);
    const r = resolver([silent.server, failing.server, one.server]);
    assert.equal(told(await r.resolve(name('a.example'), 1)), '93.184.216.34');
    assert.equal(told(await r.resolve(name('b.example'), 1)), '93.184.216.34');
    assert.deepEqual([silent.asked.length, failing.asked.length, one.asked.length], [1, 1, 2]);
  });

  test('the same question at the same time is asked once; answers are kept by their bounded TTL', async () => {
    let now = 0;
    const one = await server((query) => [
      bytesOf(dnsAnswer(query, { answers: [a(query.question.name.text, '1.1.1.1', 1)] })),
    ]);
    const r = resolver([one.server], { now: () => now });
    const both = await Promise.all([r.resolve(name('x.example'), 1), r.resolve(name('x.example'), 1)]);
    assert.deepEqual(both.map(told), ['1.1.1.1', '1.1.1.1']);
    now = 4999;
    await r.resolve(name('x.example'), 1);
    assert.equal(one.asked.length, 1);
    now = 5001;
    await r.resolve(name('x.example'), 1);
    assert.equal(one.asked.length, 2);
  });

  for (const [what, answers, expected] of [
    [
      'a chain of aliases',
      [cname('x.example', 'y.cdn.example'), cname('y.cdn.example', 'z.cdn.example'), a('z.cdn.example', '1.1.1.1')],
      '1.1.1.1',
    ],
    ['a chain out of order', [a('z.cdn.example', '1.1.1.1'), cname('x.example', 'z.cdn.example')], '1.1.1.1'],
    ['records of other names do not count', [a('evil.example', '6.6.6.6'), a('x.example', '1.1.1.1')], '1.1.1.1'],
    ['only records of other names', [a('evil.example', '6.6.6.6')], 'nodata'],
    ['an alias to nowhere', [cname('x.example', 'y.example')], 'nodata'],
    ['aliases in a circle', [cname('x.example', 'y.example'), cname('y.example', 'x.example')], 'failed'],
  ] as const) {
    test(what, async () => {
      const one = await server((query) => [bytesOf(dnsAnswer(query, { answers }))]);
      assert.equal(told(await resolver([one.server]).resolve(name('x.example'), 1)), expected);
    });
  }

  test('names that are not there are remembered for 5 minutes at most', async () => {
    let now = 0;
    const one = await server((query) => [
      bytesOf(
        dnsAnswer(query, {
          responseCode: 3,
          authorities: [
            {
              name: dnsName('example')!,
              type: 6,
              class: 1,
              ttl: 86_400,
              data: {
                kind: 'soa',
                primary: dnsName('a.example')!,
                mailbox: dnsName('b.example')!,
                serial: 1,
                refresh: 1,
                retry: 1,
                expire: 1,
                minimum: 86_400,
              },
            },
          ],
        }),
      ),
    ]);
    const r = resolver([one.server], { now: () => now });
    assert.deepEqual(await r.resolve(name('x.example'), 1), { kind: 'nxdomain', ttl: 300 });
    now = 300_001;
    await r.resolve(name('x.example'), 1);
    assert.equal(one.asked.length, 2);
  });

  test('the longest forward zone wins, and nobody else is asked', async () => {
    const [everything, zone, inner] = [
      await server((q) => [good(q)]),
      await server(() => []),
      await server((q) => [good(q)]),
    ];
    const r = resolver([everything.server], {
      forward: [
        { suffix: name('corp.example'), servers: [zone.server] },
        { suffix: name('eu.corp.example'), servers: [inner.server] },
      ],
    });
    assert.equal(told(await r.resolve(name('db.eu.corp.example'), 1)), '93.184.216.34');
    assert.equal(told(await r.resolve(name('db.corp.example'), 1)), 'failed');
    assert.equal(told(await r.resolve(name('notcorp.example'), 1)), '93.184.216.34');
    assert.deepEqual([everything.asked.length, zone.asked.length, inner.asked.length], [1, 1, 1]);
  });
});
