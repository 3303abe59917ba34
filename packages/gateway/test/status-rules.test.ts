import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeGateway, planOf } from './status-fakes.ts';

const minute = 60_000;
const uses = (gateway: ReturnType<typeof fakeGateway>): Record<string, readonly number[]> =>
  Object.fromEntries(
    gateway.status
      .rules()
      .rules.map(({ rule, use }) => [rule.name, [use.permitted, use.denied, use.last ?? -1]] as const),
  );

test('what the kernel counted, in the order of the walk, and the default', () => {
  const gateway = fakeGateway(planOf(1, ['code', 'packages', 'model']));
  gateway.hits.hit(0, 'permitted', minute, 3n);
  gateway.hits.hit(2, 'denied', 2 * minute);
  gateway.hits.hit('default', 'denied', 3 * minute, 7n);
  assert.deepEqual(uses(gateway), { code: [3, 0, minute], packages: [0, 0, -1], model: [0, 1, 2 * minute] });
  const { default: last, revision, rules } = gateway.status.rules();
  assert.deepEqual([last.permitted, last.denied, last.last], [0, 7, 3 * minute]);
  assert.deepEqual(
    [revision, rules[1]],
    [
      1,
      {
        rule: { name: 'packages', ruleset: 'desk', tier: 'agent' },
        action: 'permit',
        mode: 'enforce',
        use: { permitted: 0, denied: 0, wouldPermit: 0, wouldDeny: 0 },
      },
    ],
  );
});

test('hits follow a rule to its new place', () => {
  const gateway = fakeGateway(planOf(1, ['code', 'packages', 'model']));
  gateway.hits.hit(0, 'permitted', minute, 3n);
  gateway.hits.hit(1, 'permitted', 2 * minute, 5n);
  gateway.status.renewed(planOf(2, ['new', 'packages', 'code']).plan);
  // Nothing of what the places counted before is the new rules'.
  assert.deepEqual(uses(gateway), { new: [0, 0, -1], packages: [5, 0, 2 * minute], code: [3, 0, minute] });
  gateway.hits.hit(0, 'permitted', 4 * minute);
  gateway.hits.hit(2, 'denied', 5 * minute, 2n);
  assert.deepEqual(uses(gateway), { new: [1, 0, 4 * minute], packages: [5, 0, 2 * minute], code: [3, 2, 5 * minute] });
});

test('a rule with an id keeps its hits under another name, one without loses them', () => {
  const gateway = fakeGateway(planOf(1, [{ name: 'code', id: 'r-1' }, 'model']));
  gateway.hits.hit(0, 'permitted', minute, 3n);
  gateway.hits.hit(1, 'permitted', minute, 4n);
  gateway.status.renewed(planOf(2, [{ name: 'source', id: 'r-1' }, 'models']).plan);
  assert.deepEqual(uses(gateway), { source: [3, 0, minute], models: [0, 0, -1] });
});

test('a rule that comes back has what it had', () => {
  const gateway = fakeGateway(planOf(1, ['code', 'model']));
  gateway.hits.hit(1, 'permitted', minute, 4n);
  gateway.status.renewed(planOf(2, ['code']).plan);
  gateway.hits.hit(1, 'permitted', 2 * minute, 9n);
  gateway.hits.hit('default', 'denied', 2 * minute);
  gateway.status.renewed(planOf(3, ['code', 'model']).plan);
  assert.deepEqual(uses(gateway), { code: [0, 0, -1], model: [4, 0, minute] });
  assert.equal(gateway.status.rules().default.denied, 1);
});

test('over any changes of the order, every hit is told once and under its rule', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
  let state = seed;
  const draw = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 16) % below;
  };
  let order = names;
  const gateway = fakeGateway(planOf(1, order));
  const told = new Map(names.map((name) => [name, 0]));
  for (let revision = 2; revision < 40; revision++) {
    for (let i = draw(20); i > 0; i--) {
      const place = draw(order.length);
      gateway.hits.hit(place, 'permitted', revision * minute);
      told.set(order[place]!, told.get(order[place]!)! + 1);
    }
    order = [...names].sort(() => draw(3) - 1).slice(draw(4));
    gateway.status.renewed(planOf(revision, order).plan);
  }
  gateway.status.renewed(planOf(99, names).plan);
  const found = gateway.status.rules().rules.map(({ rule, use }) => [rule.name, use.permitted]);
  assert.deepEqual(Object.fromEntries(found), Object.fromEntries(told), `COFFERDAM_SEED=${seed}`);
});

test('counts of a kernel that an earlier process began are not taken for this one’s', async () => {
  const { createRuleTotals, planKeys } = await import('../src/status-rules.ts');
  const { createRuleTally } = await import('@cofferdam/flows');
  const { hits } = fakeGateway(planOf(1, ['code']));
  hits.hit(0, 'permitted', minute, 100n);
  hits.hit('default', 'denied', minute, 50n);
  const totals = createRuleTotals({
    kernel: hits,
    keys: planKeys(planOf(1, ['code']).plan),
    own: createRuleTally(),
    wallTime: (boot) => Number(boot / 1_000_000n),
    standing: true,
  });
  hits.hit(0, 'permitted', 2 * minute);
  const { rules, default: last } = totals.uses();
  assert.deepEqual([rules[0]!.permitted, rules[0]!.last, last.denied, last.last], [1, 2 * minute, 0, undefined]);
});

test('`run --monitor`: what is enforced is shown as monitored', () => {
  const plan = planOf(1, ['code', { name: 'off', mode: 'disabled' }], ['coder'], true);
  const { rules } = fakeGateway(plan).status.rules();
  assert.deepEqual(
    rules.map(({ mode }) => mode),
    ['monitor', 'disabled'],
  );
});
