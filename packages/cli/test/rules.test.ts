import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { encodeRulesReport, noUse, type ReportedRule, type RulesReport } from '@cofferdam/flows';
import { gatewayRun } from '../src/rules/live-gateways.ts';
import { startTicksOf } from '../src/run-directory.ts';
import { cofferdam, program, type Ran, workDirectory } from './cofferdam.ts';
import { assertGolden } from './golden.ts';
import { flowLine, morningLog } from './records.ts';

const directory = workDirectory();
const write = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};

const at = Date.UTC(2027, 0, 27, 12);
const rule = (
  name: string,
  over: Partial<ReportedRule> = {},
  use: Partial<ReportedRule['use']> = {},
): ReportedRule => ({
  rule: { name, ruleset: 'desk', tier: 'agent' },
  action: 'permit',
  mode: 'enforce',
  ...over,
  use: { ...noUse, ...use },
});
const report: RulesReport = {
  gateway: 'aaaa',
  revision: 4,
  since: at - 26 * 3_600_000,
  at,
  rules: [
    {
      ...rule('no-metadata', { action: 'deny' }, { denied: 3, last: at - 400 }),
      rule: { name: 'no-metadata', ruleset: 'base', tier: 'guardrail' },
    },
    rule('code', {}, { permitted: 12, denied: 1, last: at - 59_000 }),
    rule('packages'),
    rule('search', { mode: 'monitor' }, { wouldPermit: 40, wouldDeny: 2, last: at - 3 * 60_000 }),
    rule('old', { mode: 'disabled' }),
  ],
  default: { ...noUse, permitted: 2, denied: 9, wouldDeny: 2, last: at - 50 * 3_600_000 },
};

const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

/** As a live run or gateway of `runs` answers. */
const answering = async (socket: string, text: string, code = 200): Promise<void> => {
  mkdirSync(join(socket, '..'), { recursive: true });
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/v1/rules' ? code : 404);
    response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  servers.push(server);
};

/** This process is the run: it lives. */
const liveRun = async (runs: string, run: string, text = encodeRulesReport(report), agent = 'a'): Promise<void> => {
  await answering(join(runs, run, 'status.sock'), text);
  const pid = process.pid;
  const description = { run, pid, startTicks: startTicksOf(pid), agent, command: ['x'], started: 0 };
  writeFileSync(join(runs, run, 'run.json'), JSON.stringify(description));
};

/** The answering server is in this process, so that nobody may wait in it. */
const live = (...args: readonly string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [program, 'rules', ...args], { encoding: 'utf8' }, (_error, out, err) =>
      resolve({ code: child.exitCode, out, err }),
    );
  });

describe('of what is live', () => {
  const runs = join(directory, 'state', 'runs');
  test('the table: the order of the walk, what was never used, the default', async () => {
    await liveRun(runs, 'aaaa');
    const { code, out, err } = await live('--runs', runs);
    assert.deepEqual([code, err], [0, '']);
    assertGolden('rules-live.txt', out);
  });

  test('JSON', async () => {
    const { out } = await live('--runs', runs, '--run', 'aaaa', '--json');
    const { rules, default: last, ...head } = JSON.parse(out);
    assert.deepEqual(head, {
      gateway: 'aaaa',
      revision: 4,
      since: '2027-01-26T10:00:00.000Z',
      at: '2027-01-27T12:00:00.000Z',
    });
    assert.deepEqual(rules[1], {
      name: 'code',
      ruleset: 'desk',
      tier: 'agent',
      action: 'permit',
      mode: 'enforce',
      permitted: 12,
      denied: 1,
      wouldPermit: 0,
      wouldDeny: 0,
      last: '2027-01-27T11:59:01.000Z',
    });
    assert.equal(last.denied, 9);
  });

  test('beside a policy: what is not in force, and what is not in the policy', async () => {
    const policy = write(
      'rules-policy.yaml',
      `apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: a }] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: desk }
spec:
  rules:
    - { name: packages, action: permit, from: [agents], to: [private-networks], protocol: tcp, ports: [1] }
    - { name: brand-new, action: permit, from: [agents], to: [private-networks], protocol: tcp, ports: [2] }
    - { name: code, action: permit, from: [agents], to: [private-networks], protocol: tcp, ports: [3] }
`,
    );
    const { code, out } = await live('--runs', runs, '--policy', policy);
    assert.equal(code, 0);
    assertGolden('rules-beside-policy.txt', out);
  });

  test('several: say which', async () => {
    await liveRun(runs, gatewayRun('main'), encodeRulesReport({ ...report, rules: [] }), 'main');
    const { code, err } = await live('--runs', runs);
    assert.equal(code, 1);
    assert.match(err, /2 runs and gateways are live\nhelp: say which: `--gateway main` or `--run aaaa`\n/);
    assert.match(
      (await live('--runs', runs, '--gateway', 'main')).out,
      /^TIER .*\n +default .*\ngateway main, revision 4/,
    );
  });

  test('what ended, what answers nonsense, what is no name: an error, and no table', async () => {
    const gone = await live('--runs', runs, '--run', 'bbbb');
    assert.deepEqual([gone.code, gone.out], [1, '']);
    assert.match(gone.err, /^cofferdam: run bbbb cannot be asked: there is nobody who answers\nhelp: /);
    await liveRun(runs, 'cccc', '{"rules":[{}]}');
    assert.match((await live('--runs', runs, '--run', 'cccc')).err, /the gateway's answer is not understood: /);
    await answering(join(runs, 'dddd', 'status.sock'), 'no', 500);
    assert.match((await live('--runs', runs, '--run', 'dddd')).err, /the gateway answered 500/);
    assert.match((await live('--runs', runs, '--run', '../../x')).err, /there is no run \.\.\/\.\.\/x/);
    const none = await live('--runs', join(directory, 'nothing', 'here'));
    assert.match(none.err, /no run or gateway is live/);
  });

  test('what belongs to another user', {
    skip: process.getuid?.() !== 0 && 'only root can ask as somebody else',
  }, async (t) => {
    const socket = join(directory, 'theirs', 'runs', 'eeee', 'status.sock');
    await answering(socket, '{}');
    chmodSync(directory, 0o711);
    chmodSync(socket, 0o600);
    const asNobody = await new Promise<Ran>((resolve) => {
      const args = [program, 'rules', '--runs', join(directory, 'theirs', 'runs'), '--run', 'eeee'];
      const child = execFile(process.execPath, args, { uid: 65_534, gid: 65_534, encoding: 'utf8' }, (_e, out, err) =>
        resolve({ code: child.exitCode, out, err }),
      );
    });
    if (asNobody.code === null || asNobody.err.includes('Cannot find module'))
      return t.skip('nobody may not read this checkout');
    assert.match(asNobody.err, /run eeee cannot be asked: it belongs to another user\nhelp: use sudo\n/);
  });
});

test('the run of a gateway is the one that the gateway takes', async (t) => {
  const gateway = await import('@cofferdam/gateway').catch(() => undefined);
  if (gateway === undefined) return t.skip('the libraries of the gateway are not here');
  for (const name of ['gateway', 'main', 'a-b-9']) assert.equal(gatewayRun(name), gateway.gatewayId(name));
});

describe('of a log', () => {
  const would = JSON.stringify({
    ...JSON.parse(flowLine({ id: '7', at: 6, end: 7, name: 'new.example', rule: 'code' })),
    wouldBe: {
      verdict: 'deny',
      rule: { index: 3, name: 'strict', ruleset: 'desk', tier: 'guardrail' },
      reason: 'rule-denies',
    },
  });
  const suppressed = JSON.stringify({
    version: 1,
    kind: 'suppressed',
    id: '9',
    gateway: 'g',
    start: '2020-01-30T09:05:00.000Z',
    end: '2020-01-30T09:06:00.000Z',
    agent: { name: 'desk-agent', labels: {} },
    verdict: 'deny',
    reason: 'no-rule',
    enforced: true,
    revision: 1,
    count: 1000,
  });
  const log = write('rules.jsonl', `${[...morningLog, would, suppressed].join('\n')}\n`);

  test('counts each flow as it ended; times are said', () => {
    const { code, out, err } = cofferdam(['rules', '--log', log]);
    assert.equal(code, 0);
    assert.match(err, /^cofferdam: 1000 denials came too fast to be written one by one: of which rule is not known\n$/);
    assertGolden('rules-log.txt', out.replace(directory, 'DIRECTORY'));
  });

  test('with the rules that are not in it', () => {
    const policy = write(
      'desk.yaml',
      `apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: a }] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: desk }
spec:
  rules:
    - { name: api, action: permit, from: [agents], to: [private-networks], protocol: tcp, ports: [1] }
    - { name: unused, action: permit, from: [agents], to: [private-networks], protocol: tcp, ports: [2] }
    - { name: code, action: permit, from: [agents], to: [private-networks], protocol: tcp, ports: [3] }
`,
    );
    const { out } = cofferdam(['rules', '--log', log, '--policy', policy]);
    assertGolden('rules-log-policy.txt', out.replace(directory, 'DIRECTORY'));
    const { rules } = JSON.parse(cofferdam(['rules', '--log', log, '--policy', policy, '--json']).out);
    assert.deepEqual(
      rules.map((one: Record<string, unknown>) => [one.name, one.permitted, one.wouldDeny, one.remark]),
      [
        ['api', 1, 0, undefined],
        ['unused', 0, 0, undefined],
        ['code', 2, 0, undefined],
        ['strict', 0, 1, 'not in the policy'],
      ],
    );
  });

  test('what is no log, and what cannot be', () => {
    assert.equal(cofferdam(['rules', '--log', join(directory, 'missing')]).code, 1);
    const text = cofferdam(['rules', '--log', '-'], { input: 'not a record\n' });
    assert.equal(text.code, 1);
    assert.match(text.err, /there is no flow record in it/);
    const both = cofferdam(['rules', '--log', log, '--run', 'aaaa']);
    assert.equal(both.code, 2);
    assert.match(both.err, /`--run` and `--log` exclude each other/);
    assert.equal(cofferdam(['rules', '--log', '-'], { input: '' }).code, 0);
  });
});
