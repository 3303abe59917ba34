import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DnsRecord } from '@cofferdam/flows';
import { createDnsFilter, createRateLimiter, createTunnelBudget, defaultTunnelBudget } from '../src/index.ts';
import { address, fakeGate } from './fakes.ts';

/** `localhost`, which is answered here. */
const query = Buffer.from('000101000001000000000000096c6f63616c686f73740000010001', 'hex');

test('beyond its rate an agent is refused now and then, and every query is recorded or counted', async () => {
  const records: DnsRecord[] = [];
  const suppressed: string[] = [];
  const never = (): never => assert.fail('nobody is asked');
  const filter = createDnsFilter({
    gateway: 'test',
    gate: () => fakeGate(),
    answers: { families: never, nameOf: () => undefined, isPooled: never, give: never },
    resolver: { resolve: never } as unknown as Parameters<typeof createDnsFilter>[0]['resolver'],
    budget: createTunnelBudget(defaultTunnelBudget),
    limiter: createRateLimiter({ rate: 0, burst: 3, keys: 10 }),
    ipv6: true,
    now: () => 1000,
    nextId: () => 'd',
    emit: (record) => records.push(record),
    suppress: (agent, reason, at) => suppressed.push(`${agent.name} ${reason} ${at}`),
  });
  const client = {
    interface: 'lo',
    source: { address: address('127.0.0.1'), port: 5353 },
    server: { address: address('127.0.0.1'), port: 53 },
    transport: 'udp',
  } as const;
  const codes: (number | undefined)[] = [];
  for (let i = 0; i < 20; i++) codes.push((await filter.handle(query, client))?.[3]);
  const [noError, refused] = [0x80, 0x85];
  assert.deepEqual(codes.slice(0, 8), [...Array(3).fill(noError), ...Array(5).fill(refused)]);
  assert.ok(codes.slice(8).every((code) => code === undefined));
  assert.deepEqual(
    records.map(({ reason }) => reason),
    [...Array(3).fill('dns-local'), ...Array(5).fill('dns-rate')],
  );
  assert.deepEqual(suppressed, Array(12).fill('coder dns-rate 1000'));
});
