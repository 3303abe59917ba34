/** The DNS filter where agents are told real addresses. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DnsRecord } from '@cofferdam/flows';
import { type Address, formatAddress } from '@cofferdam/net';
import { dnsName, dnsQuery, encodeDns, parseDnsResponse, recordType } from '@cofferdam/wire';
import { type AddressAnswers, ownAnswers, trackedAnswers } from '../src/address-answers.ts';
import {
  createDnsFilter,
  createRateLimiter,
  createTunnelBudget,
  defaultPool,
  defaultTunnelBudget,
  type Gate,
} from '../src/index.ts';
import { poolHolds } from '../src/synthetic-pool.ts';
import type { TrackedNameLimits } from '../src/tracked-names.ts';
import { compiledGate, type Sketch } from './compiled-gate.ts';
import { fakeResolver } from './fake-resolver.ts';
import { address } from './fakes.ts';
import { hour, tidyFor, trackedKernel, trackedNames } from './tracked-lab.ts';

const isPooled = poolHolds(defaultPool);
const zone = {
  'api.example.com': ['93.184.216.34', '93.184.216.35', '2606:2800:220:1::1'],
  'mixed.example.com': ['10.0.0.7', '93.184.216.36', '127.0.0.1', '169.254.169.254', '10.0.0.1', '198.18.1.0'],
  'private.example.com': ['10.0.0.7'],
  'loopback.example.com': ['127.0.0.1', '::1'],
  'metadata.example.com': ['169.254.169.254', '168.63.129.16'],
  'gateway.example.com': ['10.0.0.1'],
  'pool.example.com': ['198.18.1.0', 'fdc0:ffe7:da11:198::100'],
  'embedded.example.com': ['::ffff:169.254.169.254', '64:ff9b::7f00:1'],
  'twice.example.com': ['93.184.216.37', '93.184.216.37'],
  'many.example.com': Array.from({ length: 100 }, (_, i) => `93.184.217.${i}`),
  'dead.example.com': 'failed',
} as const;
const policy: Omit<Sketch, 'mode'> = {
  web: { all: ['*.example.com', 'api.example.com'] },
  to: { internal: ['10.0.0.0/8'] },
  rules: [
    { name: 'web', web: ['all'], to: ['public-internet'] },
    // Opens private addresses to whoever names none: no name may be pointed there for it.
    { name: 'internal', to: ['internal'], ports: [5432] },
  ],
};

const desk = (mode: 'track' | 'own', limits: Partial<TrackedNameLimits> = {}, gate?: Gate) => {
  const kernel = trackedKernel();
  const tracked = trackedNames(kernel, limits);
  const resolver = fakeResolver(zone);
  const records: DnsRecord[] = [];
  const state = { now: 0 };
  const given: AddressAnswers = mode === 'track' ? trackedAnswers(tracked, isPooled) : ownAnswers(isPooled);
  const filter = createDnsFilter({
    gateway: 'test',
    gate: () => gate ?? compiledGate({ ...policy, mode }),
    answers: given,
    resolver,
    budget: createTunnelBudget({ ...defaultTunnelBudget, uniqueNames: 20 }),
    limiter: createRateLimiter({ rate: 1e6, burst: 1e6, keys: 10 }),
    ipv6: true,
    now: () => state.now,
    nextId: () => 'd',
    emit: (record) => records.push(record),
    suppress: () => assert.fail('nothing here is faster than it may'),
  });
  const ask = async (text: string, type: 'A' | 'AAAA' | 'PTR' = 'A', source = '127.0.0.1') => {
    const query = encodeDns(dnsQuery({ id: 7, name: dnsName(text)!, type: recordType[type] }));
    assert.ok(query.ok);
    const bytes = await filter.handle(query.value.bytes, {
      interface: 'lo',
      source: { address: address(source), port: 5353 },
      server: { address: address('127.0.0.1'), port: 53 },
      transport: 'tcp',
    });
    const parsed = parseDnsResponse(bytes!);
    assert.ok(parsed.ok);
    const told = parsed.value.answers.flatMap(({ data }): Address[] => (data.kind === 'address' ? [data.address] : []));
    const record = records.at(-1)!;
    return {
      told: told.map(formatAddress),
      code: parsed.value.responseCode,
      reason: record.reason,
      record,
      ttl: parsed.value.answers[0]?.ttl,
    };
  };
  return { ask, kernel, tracked, resolver, records, state };
};

for (const mode of ['track', 'own'] as const) {
  describe(`answers in mode ${mode}`, () => {
    test('all real addresses of the family that was asked for, as they came', async () => {
      const d = desk(mode);
      const { told, record, ttl } = await d.ask('api.example.com');
      assert.deepEqual([told, ttl], [['93.184.216.34', '93.184.216.35'], 60]);
      assert.deepEqual([record.verdict, record.reason, record.synthetic], ['permit', 'dns-answered', []]);
      assert.deepEqual(record.addresses.map(formatAddress), told);
      assert.deepEqual((await d.ask('api.example.com', 'AAAA')).told, ['2606:2800:220:1::1']);
    });

    test('who has one family alone is not told of the other', async () => {
      const d = desk(mode);
      const { told, code } = await d.ask('mixed.example.com', 'AAAA');
      assert.deepEqual([told, code], [[], 0]);
      assert.deepEqual(d.resolver.asked, ['mixed.example.com AAAA']);
    });

    test('only addresses that one permit covers with the name: none of the host, the platform, the gateway, the pool, and no private one', async () => {
      const d = desk(mode);
      const { told, record } = await d.ask('mixed.example.com');
      assert.deepEqual([told, record.addresses.map(formatAddress)], [['93.184.216.36'], ['93.184.216.36']]);
    });

    for (const [name, type] of [
      ['private', 'A'],
      ['loopback', 'A'],
      ['loopback', 'AAAA'],
      ['metadata', 'A'],
      ['gateway', 'A'],
      ['pool', 'A'],
      ['pool', 'AAAA'],
      ['embedded', 'AAAA'],
    ] as const) {
      test(`a name that leads to nothing else (${name}, ${type}) is refused, and nothing is remembered`, async () => {
        const d = desk(mode);
        const { told, code, reason } = await d.ask(`${name}.example.com`, type);
        assert.deepEqual([told, code, reason], [[], 5, 'dns-address-denied']);
        assert.equal(d.tracked.size().addresses, 0);
      });
    }

    test('an address of the pool is left out also where policy would take it', async () => {
      const open = {
        ...policy,
        to: { anywhere4: ['198.18.0.0/16'] },
        rules: [{ name: 'web', web: ['all'], to: ['anywhere4'] }],
      };
      const d = desk(mode, {}, compiledGate({ ...open, mode }));
      assert.deepEqual((await d.ask('pool.example.com')).reason, 'dns-address-denied');
    });

    test('each address once, and sixty-four at most', async () => {
      const d = desk(mode);
      assert.deepEqual((await d.ask('twice.example.com')).told, ['93.184.216.37']);
      const { told, record } = await d.ask('many.example.com');
      assert.deepEqual([told.length, record.addresses.length], [64, 64]);
    });

    test('everything else is as in every mode', async () => {
      const d = desk(mode);
      for (const [name, type, code, reason] of [
        ['evil.example', 'A', 5, 'dns-not-permitted'],
        ['nothing.example.com', 'A', 3, 'dns-answered'],
        ['dead.example.com', 'A', 2, 'dns-upstream'],
        ['localhost', 'A', 0, 'dns-local'],
        ['printer', 'A', 3, 'dns-local'],
        ['34.216.184.93.in-addr.arpa', 'PTR', 3, 'dns-local'],
        ['0.1.18.198.in-addr.arpa', 'PTR', 3, 'dns-local'],
      ] as const) {
        const answer = await d.ask(name, type);
        assert.deepEqual([answer.code, answer.reason], [code, reason], name);
      }
    });

    test('names below a wildcard have their budget, and what is over it is neither asked nor remembered', async () => {
      const d = desk(mode);
      for (let i = 0; i < 25; i++) d.resolver.zone.set(`n${i}.example.com`, [`93.184.218.${i}`]);
      for (let i = 0; i < 25; i++) await d.ask(`n${i}.example.com`);
      assert.equal(d.resolver.asked.length, 20);
      assert.equal(d.records.at(-1)?.reason, 'dns-budget');
      assert.equal(d.tracked.size().addresses, mode === 'track' ? 20 : 0);
    });
  });
}

describe('what is remembered of an answer', () => {
  test('the addresses that were told, for the agent that asked', async () => {
    const d = desk('track');
    await d.ask('mixed.example.com');
    await d.ask('api.example.com', 'A', '10.0.0.9');
    assert.deepEqual(d.tracked.namesAt('coder', address('93.184.216.36')), ['mixed.example.com']);
    for (const other of ['10.0.0.7', '127.0.0.1', '198.18.1.0'])
      assert.deepEqual(d.tracked.namesAt('coder', address(other)), []);
    assert.deepEqual(d.tracked.namesAt('coder', address('93.184.216.34')), []);
    assert.deepEqual(d.tracked.namesAt('tester', address('93.184.216.34')), ['api.example.com']);
  });

  test('of a hundred addresses those that were told, and no others', async () => {
    const d = desk('track');
    const { told } = await d.ask('many.example.com');
    assert.equal(d.tracked.size().addresses, 64);
    for (const one of told) assert.ok(d.kernel.begin(one, 'coder', one));
  });

  test('the datapath knows before the answer is sent', async () => {
    const d = desk('track');
    const order: string[] = [];
    const { track } = d.kernel.table;
    Object.assign(d.kernel.table, {
      track: (...args: Parameters<typeof track>) => {
        order.push('installed');
        return track(...args);
      },
    });
    await d.ask('api.example.com').then(() => order.push('sent'));
    assert.deepEqual(order, ['installed', 'installed', 'sent']);
  });

  test('what does not fit is not told: SERVFAIL, and the record says which addresses it was', async () => {
    const d = desk('track', { pairsOfOne: 1 });
    const { told, code, reason, record } = await d.ask('api.example.com');
    assert.deepEqual([told, code, reason], [[], 2, 'name-table-full']);
    assert.deepEqual([record.verdict, record.addresses.length], ['deny', 2]);
    assert.equal(d.kernel.tracked.size, 0);
    assert.equal((await d.ask('api.example.com', 'AAAA')).code, 0, 'control: what fits is told');
  });

  test('a kernel that takes no more is not talked over, half way through either', async () => {
    const d = desk('track');
    const { track } = d.kernel.table;
    let left = 1;
    Object.assign(d.kernel.table, {
      track: (...args: Parameters<typeof track>) => left-- > 0 && track(...args),
    });
    assert.deepEqual((await d.ask('api.example.com')).told, []);
  });

  test('in own mode nothing', async () => {
    const d = desk('own');
    await d.ask('api.example.com');
    assert.deepEqual([d.tracked.size().names, d.kernel.calls.total], [0, 0]);
  });

  test('it lives from the answer, not from the question: resolvers take their time', async () => {
    const d = desk('track');
    const { resolve } = d.resolver;
    Object.assign(d.resolver, {
      resolve: async (...args: Parameters<typeof resolve>) => {
        d.state.now += 50_000;
        return resolve(...args);
      },
    });
    await d.ask('api.example.com');
    const end = 50_000 + hour + 60_000;
    tidyFor(d.tracked, 0, end - 1, 10_000);
    assert.equal(d.tracked.size().addresses, 2);
    tidyFor(d.tracked, end, end + 15_000);
    assert.equal(d.tracked.size().addresses, 0);
  });
});
