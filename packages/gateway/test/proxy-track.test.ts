/** What the proxy holds where an address has the names that the agent was given it for. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { formatAddress } from '@cofferdam/net';
import { clientHelloStream } from '@cofferdam/testkit';
import { trackedWays } from '../src/arrival.ts';
import { defaultPool, type Gate } from '../src/index.ts';
import { poolHolds } from '../src/synthetic-pool.ts';
import { compiledGate, type Sketch } from './compiled-gate.ts';
import { converse, type Lab, lab, listen, recordingServer, until } from './proxy-lab.ts';
import { give, trackedKernel, trackedNames } from './tracked-lab.ts';

const shared = '93.184.216.34';
const sketch: Sketch = {
  mode: 'track',
  web: { one: ['one.example.com'], two: ['two.example.com'], bad: ['bad.example.com'] },
  to: { internal: ['10.0.0.0/8'] },
  rules: [
    { name: 'not-bad', action: 'deny', web: ['bad'] },
    { name: 'one', web: ['one'] },
    { name: 'pages', web: ['two'], http: { paths: ['/pages/**'] } },
    { name: 'internal', to: ['internal'] },
  ],
};
const get = (host: string, path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A server of every address, and an agent that was given the shared one for two names. */
const open = async (written = shared, gate: Gate = compiledGate(sketch)) => {
  const kernel = trackedKernel();
  const tracked = trackedNames(kernel);
  give(tracked, 'coder', 'one.example.com', [shared]);
  give(tracked, 'coder', 'two.example.com', [shared]);
  give(tracked, 'coder', 'bad.example.com', ['93.184.216.35']);
  give(tracked, 'tester', 'one.example.com', ['93.184.216.36']);
  const { server, text } = recordingServer((socket) =>
    socket.once('data', (bytes) => {
      if (bytes[0] === 0x47) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }),
  );
  const one: Lab = await lab(await listen(server), gate, {
    ways: trackedWays(tracked, poolHolds(defaultPool)),
    written: () => written,
    undecidedTimeout: 200,
  });
  closing.push(one.close, () => new Promise((resolve) => server.close(resolve)));
  const client = async (first: string | Buffer) => {
    const { received } = await converse(one.port, [first], { half: true, gap: 20 });
    await until(() => one.records.some(({ kind, end }) => kind === 'flow' && end !== undefined));
    const record = one.records.find(({ kind, end }) => kind === 'flow' && end !== undefined)!;
    return {
      received,
      sent: text(),
      dialled: one.dialled,
      verdict: `${record.verdict} ${record.reason} ${record.rule?.name ?? 'default'}`,
      names: [...record.addressNames].sort(),
      destination: formatAddress(record.destination.address),
      synthetic: record.synthetic,
    };
  };
  return { client, tracked, one };
};

describe('a proxied flow in track mode', () => {
  test('goes to the address as written, and its record has every name of it', async () => {
    const { client } = await open();
    const { received, verdict, names, destination, synthetic } = await client(get('one.example.com'));
    assert.match(received, /200 OK/);
    assert.deepEqual([verdict, destination, synthetic], ['permit rule one', shared, undefined]);
    assert.deepEqual(names, ['one.example.com', 'two.example.com']);
  });

  test('each name of a shared address is judged by its own rules', async () => {
    assert.equal((await (await open()).client(get('two.example.com', '/pages/a'))).verdict, 'permit rule pages');
    const { verdict, received, sent } = await (await open()).client(get('two.example.com', '/admin'));
    assert.deepEqual([verdict, sent], ['deny no-rule default', '']);
    assert.match(received, /403/);
  });

  for (const [what, first] of [
    ['a name that the agent was not given this address for', get('bad.example.com')],
    ['a name that nobody was given', get('evil.example')],
    ['no name', 'GET / HTTP/1.0\r\n\r\n'],
    ['the address itself', get(shared)],
    ['opaque bytes', '\u0000\u0001opaque'],
    ['a hello for another name', Buffer.from(clientHelloStream({ sni: 'evil.example' }))],
  ] as const) {
    test(`${what}: nothing reaches the server`, async () => {
      const { verdict, sent } = await (await open()).client(first);
      assert.match(verdict, /^deny (no-rule|rule-denies)/);
      assert.equal(sent, '');
    });
  }

  for (const [what, written, reason] of [
    ['an address that no answer gave', '93.184.216.99', 'no-permit-reachable'],
    ['an address that another agent was given', '93.184.216.36', 'no-permit-reachable'],
    ['an address whose one name is denied', '93.184.216.35', 'rule-denies'],
    ['an address of the pool', '198.18.1.0', 'address-unmapped'],
  ] as const) {
    test(`${what} is not dialled`, async () => {
      const { verdict, dialled, sent } = await (await open(written)).client(get('one.example.com'));
      assert.deepEqual([verdict.split(' ')[1], dialled, sent], [reason, [], '']);
    });
  }

  test('rules without names need no answer', async () => {
    const { verdict, names } = await (await open('10.0.0.5')).client(get('evil.example'));
    assert.deepEqual([verdict, names], ['permit rule internal', []]);
  });

  test('a plan that no longer permits the name cuts it', async () => {
    const { one, client } = await open();
    const waiting = client(Buffer.from(clientHelloStream({ sni: 'one.example.com' })));
    await until(() => one.records.length > 0);
    one.gate = compiledGate({ ...sketch, revision: 2, rules: [{ name: 'internal', to: ['internal'] }] });
    one.proxy.rejudge();
    assert.match((await waiting).verdict, /^deny flow-cut/);
  });
});
