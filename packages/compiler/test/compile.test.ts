import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, loadPlan } from '@cofferdam/plan';
import type { PolicySet, Rule } from '@cofferdam/policy';
import {
  address,
  arbitraryScenarios,
  coder,
  deny,
  permit,
  policyOf,
  type RuleWords,
  smartGroup,
  tcp,
  udp,
  workload,
} from '@cofferdam/testkit';
import type { Decision } from '@cofferdam/verdict';
import * as fc from 'fast-check';
import { compiled, findings } from './sample.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);

const reversed = <K, V>(map: ReadonlyMap<K, V>): Map<K, V> => new Map([...map].reverse());

test('the same input gives the same bytes, whatever the order of its groups', () => {
  fc.assert(
    fc.property(arbitraryScenarios({ flows: 1 }), ({ policy, context }) => {
      const once = JSON.stringify(compiled(policy, context).plan);
      assert.equal(JSON.stringify(compiled(policy, context).plan), once);
      const turned = { ...policy, smartGroups: reversed(policy.smartGroups), webGroups: reversed(policy.webGroups) };
      assert.equal(JSON.stringify(compiled(turned, context).plan), once);
    }),
    { seed, numRuns: 200 },
  );
});

test('no class is there twice, and no prefix says what the one around it says', () => {
  fc.assert(
    fc.property(arbitraryScenarios({ flows: 1 }), ({ policy, context }) => {
      const { plan } = compiled(policy, context);
      for (const classes of [plan.agentClasses, plan.portClasses]) {
        assert.equal(new Set(classes.map((one) => JSON.stringify(one))).size, classes.length);
      }
      assert.equal(new Set(plan.destinations.map(({ prefix }) => prefix)).size, plan.destinations.length);
      for (const ranges of [plan.ports.tcp, plan.ports.udp]) {
        for (const [i, range] of ranges.entries()) assert.notEqual(range.class, ranges[i - 1]?.class);
      }
    }),
    { seed, numRuns: 100 },
  );
});

/** Disabled rules in front of each rule, so that rules stand in other words of the bitmaps. */
const padding = 45;
const padded = (policy: PolicySet): PolicySet => ({
  ...policy,
  rulesets: policy.rulesets.map((ruleset) => ({
    ...ruleset,
    rules: ruleset.rules.flatMap((rule) => [
      ...Array.from({ length: padding }, (): Rule => ({ ...rule, mode: 'disabled' })),
      rule,
    ]),
  })),
});

const withoutPadding = (decision: Decision): Decision =>
  decision.rule === 'default' ? decision : { ...decision, rule: (decision.rule - padding) / (padding + 1) };

test('disabled rules move the others and change nothing else', () => {
  fc.assert(
    fc.property(arbitraryScenarios({ flows: 10 }), ({ policy, context, at, flows }) => {
      const plain = loadPlan(compiled(policy, { ...context, at }).plan);
      const moved = loadPlan(compiled(padded(policy), { ...context, at }).plan);
      for (const facts of flows.flat()) assert.deepEqual(withoutPadding(decide(moved, facts)), decide(plain, facts));
    }),
    { seed, numRuns: 500 },
  );
});

test('the hash follows the content', () => {
  const policy = policyOf([permit()]);
  const { hash } = compiled(policy).plan;
  assert.match(hash, /^[0-9a-f]{64}$/);
  assert.notEqual(compiled(policy, { revision: 2 }).plan.hash, hash);
  assert.notEqual(compiled(policyOf([deny()])).plan.hash, hash);
});

test('ranges inside a rule may overlap and touch', () => {
  const plan = loadPlan(compiled(policyOf([permit({ ports: ['10-20', '15-30', '31-40', '12'] })])).plan);
  const open = [9, 10, 12, 15, 20, 21, 30, 31, 40, 41].filter((port) => {
    const decision = decide(plan, tcp(`93.184.216.34 port ${port}`));
    return decision.kind === 'decided' && decision.verdict === 'permit';
  });
  assert.deepEqual(open, [10, 12, 15, 20, 21, 30, 31, 40]);
});

test('UDP port 443 is permitted only by a rule that asks for it', () => {
  const rows: readonly [Pick<RuleWords, 'protocol' | 'web'>, readonly string[] | undefined, boolean][] = [
    [{ protocol: 'udp' }, ['443'], true],
    [{ protocol: 'udp' }, ['53', '443'], true],
    [{ protocol: 'udp' }, ['443-444', '443'], true],
    [{ protocol: 'udp' }, ['443-444'], false],
    [{ protocol: 'udp' }, undefined, false],
    [{ protocol: 'any' }, ['443'], false],
    [{ protocol: 'udp', web: ['any-web'] }, ['443'], false],
  ];
  for (const [words, ports, permitted] of rows) {
    const policy = policyOf([permit({ ...words, ...(ports === undefined ? {} : { ports }) })]);
    const decision = decide(loadPlan(compiled(policy).plan), udp('93.184.216.34 port 443', { named: 'a.example' }));
    assert.ok(decision.kind === 'decided');
    assert.deepEqual([decision.verdict, decision.reason], permitted ? ['permit', 'rule'] : ['deny', 'quic']);
  }
});

test('findings', () => {
  const second = workload('second', ['10.11.1.7'], { interface: 'eth1' });
  const elsewhere = workload('elsewhere', ['10.11.1.7'], { interface: 'eth2' });
  const policy = policyOf(
    [
      permit({ from: ['nobody'], to: ['nothing'] }),
      permit({ from: ['coders'], to: ['fed'] }),
      permit({ to: ['named'] }),
      permit({ to: ['missing'] }),
    ],
    {
      inventory: [coder, second, elsewhere],
      smart: [
        smartGroup('nobody', ['agent:nobody']),
        smartGroup('nothing', ['label:team=none']),
        smartGroup('coders', ['agent:coder']),
        smartGroup('fed', ['feed:threats']),
        smartGroup('named', ['host:db.example']),
      ],
    },
  );
  assert.deepEqual(findings(compiled(policy)), [
    'warning group-empty: the group `nothing` holds nothing, so rules to it match nothing',
    'warning feed-not-loaded: the feed `threats` of the group `fed` is not loaded, so it holds no address',
    'warning group-empty: the group `fed` holds nothing, so rules to it match nothing',
    'error group-unknown: no group is called `missing`, so rules match nothing by it',
    'warning agent-shadowed: `second` and `coder` have the same address `10.11.1.7` on one interface; it counts as `coder`',
    'warning group-no-agents: no workload of the inventory is in the group `nobody`, so rules from it match nothing',
  ]);
});

test('a workload without interface has its address on all of them, after those that come before it', () => {
  const roaming = workload('roaming', ['10.11.1.7']);
  const holders = (inventory: readonly (typeof coder)[]): string[] =>
    compiled(policyOf([], { inventory })).plan.agents.map(({ addresses }) =>
      addresses.map((one) => one.address).join(),
    );
  assert.deepEqual(holders([coder, roaming]), ['10.11.1.7,fd11::7', '10.11.1.7']);
  assert.deepEqual(holders([roaming, coder]), ['10.11.1.7', 'fd11::7']);
});

test('an address of the gateway is closed to wide prefixes and open to its own', () => {
  const smart = [smartGroup('wide', ['cidr:10.11.1.0/24']), smartGroup('exact', ['cidr:10.11.1.1/32'])];
  const reason = (to: string, destination: string): string => {
    const policy = policyOf([permit({ to: [to] })], { smart });
    const decision = decide(
      loadPlan(compiled(policy, { gatewayAddresses: [address('10.11.1.1')] }).plan),
      tcp(destination),
    );
    return decision.kind === 'decided' ? decision.reason : decision.kind;
  };
  assert.equal(reason('wide', '10.11.1.1 port 22'), 'gateway-port');
  assert.equal(reason('wide', '10.11.1.2 port 22'), 'rule');
  assert.equal(reason('exact', '10.11.1.1 port 22'), 'rule');
  assert.equal(reason('wide', '::ffff:10.11.1.1 port 22'), 'gateway-port');
});
