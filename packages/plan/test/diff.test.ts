import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffPlans } from '@cofferdam/plan';
import type { Rule, SmartGroup, WebGroup, Workload } from '@cofferdam/policy';
import { coder, deny, permit, policyOf, smartGroup, webGroup, workload } from '@cofferdam/testkit';
import { loaded } from './sample.ts';

const office = smartGroup('office', ['cidr:192.0.2.0/24']);
const coders = smartGroup('coders', ['label:team=platform']);
const github = webGroup('github', ['api.github.com']);

const plan = (rules: readonly Rule[], more: { smart?: SmartGroup[]; web?: WebGroup[]; inventory?: Workload[] } = {}) =>
  loaded(policyOf(rules, { smart: [office, coders], web: [github], inventory: [coder], ...more }));

const a = permit({ name: 'a', to: ['office'] });
const b = permit({ name: 'b', from: ['coders'], web: ['github'] });
const c = deny({ name: 'c' });
const d = deny({ name: 'd' });
const before = plan([a, b, c]);

const changesTo = (after: ReturnType<typeof plan>): Record<string, readonly string[]> =>
  Object.fromEntries(diffPlans(before, after).changed.map((change) => [change.after.rule.name, change.fields]));

test('equal plans do not differ', () => {
  assert.deepEqual(diffPlans(before, plan([a, b, c])), {
    added: [],
    removed: [],
    changed: [],
    agentsAdded: [],
    agentsRemoved: [],
  });
});

test('rules come and go without changing the others', () => {
  const { added, removed, changed } = diffPlans(before, plan([d, a, b]));
  assert.deepEqual(
    added.map(({ index, rule }) => [index, rule.name]),
    [[0, 'd']],
  );
  assert.deepEqual(
    removed.map(({ index, rule }) => [index, rule.name]),
    [[2, 'c']],
  );
  assert.deepEqual(changed, []);
});

test('a new prefix in another rule does not change this one', () => {
  const inner = smartGroup('inner', ['cidr:192.0.2.64/26']);
  const after = plan([a, b, c, deny({ name: 'd', to: ['inner'] })], { smart: [office, coders, inner] });
  assert.deepEqual(changesTo(after), {});
});

test('a changed rule says in what', () => {
  assert.deepEqual(changesTo(plan([permit({ name: 'a', to: ['office'], ports: ['443'], mode: 'monitor' }), b, c])), {
    a: ['mode', 'ports'],
  });
});

test('groups that hold others now change the rules that name them', () => {
  const smart = [smartGroup('office', ['cidr:192.0.2.0/25']), coders];
  assert.deepEqual(changesTo(plan([a, b, c], { smart })), { a: ['destinations'] });
  assert.deepEqual(changesTo(plan([a, b, c], { web: [webGroup('github', ['github.com'])] })), { b: ['web'] });
  const second = workload('second', ['10.11.1.8'], { labels: { team: 'platform' } });
  const after = plan([a, b, c], { inventory: [coder, second] });
  assert.deepEqual(diffPlans(before, after).agentsAdded, ['second']);
  assert.deepEqual(changesTo(after), { a: ['agents'], b: ['agents'], c: ['agents'] });
});

test('a rule that moved is the one that moved', () => {
  assert.deepEqual(changesTo(plan([c, a, b])), { c: ['order'] });
});

test('an id survives renaming', () => {
  const old = plan([permit({ id: 'x', name: 'old' })]);
  const { added, removed, changed } = diffPlans(old, plan([permit({ id: 'x', name: 'new' })]));
  assert.deepEqual([added, removed], [[], []]);
  assert.deepEqual(
    changed.map(({ fields }) => fields),
    [['name']],
  );
});
