import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { holderOf } from '@cofferdam/datapath';
import fc from 'fast-check';
import type { TrackedNames } from '../src/tracked-names.ts';
import { address } from './fakes.ts';
import { give, hour, tidyFor, trackedKernel, trackedNames } from './tracked-lab.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const minute = 60_000;
/** Answer and grace, and the time in which what ran out is noticed. */
const life = hour + minute;
const late = 15_000;

const at = (names: TrackedNames, agent: string, text: string): readonly string[] =>
  [...names.namesAt(agent, address(text))].sort();
const desk = (...args: Parameters<typeof trackedKernel>) => {
  const kernel = trackedKernel(...args);
  return { kernel, names: trackedNames(kernel) };
};
const many = (count: number, of: (i: number) => string): readonly string[] =>
  Array.from({ length: count }, (_, i) => of(i));
const ip = (i: number): string => `93.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;

describe('what agents were told', () => {
  test('the kernel knows when it returns; an address that no answer gave has no name', () => {
    const { kernel, names } = desk();
    assert.equal(give(names, 'coder', 'a.example', ['1.1.1.1', '1.1.1.2']), 'ok');
    assert.ok(kernel.begin('flow', 'coder', '1.1.1.2'));
    assert.equal(kernel.claim('flow', 'a.example'), true);
    assert.equal(kernel.begin('other', 'coder', '1.1.1.3'), false);
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example']);
    assert.deepEqual(at(names, 'coder', '1.1.1.3'), []);
  });

  test('one agent’s answers are not another’s', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    assert.equal(kernel.begin('flow', 'tester', '1.1.1.1'), false);
    give(names, 'tester', 'b.example', ['1.1.1.1']);
    assert.deepEqual([at(names, 'coder', '1.1.1.1'), at(names, 'tester', '1.1.1.1')], [['a.example'], ['b.example']]);
    assert.equal(kernel.sets.size, 0, 'what two agents were told makes no set');
  });

  test('an address of both families in numbers alike is two addresses', () => {
    const { names } = desk();
    give(names, 'coder', 'a.example', ['0.0.0.9']);
    assert.deepEqual(at(names, 'coder', '::9'), []);
  });

  test('a shared address has both names; flows keep those they began with', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    kernel.begin('before', 'coder', '1.1.1.1');
    give(names, 'coder', 'b.example', ['1.1.1.1']);
    kernel.begin('after', 'coder', '1.1.1.1');
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example', 'b.example']);
    assert.deepEqual([kernel.claim('before', 'b.example'), kernel.claim('after', 'b.example')], [false, true]);
    assert.equal(kernel.claim('after', 'a.example'), true);
    assert.deepEqual(kernel.namesOf('before'), ['a.example']);
  });

  test('equal sets have one id, in whatever order and for whomever they came to be', () => {
    const { kernel, names } = desk();
    for (const one of ['a.example', 'b.example', 'c.example']) give(names, 'coder', one, ['1.1.1.1', '1.1.1.2']);
    for (const one of ['c.example', 'a.example', 'b.example']) give(names, 'tester', one, ['1.1.1.1']);
    const ids = new Set([...kernel.tracked.values()].map(({ id }) => id));
    assert.equal(ids.size, 1);
    assert.deepEqual(names.namesOf([...ids][0]!), ['a.example', 'b.example', 'c.example']);
    tidyFor(names, 0, 10_000);
    assert.equal(kernel.sets.size, 1, 'sets on the way to it are gone');
    assert.deepEqual(names.size(), { names: 3, sets: 1, pairs: 9, addresses: 3 });
  });

  test('a name that is asked for again has its id, and what is there is not written anew', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    const { total } = kernel.calls;
    for (let i = 0; i < 100; i++) give(names, 'coder', 'a.example', ['1.1.1.1', '1.1.1.1'], i);
    assert.equal(kernel.calls.total, total);
    assert.deepEqual(names.size(), { names: 1, sets: 0, pairs: 1, addresses: 1 });
  });
});

describe('how long', () => {
  test('as long as the answer and an hour, and no longer', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    tidyFor(names, 0, life - 1, 10_000);
    names.tidy(life - 1);
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example']);
    tidyFor(names, life, life + late);
    assert.equal(kernel.begin('flow', 'coder', '1.1.1.1'), false);
    assert.deepEqual(names.size(), { names: 0, sets: 0, pairs: 0, addresses: 0 });
    assert.deepEqual([kernel.rows.size, kernel.tracked.size, kernel.ids.size], [0, 0, 0]);
  });

  test('each answer counts from its own time, and a shorter one takes nothing from a longer', () => {
    const { names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1'], 0, 60);
    give(names, 'coder', 'a.example', ['1.1.1.1'], 1000, 5);
    give(names, 'coder', 'b.example', ['1.1.1.1'], 30 * minute);
    tidyFor(names, 1000, life - 1, 10_000);
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example', 'b.example']);
    tidyFor(names, life, life + late);
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['b.example'], 'the other name of the address stays');
    tidyFor(names, life + late, life + 30 * minute + late, 5000);
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), []);
  });

  test('a shorter answer takes nothing from a longer one, whenever it is looked at', () => {
    const { names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1'], 0, 5);
    const now = hour;
    give(names, 'coder', 'a.example', ['1.1.1.1'], now, 60);
    give(names, 'coder', 'a.example', ['1.1.1.1'], now, 5);
    tidyFor(names, now, now + life - 1, 10_000);
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example']);
  });

  test('as long as a flow of that agent to that address lives, and nobody else’s', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1', '1.1.1.2']);
    give(names, 'tester', 'a.example', ['1.1.1.1']);
    kernel.begin('lasting', 'coder', '1.1.1.1');
    tidyFor(names, 0, 5 * life, 5000);
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example']);
    assert.deepEqual([at(names, 'coder', '1.1.1.2'), at(names, 'tester', '1.1.1.1')], [[], []]);
    assert.ok(kernel.begin('another', 'coder', '1.1.1.1'));
    kernel.flows.clear();
    tidyFor(names, 5 * life, 5 * life + 2 * minute);
    assert.deepEqual(names.size(), { names: 0, sets: 0, pairs: 0, addresses: 0 });
  });

  test('two hundred addresses that turn: no connection loses its ground, and the first of them still works', () => {
    const { kernel, names } = desk();
    const all = many(200, ip);
    for (let i = 0; i < 200; i++) {
      const now = i * 10_000;
      assert.equal(give(names, 'coder', 'turning.example', [all[i]!, all[(i + 1) % 200]!], now), 'ok');
      assert.ok(kernel.begin(`flow ${i}`, 'coder', all[i]!));
      names.tidy(now);
    }
    for (let i = 0; i < 200; i++) assert.equal(kernel.claim(`flow ${i}`, 'turning.example'), true);
    assert.deepEqual(names.size(), { names: 1, sets: 0, pairs: 200, addresses: 200 });
    assert.ok(kernel.begin('late', 'coder', all[0]!));
  });

  test('an answer that comes as the last one runs out keeps the address', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    tidyFor(names, 0, life, 10_000);
    const now = life + late;
    give(names, 'coder', 'a.example', ['1.1.1.1'], now);
    tidyFor(names, now, now + life - 1, 10_000);
    assert.ok(kernel.begin('flow', 'coder', '1.1.1.1'));
  });

  test('an answer in each of the steps in which a name goes finds it, or a new one', () => {
    for (let wait = 0; wait < 30; wait++) {
      const { kernel, names } = desk();
      give(names, 'coder', 'a.example', ['1.1.1.1']);
      give(names, 'coder', 'b.example', ['1.1.1.1', '1.1.1.2']);
      const now = life + wait * 500;
      tidyFor(names, life, now, 500);
      assert.equal(give(names, 'coder', 'a.example', ['1.1.1.1'], now), 'ok');
      assert.ok(kernel.begin('flow', 'coder', '1.1.1.1'));
      assert.equal(kernel.claim('flow', 'a.example'), true);
      tidyFor(names, now, now + minute);
      assert.equal(kernel.claim('flow', 'a.example'), true, `${wait}`);
      assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example']);
    }
  });

  test('a set that was left stays a second at least, for packets that have read it', () => {
    const { kernel, names } = desk();
    for (const [one, now] of [
      ['a.example', 0],
      ['b.example', 0],
      ['c.example', 5999],
    ] as const)
      give(names, 'coder', one, ['1.1.1.1'], now);
    names.tidy(6000);
    assert.equal(kernel.sets.size, 2);
    names.tidy(7000);
    assert.equal(kernel.sets.size, 1);
  });

  test('a flow that began as its set was left keeps it, and the set goes when the flow has', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    give(names, 'coder', 'b.example', ['1.1.1.1']);
    const old = [...kernel.tracked.values()][0]!;
    give(names, 'coder', 'c.example', ['1.1.1.1']);
    // It had read the table before, and is written after.
    kernel.flows.set('late', { ...old, called: old.id, claimed: 0 });
    tidyFor(names, 0, 3 * minute);
    assert.equal(kernel.claim('late', 'b.example'), true);
    kernel.flows.clear();
    tidyFor(names, 3 * minute, 5 * minute);
    assert.equal(kernel.sets.has(old.id), false);
  });
});

describe('claimed before, claimed after', () => {
  test('a name on its way out is found again by who claims it', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    for (let now = life; kernel.ids.has('a.example'); now += 500) names.tidy(now);
    assert.ok(names.has('a.example' as never), 'control: it is not forgotten yet');
    assert.ok(names.claim('a.example' as never, life + late));
    assert.ok(kernel.ids.has('a.example'));
    tidyFor(names, life + late, life + late + 3 * minute);
    assert.equal(names.has('a.example' as never), false);
    assert.equal(names.claim('a.example' as never, 2 * life), false, 'from then on it is anybody’s to classify');
  });

  test('one that a flow claimed at the moment it was taken away comes back under its id', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    const id = kernel.ids.get('a.example')!;
    let now = life;
    for (; kernel.ids.has('a.example'); now += 500) names.tidy(now);
    kernel.flows.set('elsewhere', { holder: 1n, address: address('9.9.9.9'), called: 0, claimed: id });
    tidyFor(names, now, now + late);
    assert.equal(kernel.ids.get('a.example'), id);
  });

  test('a flow that claims it holds it, after all its addresses are gone', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    const id = kernel.ids.get('a.example')!;
    kernel.flows.set('elsewhere', { holder: 1n, address: address('9.9.9.9'), called: 0, claimed: id });
    tidyFor(names, life, life + 5 * minute);
    assert.equal(kernel.rows.get(id), 'a.example');
    assert.equal(kernel.ids.get('a.example'), id, 'and it is found');
  });
});

describe('a restart', () => {
  const restarted = () => {
    const kernel = trackedKernel();
    const before = trackedNames(kernel);
    give(before, 'coder', 'a.example', ['1.1.1.1', '1.1.1.2']);
    give(before, 'coder', 'b.example', ['1.1.1.1']);
    give(before, 'tester', 'c.example', ['1.1.1.3']);
    return { kernel, before };
  };

  test('everything is there, as if it had just been told', () => {
    const { kernel, before } = restarted();
    kernel.begin('flow', 'coder', '1.1.1.1');
    const now = 30 * minute;
    tidyFor(before, 0, minute);
    const names = trackedNames(kernel, {}, kernel.standing(now, now + life));
    assert.deepEqual(names.size(), before.size());
    assert.deepEqual([...names.entries()].sort(), [...before.entries()].sort());
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example', 'b.example']);
    tidyFor(names, now, now + life - 1, 5000);
    assert.deepEqual(at(names, 'tester', '1.1.1.3'), ['c.example']);
    tidyFor(names, now + life, now + life + late);
    assert.deepEqual([at(names, 'tester', '1.1.1.3'), at(names, 'coder', '1.1.1.1').length], [[], 2]);
    kernel.flows.clear();
    tidyFor(names, now + life, now + life + 3 * minute);
    assert.equal(kernel.rows.size, 0);
  });

  test('what comes after it has ids of its own', () => {
    const { kernel } = restarted();
    const held = new Set(kernel.rows.keys());
    const names = trackedNames(kernel, {}, kernel.standing(0, life));
    give(names, 'coder', 'd.example', ['1.1.1.1']);
    const fresh = [...kernel.rows.keys()].filter((id) => !held.has(id));
    assert.equal(fresh.length, 2, 'a name and a set');
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example', 'b.example', 'd.example']);
  });

  test('numbers begin again at the end of their range, without those in use', () => {
    const kernel = trackedKernel();
    kernel.rows.set(0x10000000, 'first.example');
    kernel.rows.set(0x1fffffff, 'last.example');
    kernel.tracked.set('a', { holder: holderOf('coder'), address: address('1.1.1.1'), id: 0x10000000 });
    kernel.tracked.set('b', { holder: holderOf('coder'), address: address('1.1.1.2'), id: 0x1fffffff });
    const names = trackedNames(kernel, {}, kernel.standing(0, life));
    give(names, 'coder', 'fresh.example', ['1.1.1.3']);
    assert.equal(kernel.ids.get('fresh.example'), 0x10000001);
  });

  test('what was half written leads nowhere', () => {
    const { kernel } = restarted();
    const known = [...kernel.rows.keys()][0]!;
    kernel.sets.set(0x2ffffff0, [known]);
    kernel.sets.set(0x2ffffff1, [known, 0x1ffffff0]);
    kernel.tracked.set('lost', { holder: 1n, address: address('1.1.1.9'), id: 0x2fffffff });
    const standing = kernel.standing(0, life);
    kernel.tracked.delete('lost');
    kernel.tracked.set(`${1n} 1.1.1.9`, standing.tracked.at(-1)!);
    const names = trackedNames(kernel, {}, standing);
    assert.deepEqual([kernel.sets.has(0x2ffffff0), kernel.sets.has(0x2ffffff1)], [false, false]);
    assert.equal(kernel.tracked.has(`${1n} 1.1.1.9`), false);
    assert.equal(names.size().sets, 1);
  });
});

describe('bounds', () => {
  test('names and addresses of one agent; another has room', () => {
    const kernel = trackedKernel();
    const names = trackedNames(kernel, { namesOfOne: 3, pairsOfOne: 8 });
    for (const one of ['a.example', 'b.example', 'c.example'])
      assert.equal(give(names, 'coder', one, ['1.1.1.1']), 'ok');
    assert.equal(give(names, 'coder', 'd.example', ['1.1.1.1']), 'tracked-quota');
    assert.equal(give(names, 'coder', 'a.example', many(6, ip)), 'tracked-quota', 'it takes all of them or none');
    assert.equal(names.size().pairs, 3);
    assert.equal(give(names, 'coder', 'a.example', many(5, ip)), 'ok');
    assert.equal(give(names, 'coder', 'a.example', many(5, ip), 1000), 'ok', 'what is there may be renewed');
    assert.equal(give(names, 'tester', 'd.example', ['1.1.1.1']), 'ok');
    tidyFor(names, life, life + late);
    assert.equal(give(names, 'coder', 'd.example', ['1.1.1.1'], life + late), 'ok', 'and room comes back');
  });

  for (const [what, limits, first, over] of [
    ['names in all', { names: 2 }, ['x a 1.1.1.1', 'y b 1.1.1.2'], 'x c 1.1.1.1'],
    ['pairs in all', { pairs: 2 }, ['x a 1.1.1.1', 'y a 1.1.1.1'], 'x a 1.1.1.2'],
    ['sets in all', { sets: 1 }, ['x a 1.1.1.1', 'x b 1.1.1.1', 'y a 1.1.1.1'], 'y c 1.1.1.1'],
    [
      'members of sets in all',
      { members: 4 },
      ['x a 1.1.1.1', 'x b 1.1.1.1', 'y a 1.1.1.1', 'y c 1.1.1.1'],
      'x c 1.1.1.1',
    ],
  ] as const) {
    test(`${what}: beyond, nothing is told, and what was told stays`, () => {
      const kernel = trackedKernel();
      const names = trackedNames(kernel, limits);
      const ask = (text: string, now = 0): string => {
        const [agent, one, to] = text.split(' ') as [string, string, string];
        return give(names, agent, `${one}.example`, [to], now);
      };
      assert.deepEqual(
        first.map((text) => ask(text)),
        first.map(() => 'ok'),
      );
      const before = names.size();
      assert.equal(ask(over), 'tracked-full');
      assert.deepEqual({ ...names.size(), names: 0 }, { ...before, names: 0 });
      assert.equal(ask(first[0], 1000), 'ok', 'what is there may be renewed');
      tidyFor(names, life, life + minute);
      assert.equal(kernel.rows.size, 0, 'nothing is left of what failed');
      assert.equal(ask(over, life + minute), 'ok', 'room comes back');
    });
  }

  test('sets that one agent makes: it runs out before others do', () => {
    const kernel = trackedKernel();
    const names = trackedNames(kernel, { sets: 1000, setsOfOne: 20 });
    const results = many(40, ip).flatMap((to, i) => [
      give(names, 'coder', 'shared.example', [to]),
      give(names, 'coder', `n${i}.example`, [to]),
    ]);
    assert.equal(results.filter((one) => one === 'tracked-full').length, 20);
    give(names, 'tester', 'a.example', ['1.1.1.1']);
    assert.equal(give(names, 'tester', 'b.example', ['1.1.1.1']), 'ok');
  });

  test('members of the sets that one agent makes, and names of one of its addresses', () => {
    const kernel = trackedKernel();
    const names = trackedNames(kernel, { membersOfOne: 100, namesOfAddress: 10 });
    const results = many(12, (i) => give(names, 'coder', `n${i}.example`, ['1.1.1.1']));
    assert.deepEqual(results.slice(9), ['ok', 'tracked-quota', 'tracked-quota']);
    const other = many(12, (i) => give(names, 'coder', `m${i}.example`, ['2.2.2.2']));
    assert.ok(other.includes('tracked-full'), 'sets on their way out count, so that churn is bounded too');
    assert.ok([...kernel.sets.values()].reduce((sum, members) => sum + members.length, 0) <= 110);
  });

  test('sets that were forgotten are charged to nobody', () => {
    const kernel = trackedKernel();
    const names = trackedNames(kernel, { setsOfOne: 3 });
    for (let i = 0; i < 50; i++) {
      assert.equal(give(names, 'coder', `n${i}.example`, ['1.1.1.1'], i * 10_000), 'ok');
      names.tidy(i * 10_000);
    }
  });

  test('an address that cannot be written stands for what it stood for, and the set that was made for it goes', () => {
    const { kernel, names } = desk();
    give(names, 'coder', 'a.example', ['1.1.1.1']);
    kernel.failing.track = true;
    assert.equal(give(names, 'coder', 'b.example', ['1.1.1.1']), 'tracked-full');
    kernel.failing.track = false;
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example']);
    tidyFor(names, 0, minute);
    assert.deepEqual([kernel.sets.size, [...kernel.ids.keys()]], [0, ['a.example']]);
  });

  test('where the kernel has no room nothing is told, and what was begun is undone', () => {
    const kernel = trackedKernel({ rows: 3, tracked: 2 });
    const names = trackedNames(kernel);
    assert.equal(give(names, 'coder', 'a.example', ['1.1.1.1', '1.1.1.2', '1.1.1.3']), 'tracked-full');
    assert.equal(give(names, 'coder', 'a.example', ['1.1.1.1', '1.1.1.2']), 'ok');
    assert.equal(give(names, 'coder', 'b.example', ['1.1.1.1']), 'ok');
    assert.equal(give(names, 'coder', 'c.example', ['1.1.1.9']), 'tracked-full');
    assert.deepEqual(at(names, 'coder', '1.1.1.1'), ['a.example', 'b.example']);
    tidyFor(names, life, life + 2 * late);
    assert.deepEqual([kernel.rows.size, kernel.tracked.size], [0, 0]);
  });
});

describe('what it costs', () => {
  test('what waits is not looked at: neither by an answer nor by tidying', () => {
    const { kernel, names } = desk();
    for (let i = 0; i < 4000; i++) give(names, `agent ${i % 4}`, `n${i}.example`, [ip(i), ip(i + 100_000)]);
    tidyFor(names, 0, 60_000);
    const before = { ...kernel.calls };
    tidyFor(names, 60_000, 30 * minute);
    assert.deepEqual(kernel.calls, before, 'nothing is due');
    give(names, 'agent 0', 'one-more.example', ['1.1.1.1'], 30 * minute);
    assert.equal(kernel.calls.total - before.total, 2);
  });

  test('what runs out together is looked at in portions, and flows once for each', () => {
    const { kernel, names } = desk();
    for (let i = 0; i < 12_000; i++) give(names, `agent ${i % 4}`, `n${i % 1000}.example`, [ip(i)]);
    const before = names.size().addresses;
    names.tidy(life + late);
    const left = names.size().addresses;
    assert.ok(before - left <= 4096 && before - left > 0, `${before - left}`);
    assert.equal(kernel.calls.reached, 1);
    tidyFor(names, life + late, life + 2 * late + minute);
    assert.equal(names.size().addresses, 0);
  });
});

test(`answers, flows and time in any order (seed ${seed})`, () => {
  const step = fc.record({
    kind: fc.constantFrom('give', 'give', 'give', 'begin', 'begin', 'claim', 'end', 'wait', 'restart'),
    agent: fc.constantFrom('x', 'y', 'z'),
    name: fc.nat(6),
    addresses: fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 4 }),
    flow: fc.nat(8),
    wait: fc.constantFrom(0, 500, 1000, 20_000, minute, 20 * minute, life),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const kernel = trackedKernel();
      let names = trackedNames(kernel, { sets: 12, setsOfOne: 8, namesOfAddress: 5 });
      /** Until when at least each agent must have each name at each address. */
      const promised = new Map<string, number>();
      let now = 0;
      for (const { kind, agent, name: n, addresses, flow, wait } of steps) {
        const text = `n${n}.example`;
        const tos = addresses.map((i) => `1.1.1.${i}`);
        const key = (to: string): string => `${agent} ${text} ${to}`;
        if (kind === 'give' && give(names, agent, text, tos, now) === 'ok')
          for (const to of tos) promised.set(key(to), now + life);
        if (kind === 'begin') kernel.begin(`${flow}`, agent, tos[0]!);
        if (kind === 'claim' && kernel.flows.has(`${flow}`) && kernel.claim(`${flow}`, text) === 'miss')
          names.claim(text as never, now);
        if (kind === 'end') kernel.flows.delete(`${flow}`);
        if (kind === 'wait') {
          tidyFor(names, now, now + wait, Math.max(1000, wait / 20));
          now += wait;
        }
        if (kind === 'restart') {
          names = trackedNames(kernel, { sets: 12, setsOfOne: 8, namesOfAddress: 5 }, kernel.standing(now, now + life));
        }
        for (const [promise, until] of promised) {
          const [who, what, to] = promise.split(' ') as [string, string, string];
          const there = names.namesAt(who, address(to));
          if (until > now) assert.ok(there.includes(what as never), promise);
          const id = kernel.tracked.get(`${holderOf(who)} ${to}`)?.id;
          assert.deepEqual(id === undefined ? [] : names.namesOf(id), there, 'the kernel has what the book has');
        }
        for (const { called } of kernel.flows.values()) assert.ok(kernel.rows.has(called));
      }
      kernel.flows.clear();
      tidyFor(names, now, now + 2 * life, 10_000);
      tidyFor(names, now + 2 * life, now + 2 * life + 3 * minute);
      assert.deepEqual(
        [kernel.rows.size, kernel.sets.size, kernel.tracked.size],
        [0, 0, 0],
        'everything goes in the end',
      );
    }),
    { seed, numRuns: 200 },
  );
});
