import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { readPrometheus, sampleOf } from '@cofferdam/testkit';
import { mostAgentSeries, mostRuleSeries } from '../src/metrics.ts';
import { metricsText } from '../src/metrics-text.ts';
import { fakeGateway, planOf, use } from './status-fakes.ts';

test('what a gateway tells is read by a strict reader', () => {
  const gateway = fakeGateway(planOf(7, ['code', 'model'], ['coder', 'reader']), new Map([['reader', 2]]));
  gateway.hits.hit(0, 'permitted', 1000, 41n);
  gateway.hits.hit('default', 'denied', 1000, 2n);
  gateway.uses = [
    use('10.0.0.1', 3, { hellos: 1 }),
    use('10.0.0.2', 4, { untold: 9n }),
    use(undefined, 0, { untold: 2n }),
  ];
  const families = readPrometheus(gateway.status.metrics());
  for (const name of families.keys()) assert.match(name, /^cofferdam_/);
  const value = (name: string, labels = {}) => sampleOf(families, `cofferdam_${name}`, labels);
  assert.equal(value('plan_revision'), 7);
  assert.equal(value('start_time_seconds'), 1_800_000_000);
  const code = { ruleset: 'desk', rule: 'code' };
  assert.equal(value('rule_hits_total', { ...code, outcome: 'permitted' }), 41);
  assert.equal(value('rule_hits_total', { ...code, outcome: 'would-deny' }), 0);
  assert.equal(value('rule_hits_total', { ruleset: '', rule: 'default', outcome: 'denied' }), 2);
  assert.equal(value('dropped_packets_total', { reason: 'no-rule' }), 3);
  assert.equal(value('table_entries', { table: 'flows' }), 7);
  assert.equal(value('table_capacity', { table: 'flows' }), 65_536);
  assert.equal(value('agent_flows', { agent: 'reader' }), 4);
  assert.equal(value('agent_proxied', { agent: 'reader' }), 2);
  assert.equal(value('agent_hellos', { agent: 'coder' }), 1);
  assert.equal(value('agent_untold_denials_total', { agent: '(unknown)' }), 2);
  assert.equal(value('agent_quota', { of: 'flows' }), 4096);
  assert.equal(value('events_lost_total'), 5);
  assert.equal(value('fast_path_packets_total'), 900);
  assert.ok(value('process_resident_memory_bytes')! > 1_000_000);
});

test('where agents are told real addresses, how many they have is a table', () => {
  const told = (tracked?: number) =>
    readPrometheus(fakeGateway(planOf(1, ['code']), new Map(), tracked).status.metrics());
  const entries = (families: ReturnType<typeof told>) =>
    sampleOf(families, 'cofferdam_table_entries', { table: 'tracked' });
  assert.deepEqual([entries(told(321)), entries(told())], [321, undefined]);
  assert.equal(sampleOf(told(), 'cofferdam_gateway_info', { gateway: 'g', dns_mode: 'synthetic' }), 1);
});

describe('labels have an end', () => {
  const most = mostAgentSeries + 50;
  const names = Array.from({ length: most }, (_, i) => `agent-${i}`);
  const everybody = names.map((_, i) => use(`10.0.${(i + 1) >> 8}.${(i + 1) & 255}`, 1));

  test('agents beyond a number are one', () => {
    const gateway = fakeGateway(planOf(1, ['code'], names));
    gateway.uses = everybody;
    const flows = readPrometheus(gateway.status.metrics()).get('cofferdam_agent_flows')!.samples;
    assert.equal(flows.length, mostAgentSeries);
    const others = flows.find(({ labels }) => labels.agent === '(other)');
    // `(unknown)` has a place of its own, though nobody is.
    assert.equal(others?.value, most - (mostAgentSeries - 1));
    assert.equal(
      flows.reduce((sum, { value }) => sum + value, 0),
      most,
    );
  });

  test('a series stays an agent’s own, however busy others become, until it is gone', () => {
    const gateway = fakeGateway(planOf(1, ['code'], names));
    gateway.uses = everybody;
    const named = (): readonly string[] =>
      readPrometheus(gateway.status.metrics())
        .get('cofferdam_agent_flows')!
        .samples.map(({ labels }) => labels.agent!)
        .sort();
    const before = named();
    gateway.uses = everybody.map((one, i) => ({ ...one, flows: i * 100 }));
    gateway.status.renewed(planOf(2, ['code'], [...names].reverse()).plan);
    assert.deepEqual(named(), before);
    gateway.status.renewed(planOf(3, ['code'], names.slice(10)).plan);
    gateway.uses = everybody.slice(10);
    assert.ok(!named().includes('agent-3'));
    assert.ok(named().includes(`agent-${mostAgentSeries + 8}`));
  });

  test('rules beyond a number are one', () => {
    const gateway = fakeGateway(
      planOf(
        1,
        Array.from({ length: mostRuleSeries + 2 }, (_, i) => `rule-${i}`),
      ),
    );
    gateway.hits.hit(0, 'permitted', 1, 2n);
    gateway.hits.hit(mostRuleSeries, 'permitted', 1, 5n);
    gateway.hits.hit(mostRuleSeries + 1, 'permitted', 1, 6n);
    const families = readPrometheus(gateway.status.metrics());
    const permitted = (rule: string, ruleset = 'desk') =>
      sampleOf(families, 'cofferdam_rule_hits_total', { ruleset, rule, outcome: 'permitted' });
    assert.deepEqual([permitted('rule-0'), permitted('(other)', '(other)')], [2, 11]);
    assert.equal(families.get('cofferdam_rule_hits_total')!.samples.length, 4 * (mostRuleSeries + 2));
  });
});

test('what would break a line is escaped', () => {
  const hostile = 'a"b\\c\nd} 1\n# TYPE x counter';
  const family = {
    name: 'x_total',
    type: 'counter',
    help: 'one\\two\nthree',
    samples: [{ labels: { a: hostile }, value: 1 }],
  } as const;
  const families = readPrometheus(metricsText([family]));
  assert.deepEqual(families.get('x_total'), {
    type: 'counter',
    help: 'one\\\\two\\nthree',
    samples: [{ labels: { a: hostile }, value: 1 }],
  });
});

describe('the strict reader refuses', () => {
  const ok = '# HELP a_total h\n# TYPE a_total counter\na_total{x="1"} 2\n';
  test('nothing of what is right', () => assert.equal(readPrometheus(ok).size, 1));
  for (const [what, text] of [
    ['a last line without end', ok.slice(0, -1)],
    ['a sample twice', `${ok}a_total{x="1"} 3\n`],
    ['a quote that is not escaped', ok.replace('"1"', '"1"2"')],
    ['an escape there is not', ok.replace('"1"', '"\\t"')],
    ['a counter below 0', ok.replace(' 2', ' -2')],
    ['a counter without _total', ok.replaceAll('a_total', 'a')],
    ['a family twice', `${ok}${ok.replace('"1"', '"2"')}`],
    ['a type without help', ok.replace(/^.*\n/, '')],
    ['a sample of another family', `${ok}b_total 1\n`],
    ['no number', ok.replace(' 2', ' two')],
    ['an empty line', `${ok}\n`],
  ] as const)
    test(what, () => assert.throws(() => readPrometheus(text)));
});

test('the documentation lists every metric, and no other', () => {
  const gateway = fakeGateway(planOf(1, ['code']), new Map([['coder', 1]]));
  const text = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `(cofferdam_\w+)` \| (\w+) \| .* \| (.*) \|$/gm)];
  const listed = new Map(rows.map(([, name, type, help]) => [name!, `${type} ${help}`]));
  // Nothing was recorded, suppressed or asked yet: those families have no sample.
  const unseen = ['records', 'suppressed_records', 'proxy_decisions', 'dns_queries'].map(
    (name) => `cofferdam_${name}_total`,
  );
  const told = new Map(
    [...readPrometheus(gateway.status.metrics())].map(([name, { type, help }]) => [name, `${type} ${help}`]),
  );
  assert.deepEqual([...listed.keys()].sort(), [...told.keys(), ...unseen].sort());
  for (const [name, said] of told) assert.equal(listed.get(name), said);
});
