/** Every decision of the proxy is told once, whatever its rule says of records. */
import assert from 'node:assert/strict';
import { createServer as createHttpServer, type Server } from 'node:http';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Facts } from '@cofferdam/verdict';
import type { Gate } from '../src/index.ts';
import { deny, fakeGate, permit, rule } from './fakes.ts';
import { converse, type Lab, lab, listen, recordingServer, until } from './proxy-lab.ts';

/** Permits GET, and waits for the request. */
const getsOnly = (facts: Facts) => {
  if (facts.request.state === 'unknown') return { kind: 'undecided', rule: 0, path: 'proxy' } as const;
  const isGet = facts.request.state === 'known' && facts.request.value.method === 'GET';
  return isGet ? permit(0, { stage: 'request' }) : deny('no-rule');
};
const gate = (over: Parameters<typeof fakeGate>[0] = {}): Gate =>
  fakeGate({ decide: getsOnly, rules: [rule({ name: 'gets', readsRequests: true, log: 'none' })], ...over });

const get = (method = 'GET') => `${method} / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 0\r\n\r\n`;

describe('decisions of the proxy', () => {
  let upstream: Server;
  let upstreamPort = 0;
  before(async () => {
    upstream = createHttpServer((_request, response) => void response.end('ok'));
    upstreamPort = await listen(upstream);
  });
  after(() => upstream.close());

  const told: string[] = [];
  const labs: Lab[] = [];
  afterEach(async () => {
    for (const one of labs.splice(0)) await one.close();
  });
  const open = async (one: Gate | undefined, over: Parameters<typeof lab>[2] = {}): Promise<Lab> => {
    told.length = 0;
    const made = await lab(over.binding === 'unmapped' ? 1 : upstreamPort, one, {
      decided: (_gate, { kind, rule: by, reason }, facts) =>
        told.push(`${kind} ${reason} ${by} ${facts.request.state === 'known' ? facts.request.value.method : '-'}`),
      ...over,
    });
    labs.push(made);
    return made;
  };

  test('each request, though none is recorded', async () => {
    const one = await open(gate());
    await converse(one.port, [get(), get()], { half: true });
    await until(() => one.holding() === 0);
    assert.deepEqual(told, ['permit rule 0 GET', 'permit rule 0 GET']);
    assert.deepEqual(one.records, []);
  });

  test('a request that is denied behind one that is not', async () => {
    const one = await open(gate());
    await converse(one.port, [get(), get('DELETE')]);
    await until(() => one.holding() === 0);
    assert.deepEqual(told, ['permit rule 0 GET', 'deny no-rule default DELETE']);
  });

  test('what is refused before anything is dialled', async () => {
    for (const [what, one] of [
      ['deny no-plan default -', await open(undefined)],
      ['deny no-rule default -', await open(gate({ decide: () => deny('no-rule') }))],
      ['deny address-unmapped default -', await open(gate({ decide: () => permit(0) }), { binding: 'unmapped' })],
    ] as const) {
      told.length = 0;
      await converse(one.port, ['x']);
      await until(() => told.length > 0);
      assert.deepEqual(told, [what]);
    }
  });

  test('a connection that ends without a word', async () => {
    const one = await open(gate());
    await converse(one.port, [], { half: true });
    await until(() => one.holding() === 0);
    assert.deepEqual(told, ['deny no-rule default -']);
  });

  test('a server that speaks first, and a client out of turn', async () => {
    const server = recordingServer((socket) => socket.write('220 hello\r\n'));
    const port = await listen(server.server);
    const decided = (_gate: unknown, settled: { readonly kind: string; readonly reason: string }): number =>
      told.push(`${settled.kind} ${settled.reason}`);
    told.length = 0;
    const one = await lab(port, gate({ decide: () => permit(0) }), { decided });
    labs.push(one);
    await converse(one.port, ['', '', get()], { gap: 100 });
    await until(() => one.holding() === 0);
    assert.deepEqual(told, ['permit rule', 'deny spoke-out-of-turn']);
    server.server.close();
  });

  test('not what a new plan cuts: it was decided before', async () => {
    const one = await open(gate());
    const done = converse(one.port, [get()]);
    await until(() => told.length === 1);
    one.gate = gate({ decide: () => deny('no-rule') });
    one.proxy.rejudge();
    assert.equal((await done).end, 'reset');
    await until(() => one.holding() === 0);
    assert.deepEqual(told, ['permit rule 0 GET']);
  });
});
