import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePolicy } from '../src/index.ts';

const head = (kind: string, name: string) =>
  `apiVersion: cofferdam.dev/v1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec:\n`;
const agents = `${head('SmartGroup', 'agents')}  any:\n    - agent: coder\n`;
const site = `${head('WebGroup', 'site')}  domains: [www.example.com]\n`;
const rulesOf = (name: string, meta: string, ...rules: string[]) =>
  `${head('Ruleset', name)}${meta}  rules:\n${rules.map((rule) => `    - ${rule}\n`).join('')}`;
const line = (name: string, more = '') =>
  `{ name: ${name}, action: permit, from: [agents], to: [public-internet], web: [site], protocol: tcp${more} }`;

const parse = (...texts: string[]) => parsePolicy(texts.map((text, index) => ({ file: `${index}.yaml`, text })));
const codes = (...texts: string[]) => parse(...texts).diagnostics.map(({ code }) => code);

test('documents of several files are one set', () => {
  const { policy, diagnostics } = parse(agents, `${site}---\n${rulesOf('coder', '', line('reach'))}`);
  assert.deepEqual(diagnostics, []);
  assert.deepEqual([...policy!.smartGroups.keys()], ['agents']);
  assert.equal(policy!.rulesets[0]!.rules[0]!.location.file, '1.yaml');
});

test('an absent key has its default', () => {
  const rule = parse(agents, site, rulesOf('coder', '', line('reach'))).policy!.rulesets[0]!.rules[0]!;
  const { mode, tls, decrypt, log, onDeny, ports, schedule, expires, ech } = rule;
  assert.deepEqual(
    { mode, tls, decrypt, log, onDeny },
    { mode: 'enforce', tls: 'either', decrypt: 'unspecified', log: 'both', onDeny: 'reject' },
  );
  assert.deepEqual([ports, schedule, expires, ech], [undefined, undefined, undefined, undefined]);
});

test('rulesets stand in the order of the walk: tier, priority, owner, name', () => {
  const set = (name: string, tier: string, priority: number, owner?: string) =>
    rulesOf(name, `  tier: ${tier}\n  priority: ${priority}\n`, line('reach', `, ports: [${priority}]`)).replace(
      '}\nspec',
      `${owner === undefined ? '' : `, owner: ${owner}`} }\nspec`.replace('} }', '}'),
    );
  const texts = [
    set('f', 'default', 1),
    set('e', 'agent', 2),
    set('d', 'agent', 1, 'zoe'),
    set('c', 'agent', 1, 'amy'),
    set('b', 'agent', 1),
    set('a', 'guardrail', 9),
  ];
  const { policy } = parse(agents, site, ...texts);
  assert.deepEqual(
    policy!.rulesets.map(({ name }) => name),
    ['a', 'b', 'c', 'd', 'e', 'f'],
  );
});

test('one error refuses the whole set, and warnings alone do not', () => {
  assert.equal(parse(agents, site, rulesOf('coder', '', line('reach'), line('Bad'))).policy, undefined);
  const { policy, diagnostics } = parse(agents, site, rulesOf('coder', '', line('reach'), line('again')));
  assert.ok(policy);
  assert.deepEqual(
    diagnostics.map(({ severity }) => severity),
    ['warning'],
  );
});

test('every problem is reported at once, in order of file and place', () => {
  const broken = rulesOf(
    'coder',
    '  tire: agent\n',
    line('reach', ', ports: [0x, 443]'),
    line('next', ', protocol: udp'),
  );
  const { diagnostics } = parse(site.replace('www.', '.'), agents.replace('agent: coder', 'agnet: coder'), broken);
  assert.deepEqual(
    diagnostics.map(({ file, code }) => `${file} ${code}`),
    [
      '0.yaml invalid-domain-pattern',
      '1.yaml unknown-key',
      '2.yaml unknown-key',
      '2.yaml invalid-port',
      '2.yaml duplicate-key',
    ],
  );
});

test('a diagnostic says where, in lines, columns and JSON path', () => {
  const [found] = parse(agents, site, rulesOf('coder', '', line('reach', ', ports: [443, https]'))).diagnostics;
  const { file, path, text, sourceLine, line: row, column, endLine, endColumn } = found!;
  assert.deepEqual(
    { file, path, text, row, endLine },
    { file: '2.yaml', path: '$.spec.rules[0].ports[1]', text: 'https', row: 6, endLine: 6 },
  );
  assert.equal(sourceLine.slice(column - 1, endColumn - 1), 'https');
});

test('a group that is broken elsewhere is not unknown too', () => {
  assert.deepEqual(codes(agents, site.replace('www.', '.'), rulesOf('coder', '', line('reach'))), [
    'invalid-domain-pattern',
  ]);
});

test('no group is called unknown where a file could not be read', () => {
  assert.deepEqual(
    codes(agents, 'kind: [\n', rulesOf('coder', '', line('reach'))).filter((code) => code === 'unknown-group'),
    [],
  );
});

test('JSON is read too', () => {
  const json = JSON.stringify({
    apiVersion: 'cofferdam.dev/v1',
    kind: 'WebGroup',
    metadata: { name: 'site' },
    spec: { domains: ['*.example.com'] },
  });
  assert.ok(parse(json).policy);
});

for (const [written, from, until] of [
  ['from: "07:00", until: "19:00"', 420, 1140],
  ['from: 22:00, until: 05:00', 1320, 300],
  ['from: "00:00", until: "24:00"', 0, 1440],
  ['from: "09:00", until: "00:00"', 540, 1440],
] as const) {
  test(`schedule ${written}`, () => {
    const rule = line('reach', `, schedule: { timezone: Europe/London, ${written} }`);
    const { schedule } = parse(agents, site, rulesOf('coder', '', rule)).policy!.rulesets[0]!.rules[0]!;
    assert.deepEqual([schedule!.fromMinute, schedule!.untilMinute, schedule!.days.length], [from, until, 7]);
  });
}

for (const [written, at] of [
  ['2027-01-31T00:00:00Z', '2027-01-31T00:00:00.000Z'],
  ['2027-01-31T00:00+05:30', '2027-01-30T18:30:00.000Z'],
  ['2028-02-29T12:00:00.5-08:00', '2028-02-29T20:00:00.500Z'],
] as const) {
  test(`instant ${written}`, () => {
    const { policy } = parse(agents, site, rulesOf('coder', '', line('reach', `, expires: "${written}"`)));
    assert.equal(new Date(policy!.rulesets[0]!.rules[0]!.expires!).toISOString(), at);
  });
}

test('without `now` nothing is said of expiry', () => {
  assert.deepEqual(codes(agents, site, rulesOf('coder', '', line('reach', ', expires: 2001-01-01T00:00:00Z'))), []);
});

test('keys of objects and prototypes are keys like others', () => {
  const labels = `${head('SmartGroup', 'agents')}  any:\n    - labels: { __proto__: x, constructor: y }\n`;
  const [selector] = parse(labels).policy!.smartGroups.get('agents')!.any;
  assert.ok(selector?.kind === 'workload' && Object.hasOwn(selector.labels!, '__proto__'));
  assert.deepEqual(
    codes(`${head('SmartGroup', 'agents')}  any:\n    - { agent: coder, constructor: y, toString: z }\n`),
    ['unknown-key', 'unknown-key'],
  );
});

test('a set larger than the limit is refused', () => {
  const { diagnostics } = parsePolicy(
    [
      { file: 'a', text: agents },
      { file: 'b', text: site },
    ],
    { limits: { setLength: 150 } },
  );
  assert.deepEqual(
    diagnostics.map(({ file, code }) => [file, code]),
    [['b', 'file-too-large']],
  );
});
