import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cofferdam, workDirectory } from './cofferdam.ts';
import { assertGolden } from './golden.ts';
import { flowLine, morning } from './records.ts';

const directory = workDirectory();
const file = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};

/** Monitored as a whole, but for what it always permitted. */
const policy = file(
  'policy.yaml',
  `apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: desk-agents }
spec: { containment: monitor, any: [{ agent: desk-agent }, { labels: { team: desk } }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: code }
spec: { domains: [github.com] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: gists }
spec: { domains: [gist.github.com] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: desk }
spec:
  rules:
    - { name: code, action: permit, from: [desk-agents], to: [public-internet], web: [code], protocol: tcp, ports: [443], tls: required }
    - { name: gists, id: r-gists, mode: monitor, action: deny, from: [desk-agents], to: [public-internet], web: [gists], protocol: tcp }
    - { name: later, mode: monitor, action: deny, from: [desk-agents], to: [public-internet], protocol: tcp, ports: [2222], schedule: { timezone: UTC, from: "09:30", until: "10:00" } }
`,
);

/** A connection that spoke TLS and asked for the name of its address. */
const tls = (line: string): string => {
  const record = JSON.parse(line);
  return JSON.stringify({ ...record, tls: true, claimedName: record.addressNames[0] });
};
const labelled = (line: string): string => {
  const record = JSON.parse(line);
  return JSON.stringify({ ...record, agent: { name: 'temp', labels: { team: 'desk' } } });
};

const lines = [
  tls(flowLine({ id: '1', at: 0, name: 'github.com', rule: 'code' })),
  tls(flowLine({ id: '1', at: 0, end: 1, name: 'github.com', rule: 'code' })),
  tls(flowLine({ id: '2', at: 2, end: 2, name: 'gist.github.com' })),
  tls(flowLine({ id: '3', at: 3, end: 3, name: 'gist.github.com' })),
  flowLine({ id: '4', at: 4, end: 4, port: 2222 }),
  flowLine({ id: '5', at: 31, end: 31, port: 2222 }),
  labelled(flowLine({ id: '6', at: 32, end: 33, address: '10.0.0.7', port: 22 })),
  flowLine({ id: '7', at: 34, end: 34, agent: 'lamp-agent', address: '10.0.0.7', port: 22 }),
  flowLine({ id: '8', at: 35, end: 35, name: 'github.com', deny: 'flow-quota' }),
];
const log = file('flows.jsonl', `${lines.join('\n')}\n`);

const replay = (...args: readonly string[]) => cofferdam(['replay', '--policy', policy, ...args, log]);
const counts = (...args: readonly string[]): unknown => JSON.parse(replay('--json', ...args).out).counts;

test('as the policy is: what monitoring lifts passes still, and an agent that no group holds does not', () => {
  const { code, out, err } = replay();
  assert.deepEqual([code, err], [0, '']);
  assertGolden('replay.txt', out);
});

test('one rule is promoted', () => {
  assertGolden('replay-promoted.txt', replay('--promote', 'gists').out);
  for (const name of ['r-gists', 'desk/gists'])
    assert.deepEqual(counts('--promote', name), counts('--promote', 'gists'));
});

test('each record is judged at its own time: a schedule counts from its first minute', () => {
  const rows: readonly { readonly destination: string; readonly count: number; readonly change: string }[] = JSON.parse(
    replay('--json', '--promote', 'later').out,
  ).changes;
  const meant = rows.filter(({ destination }) => destination === '140.82.121.4:2222');
  assert.deepEqual(
    meant.map(({ change, count }) => [change, count]),
    [['newly-denied', 1]],
  );
});

test('everything is promoted, for programs', () => {
  const result = JSON.parse(replay('--json', '--promote-all').out);
  assert.deepEqual(result.promoted, ['desk/gists', 'desk/later', 'containment of desk-agents']);
  assert.deepEqual(result.records, { flows: 8, requests: 0, queries: 0, suppressed: 0 });
  assert.equal(result.from, new Date(morning).toISOString());
  // Two gists, two connections by address, one of the agent known by its label, one of an agent that no group holds.
  assert.deepEqual(result.counts, { same: 1, 'newly-denied': 6, 'newly-permitted': 0, unknown: 1 });
  assert.deepEqual(
    result.rules.map(({ rule, denied }: { rule: { name: string } | 'default'; denied: number }) => [
      rule === 'default' ? rule : rule.name,
      denied,
    ]),
    [
      ['code', 0],
      ['gists', 2],
      ['later', 1],
      ['default', 3],
    ],
  );
  const [first] = result.changes;
  assert.equal(first.example.kind, 'flow');
});

test('containment of a group is promoted by itself', () => {
  const { promoted } = JSON.parse(replay('--json', '--promote-containment', 'desk-agents').out);
  assert.deepEqual(promoted, ['containment of desk-agents']);
});

for (const [args, message] of [
  [['--promote', 'gist'], /no rule `gist`\nhelp: did you mean `gists`/],
  [['--promote', 'code'], /`code` is enforced already/],
  [['--promote-containment', 'desk'], /no SmartGroup `desk`\nhelp: did you mean `desk-agents`/],
  [['--top', '0'], /`--top` does not take `0`/],
] as const)
  test(`\`replay ${args.join(' ')}\` is refused, with what would be accepted`, () => {
    const { code, out, err } = replay(...args);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, message);
  });

test('logs of several runs, whose agents have one address, and from standard input', () => {
  const both = cofferdam(['replay', '-p', policy, '--json', '-', log], { input: `${lines[6]}\n${lines[7]}\n` });
  assert.equal(JSON.parse(both.out).records.flows, 10);
  assert.equal(JSON.parse(both.out).counts.unknown, 1);
});

test('what is no log is said', () => {
  const missing = cofferdam(['replay', '-p', policy, join(directory, 'missing')]);
  assert.equal(missing.code, 1);
  assert.match(missing.err, /cannot be read: there is no such file/);
  const other = cofferdam(['replay', '-p', policy, policy]);
  assert.equal(other.code, 1);
  assert.match(other.err, /there is no flow record in it/);
  const none = cofferdam(['replay', log]);
  assert.equal(none.code, 2);
  assert.match(none.err, /no policy is named/);
});
