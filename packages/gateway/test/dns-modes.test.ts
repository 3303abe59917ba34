/** Names of each DNS mode in the kernel's tables, by the plan in force. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type FlowEntry,
  flowState,
  holderOf,
  type Kernel,
  type KernelFlow,
  type StandingName,
} from '@cofferdam/datapath';
import { type DomainName, formatAddress } from '@cofferdam/net';
import { bitIndices, type LoadedPlan, type NameSetClass } from '@cofferdam/plan';
import { assertSameMode, type DnsModeParts, openDnsMode } from '../src/dns-modes.ts';
import { createTunnelBudget, defaultPool, defaultTunnelBudget, type GateAgent } from '../src/index.ts';
import { compiledPlan, type Sketch } from './compiled-gate.ts';
import { fakeResolver } from './fake-resolver.ts';
import { address, name } from './fakes.ts';

const sketch = (mode: Sketch['mode'], rules?: Sketch['rules']): Sketch => ({
  mode,
  web: { one: ['one.example.com'], two: ['two.example.com'] },
  rules: rules ?? [
    { name: 'one', web: ['one'] },
    { name: 'two', web: ['two'] },
  ],
});

const hour = 3_600_000;
const agent: GateAgent = {
  name: 'coder',
  interface: 'lo',
  source: address('127.0.0.1'),
  identity: { labels: {} },
  families: new Set([4, 6]),
  monitored: false,
};

interface Tables {
  readonly names: Map<string, number>;
  readonly rows: Map<number, NameSetClass>;
  readonly sets: Map<number, readonly number[]>;
  readonly tracked: Map<
    string,
    { readonly holder: bigint; readonly address: ReturnType<typeof address>; readonly id: number }
  >;
  readonly synthetics: Map<number, StandingName['synthetic']>;
  /** Ids that live flows hold, and where live flows of the agent go. */
  readonly held: Set<number>;
  readonly reached: Map<string, number>;
}

const emptyTables = (): Tables => ({
  names: new Map(),
  rows: new Map(),
  sets: new Map(),
  tracked: new Map(),
  synthetics: new Map(),
  held: new Set(),
  reached: new Map(),
});

/** As much of the kernel as names need. The tables outlive it, as those of a gateway do. */
const kernelOver = (tables: Tables): Kernel => {
  const { names, rows, sets, tracked, synthetics, held, reached } = tables;
  const part: Partial<Kernel> = {
    install(one, classes) {
      rows.set(one.id, classes);
      names.set(one.name, one.id);
      synthetics.set(
        one.id,
        one.synthetic.map((each) => ({ ...each, addresses: one.addresses })),
      );
      return true;
    },
    classify(id, one, classes) {
      rows.set(id, classes);
      names.set(one, id);
      return true;
    },
    standingNames: () =>
      [...names].map(([text, id]) => ({ id, name: name(text), synthetic: synthetics.get(id) ?? [] })),
    unclaim(id, one) {
      if (names.get(one) === id) names.delete(one);
    },
    unclassify: (id) => void rows.delete(id),
    track(holder, to, id) {
      tracked.set(`${holder} ${formatAddress(to)}`, { holder, address: to, id });
      return true;
    },
    untrack: (holder, to) => void tracked.delete(`${holder} ${formatAddress(to)}`),
    standingTracked: () => [...tracked.values()],
    installSet(id, members, classes) {
      rows.set(id, classes);
      sets.set(id, members);
      return true;
    },
    removeSet(id) {
      rows.delete(id);
      sets.delete(id);
    },
    standingSets: () => [...sets].map(([id, members]) => ({ id, members })),
    namesInUse: () => held,
    *flows() {
      for (const [text, state] of reached)
        yield {
          key: {
            ifindex: 2,
            protocol: 'tcp',
            source: address('127.0.0.1'),
            sourcePort: 1,
            destination: address(text),
            destinationPort: 443,
          },
          flow: { state } as KernelFlow,
        } as FlowEntry;
    },
  };
  return part as Kernel;
};

const start = (tables: Tables, loaded: LoadedPlan) => {
  const commands: string[] = [];
  const state = { plan: loaded, now: 0 };
  const parts: DnsModeParts = openDnsMode({
    kernel: kernelOver(tables),
    nft: {
      run(text) {
        commands.push(text);
        return '';
      },
      apply: () => undefined,
      list: () => [],
      close: () => undefined,
    },
    pool: defaultPool,
    plan: () => state.plan,
    agentAt: (source) => (formatAddress(source) === '127.0.0.1' ? 'coder' : undefined),
    resolver: fakeResolver({}),
    budget: createTunnelBudget(defaultTunnelBudget),
    ipv6: true,
    now: () => state.now,
  });
  const give = (one: string, addresses: readonly string[]) =>
    parts.answers.give({
      name: name(one),
      agent,
      wanted: 4,
      family: 4,
      addresses: addresses.map(address),
      keep: () => true,
      ttl: 60,
      at: state.now,
    });
  return { parts, state, commands, give };
};

/** Rules that a permit's `web` makes match. */
const webOf = (tables: Tables, id: number): readonly number[] => [...bitIndices(tables.rows.get(id)!.web)];

describe('names that agents were given addresses for', () => {
  test('have the rows of the plan in force, and a set those of its names together', async () => {
    const tables = emptyTables();
    const { give } = start(tables, compiledPlan(sketch('track')));
    await give('one.example.com', ['93.184.216.34']);
    await give('two.example.com', ['93.184.216.34']);
    const { id } = tables.tracked.get(`${holderOf('coder')} 93.184.216.34`)!;
    assert.deepEqual(webOf(tables, tables.names.get('one.example.com')!), [0]);
    assert.deepEqual(webOf(tables, id), [0, 1]);
  });

  test('have those of the next plan, sets too', async () => {
    const tables = emptyTables();
    const { give, parts } = start(tables, compiledPlan(sketch('track')));
    await give('one.example.com', ['93.184.216.34']);
    await give('two.example.com', ['93.184.216.34']);
    parts.names.claim(name('claimed.example'));
    const next = compiledPlan(
      sketch('track', [{ name: 'none' }, { name: 'two', web: ['two'] }, { name: 'one', web: ['one'] }]),
    );
    const classified = new Map(
      parts.names.classified(next).map(({ id, classes }) => [id, [...bitIndices(classes.web)]]),
    );
    assert.deepEqual(new Set(classified.keys()), new Set(tables.rows.keys()), 'each id that has rows now');
    assert.deepEqual(classified.get([...tables.sets.keys()][0]!), [0, 1, 2]);
    assert.deepEqual(classified.get(tables.names.get('one.example.com')!), [0, 2]);
    assert.deepEqual([parts.names.size(), parts.tracked()], [4, 1]);
  });

  test('one that was claimed before moves to the id of its answer, and may be claimed anew when that is forgotten', async () => {
    const tables = emptyTables();
    const { give, parts, state } = start(tables, compiledPlan(sketch('track')));
    const idNow = (): number | undefined => tables.names.get('one.example.com');
    parts.names.claim(name('one.example.com'));
    assert.ok((idNow() ?? 0) >= 0x40000000);
    await give('one.example.com', ['93.184.216.34']);
    const told = idNow()!;
    assert.ok(told >= 0x10000000 && told < 0x20000000);
    parts.names.claim(name('one.example.com'));
    assert.equal(idNow(), told, 'who claims it finds the id of its answer');
    for (state.now = hour + 60_000; state.now < hour + 120_000; state.now += 1000) parts.names.tidy();
    assert.equal(idNow(), undefined);
    parts.names.claim(name('one.example.com'));
    assert.ok((idNow() ?? 0) >= 0x40000000);
  });

  test('a record says all names of a set', async () => {
    const tables = emptyTables();
    const { give, parts } = start(tables, compiledPlan(sketch('track')));
    await give('one.example.com', ['93.184.216.34']);
    await give('two.example.com', ['93.184.216.34']);
    const { id } = [...tables.tracked.values()][0]!;
    assert.deepEqual(parts.names.namesOf(id), ['one.example.com', 'two.example.com']);
    assert.deepEqual(parts.names.namesOf(9), []);
  });

  test('live flows of an agent keep its addresses, denied ones do not', async () => {
    const tables = emptyTables();
    const { give, parts, state } = start(tables, compiledPlan(sketch('track')));
    await give('one.example.com', ['93.184.216.34', '93.184.216.35']);
    tables.reached.set('93.184.216.34', flowState.permitted);
    tables.reached.set('93.184.216.35', flowState.denied);
    for (state.now = hour + 60_000; state.now < hour + 120_000; state.now += 1000) parts.names.tidy();
    assert.deepEqual(
      [...tables.tracked.values()].map((one) => formatAddress(one.address)),
      ['93.184.216.34'],
    );
  });

  test('the next process has them, for the proxy and for records', async () => {
    const tables = emptyTables();
    await start(tables, compiledPlan(sketch('track'))).give('one.example.com', ['93.184.216.34']);
    const { parts } = start(tables, compiledPlan(sketch('track')));
    assert.deepEqual(parts.ways.at('coder', address('93.184.216.34')), {
      addressNames: ['one.example.com'],
      candidates: [address('93.184.216.34')],
      isPooled: false,
    });
    assert.equal(parts.names.classified(compiledPlan(sketch('track'))).length, 1);
  });
});

describe('a gateway that is started in another mode', () => {
  const left = async (mode: Sketch['mode']): Promise<Tables> => {
    const tables = emptyTables();
    const { give, parts } = start(tables, compiledPlan(sketch(mode)));
    await give('one.example.com', ['93.184.216.34']);
    await give('two.example.com', ['93.184.216.34']);
    parts.names.claim(name('claimed.example'));
    return tables;
  };

  for (const [before, after] of [
    ['synthetic', 'track'],
    ['synthetic', 'own'],
    ['track', 'synthetic'],
    ['track', 'own'],
    ['own', 'synthetic'],
    ['own', 'track'],
  ] as const) {
    test(`from ${before} to ${after}: names of the other mode are nobody's, claimed ones stay`, async () => {
      const tables = await left(before);
      const { parts, give } = start(tables, compiledPlan(sketch(after)));
      assert.deepEqual([...tables.names.keys()], ['claimed.example']);
      assert.deepEqual(
        parts.names.classified(compiledPlan(sketch(after))).map(({ id }) => id >= 0x40000000),
        [true],
      );
      const given = await give('one.example.com', ['93.184.216.34']);
      assert.ok(given.ok, 'and it works');
      const told = formatAddress(given.value.told[0]!);
      assert.equal(told, after === 'synthetic' ? '198.18.1.0' : '93.184.216.34');
    });
  }

  test('netfilter is cleared of what it may still have when synthetic addresses come back', () => {
    const { commands } = start(emptyTables(), compiledPlan(sketch('synthetic')));
    assert.match(commands.join(''), /flush map inet cofferdam real4\nflush map inet cofferdam real6/);
  });
});

describe('addresses of the pool', () => {
  for (const mode of ['synthetic', 'track', 'own'] as const)
    test(`stand for nothing where nothing was given (${mode})`, () => {
      const { parts } = start(emptyTables(), compiledPlan(sketch(mode)));
      const { candidates, isPooled } = parts.ways.at('coder', address('198.18.7.7'));
      assert.deepEqual([candidates, isPooled, parts.answers.nameOf(address('198.18.7.7'))], [[], true, undefined]);
      assert.equal(parts.ways.follow === undefined, mode !== 'own');
    });
});

test('a plan for another mode is refused, and says why', () => {
  assert.throws(
    () => assertSameMode('track', compiledPlan(sketch('own'))),
    /the plan is for DNS mode `own`, and this gateway was started in `track`/,
  );
  assertSameMode('own', compiledPlan(sketch('own')));
});

test('what an agent claims in own mode is classified, and no more is remembered', () => {
  const tables = emptyTables();
  const { parts } = start(tables, compiledPlan(sketch('own')));
  parts.names.claim('claimed.example' as DomainName);
  assert.deepEqual(
    [[...tables.names.keys()], parts.names.size(), parts.tracked()],
    [['claimed.example'], 1, undefined],
  );
});
