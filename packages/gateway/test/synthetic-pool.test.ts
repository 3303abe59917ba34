import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatAddress, parsePrefix } from '@cofferdam/net';
import fc from 'fast-check';
import {
  createSyntheticPool,
  defaultPool,
  type PoolOptions,
  type PoolState,
  type SyntheticPool,
} from '../src/index.ts';
import { address, name } from './fakes.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);

const prefix = (text: string) => {
  const parsed = parsePrefix(text);
  assert.ok(parsed.ok);
  return parsed.value;
};

/** A pool of `size` slots. */
const small = (size: 256 | 768, over: Partial<PoolOptions> = {}): PoolOptions => ({
  ...defaultPool,
  v4: prefix(size === 256 ? '198.18.0.0/23' : '198.18.0.0/22'),
  grace: 1000,
  ...over,
});

const pool = (options: PoolOptions = defaultPool, state?: PoolState): SyntheticPool => {
  const made = createSyntheticPool(options, state);
  assert.ok(made.ok);
  return made.value;
};

const leased = (p: SyntheticPool, text: string, agent = 'a', ttl = 60, at = 0) => {
  const slot = p.lease(name(text), agent, ttl, at);
  assert.ok(slot.ok, text);
  return slot.value;
};

const code = (result: ReturnType<SyntheticPool['lease']>): string => (result.ok ? 'ok' : result.error.code);

describe('synthetic pool', () => {
  test('the first /24 is left out; both families stand at the same place', () => {
    const slot = leased(pool(), 'a.example');
    assert.equal(formatAddress(slot.v4), '198.18.1.0');
    assert.equal(slot.v6.value - defaultPool.v6.address.value, 256n);
  });

  test('one name, one address, for all agents', () => {
    const p = pool();
    assert.deepEqual(leased(p, 'a.example', 'x'), leased(p, 'a.example', 'y', 30, 5));
    assert.deepEqual(p.at(address('198.18.1.0'))?.name, 'a.example');
  });

  test('an address that nothing was given stands for nothing', () => {
    const p = pool();
    assert.equal(p.at(address('198.18.1.0')), undefined);
    assert.equal(p.contains(address('198.18.255.255')), true);
    assert.equal(p.contains(address('198.19.0.0')), false);
    assert.equal(p.at(address('198.18.0.7')), undefined);
  });

  test('a full pool takes back only what ran out, grace included, and what no flow holds', () => {
    const live = new Set<number>();
    const p = pool(small(256, { quota: 1000, inUse: (id) => live.has(id) }));
    for (let i = 0; i < 256; i++) leased(p, `n${i}.example`, 'a', 10, i);
    assert.equal(code(p.lease(name('x.example'), 'a', 10, 10_999)), 'pool-full');
    live.add(0);
    live.add(1);
    const third = leased(p, 'x.example', 'a', 10, 11_002);
    assert.equal(third.id, 2);
    assert.equal(p.ofName(name('n2.example')), undefined);
    live.delete(1);
    assert.equal(leased(p, 'y.example', 'a', 10, 20_000).id, 1);
  });

  test('a lease that is renewed is not taken back', () => {
    const p = pool(small(256, { quota: 1000 }));
    for (let i = 0; i < 256; i++) leased(p, `n${i}.example`, 'a', 10, 0);
    leased(p, 'n0.example', 'b', 10, 5000);
    assert.equal(leased(p, 'x.example', 'a', 10, 11_000).id, 1);
    assert.equal(p.ofName(name('n0.example'))?.id, 0);
  });

  test('the quota counts names an agent holds now', () => {
    const p = pool(small(256, { quota: 2 }));
    leased(p, 'a.example', 'x', 10, 0);
    leased(p, 'b.example', 'x', 10, 0);
    assert.equal(code(p.lease(name('c.example'), 'x', 10, 1)), 'pool-quota');
    assert.equal(code(p.lease(name('a.example'), 'x', 10, 1)), 'ok');
    assert.equal(code(p.lease(name('c.example'), 'y', 10, 1)), 'ok');
    assert.equal(code(p.lease(name('c.example'), 'x', 10, 11_001)), 'ok');
  });

  test('the state survives JSON and a restart', () => {
    const p = pool();
    leased(p, 'a.example', 'x', 60, 1000);
    leased(p, 'b.example', 'y', 60, 2000);
    const again = pool(defaultPool, JSON.parse(JSON.stringify(p.state())));
    assert.deepEqual(again.state(), p.state());
    assert.equal(leased(again, 'c.example').id, 2);
    assert.equal(again.at(leased(p, 'b.example').v6)?.name, 'b.example');
  });

  for (const [what, change] of [
    ['another prefix', (s: PoolState) => ({ ...s, v4: '10.0.0.0/16' })],
    ['a slot twice', (s: PoolState) => ({ ...s, slots: [...s.slots, ...s.slots] })],
    ['a slot outside', (s: PoolState) => ({ ...s, slots: [{ id: 1e9, name: 'x', leases: [] }] })],
  ] as const) {
    test(`saved state refused: ${what}`, () => {
      const p = pool();
      leased(p, 'a.example');
      const made = createSyntheticPool(defaultPool, change(p.state()));
      assert.equal(!made.ok && made.error.code, 'pool-state');
    });
  }

  test(`never two names on one address, never a held one given away (seed ${seed})`, () => {
    const step = fc.record({
      n: fc.nat(400),
      agent: fc.constantFrom('x', 'y', 'z'),
      ttl: fc.integer({ min: 1, max: 60 }),
      wait: fc.nat(3000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const p = pool(small(256, { quota: 200 }));
        const promised = new Map<number, { name: string; until: number }>();
        let at = 0;
        for (const { n, agent, ttl, wait } of steps) {
          at += wait;
          const slot = p.lease(name(`n${n}.example`), agent, ttl, at);
          if (!slot.ok) continue;
          const before = promised.get(slot.value.id);
          if (before !== undefined && before.until > at) assert.equal(before.name, slot.value.name);
          const until = Math.max(at + ttl * 1000 + 1000, before?.name === slot.value.name ? before.until : 0);
          promised.set(slot.value.id, { name: slot.value.name, until });
          assert.equal(p.at(slot.value.v4)?.name, slot.value.name);
        }
        const names = p.slots().map((slot) => slot.name);
        assert.equal(new Set(names).size, names.length);
      }),
      { seed, numRuns: 30 },
    );
  });
});
