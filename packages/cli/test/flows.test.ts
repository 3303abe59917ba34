import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, mkdirSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cofferdam, program, workDirectory } from './cofferdam.ts';
import { flowLine, morningLog } from './records.ts';

const directory = workDirectory();
const log = join(directory, 'flows.jsonl');
writeFileSync(log, `${morningLog.join('\n')}\n`);

const ids = (out: string): readonly string[] =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).id);

test('a table: each connection once, oldest first', () => {
  const { code, out, err } = cofferdam(['flows', log]);
  assert.equal(code, 0);
  assert.equal(err, '');
  assert.equal(
    out,
    [
      'TIME (UTC)           VERDICT  AGENT       KIND  DESTINATION          REASON            RULE',
      '2020-01-30 09:00:00  permit   desk-agent  tcp   github.com:443       rule              desk/code',
      '2020-01-30 09:02:00  deny     desk-agent  tcp   gist.github.com:443  no-rule           default',
      '2020-01-30 09:03:00  deny     desk-agent  tcp   169.254.169.254:80   reserved-address  default',
      '2020-01-30 09:04:00  permit   lamp-agent  tcp   api.example.com:443  rule              desk/api',
      '',
    ].join('\n'),
  );
});

const filters: readonly [args: readonly string[], shown: readonly string[]][] = [
  [[], ['1', '1', '2', '3', '4']],
  [
    ['--verdict', 'deny'],
    ['2', '3'],
  ],
  [['--agent', 'lamp-agent'], ['4']],
  [
    ['--rule', 'desk/code'],
    ['1', '1'],
  ],
  [
    ['--rule', 'default'],
    ['2', '3'],
  ],
  [['--name', '*.github.com'], ['2']],
  [
    ['--name', 'GITHUB.com.'],
    ['1', '1'],
  ],
  [['--name', '169.254.169.254'], ['3']],
  [['--reason', 'no-rule'], ['2']],
  [['--verdict', 'would-deny'], []],
  [
    ['--since', '2020-01-30T09:03:00Z'],
    ['3', '4'],
  ],
  [['--since', '2020-01-30T10:03:00+01:00', '--verdict', 'deny'], ['3']],
  [
    ['--last', '2'],
    ['3', '4'],
  ],
  [['--since', '1m'], []],
];

for (const [args, shown] of filters) {
  test(`\`flows ${args.join(' ')}\` shows ${shown.length === 0 ? 'nothing' : shown.join(', ')}`, () => {
    const { code, out, err } = cofferdam(['flows', log, '--json', ...args]);
    assert.equal(err, '');
    assert.equal(code, 0);
    assert.deepEqual(ids(out), shown);
  });
}

test('compact lines, from standard input', () => {
  const { out } = cofferdam(['flows', '-', '--format', 'compact', '--verdict', 'deny'], {
    input: morningLog.join('\n'),
  });
  assert.match(out, /^09:02:00\.000 {2}deny {8}desk-agent → tcp gist\.github\.com:443 .* no-rule \[default\]/);
  assert.equal(out.trimEnd().split('\n').length, 2);
});

test('what passed only because it is monitored is `would-deny` wherever people read it', () => {
  const monitored = flowLine({ id: 'm', at: 5, name: 'gist.github.com' }).replace(
    '"reason":"rule","enforced":true',
    '"reason":"monitored","enforced":false',
  );
  const input = `${[...morningLog, monitored].join('\n')}\n`;
  const shown = (...args: readonly string[]): string =>
    cofferdam(['flows', '-', '--verdict', 'would-deny', ...args], { input }).out;
  assert.match(shown(), /^TIME \(UTC\) {11}VERDICT .*\n2020-01-30 09:05:00 {2}would-deny {2}desk-agent .*\n$/);
  assert.match(
    shown('--format', 'compact'),
    /^09:05:00\.000 {2}would-deny {2}desk-agent → tcp gist\.github\.com:443 .*\n$/,
  );
  const [record] = shown('--json').split('\n');
  const { verdict, enforced } = JSON.parse(record!);
  assert.deepEqual({ verdict, enforced }, { verdict: 'permit', enforced: false });
  const other = cofferdam(['flows', '-', '--verdict', 'lifted'], { input });
  assert.equal(other.code, 2);
});

test('the table says which address a name that was only claimed led to', () => {
  const claimed = { ...JSON.parse(flowLine({ id: 'c', at: 5, end: 5, deny: 'no-rule' })), claimedName: 'github.com' };
  const { out } = cofferdam(['flows', '-'], { input: JSON.stringify(claimed) });
  assert.match(out, /deny .* github\.com:443 +address 140\.82\.121\.4 +no-rule/);
});

test('damaged lines are counted and said, and the rest is shown', () => {
  const damaged = [
    morningLog[2],
    '{"version":1,"kind"',
    'not json',
    '\u001b[31m',
    '{"version":2}',
    morningLog[3],
    '{"cut',
  ].join('\n');
  const { code, out, err } = cofferdam(['flows', '-', '--json'], { input: damaged });
  assert.equal(code, 0);
  assert.deepEqual(ids(out), ['2', '3']);
  assert.match(err, /^cofferdam: 5 lines left out that are no records; the first in <stdin>: a record is not JSON\n$/);
});

test('a last line without its newline is shown when it is whole', () => {
  assert.deepEqual(ids(cofferdam(['flows', '-', '--json'], { input: morningLog[2]! }).out), ['2']);
});

test('no file: 1, and what to do', () => {
  const missing = cofferdam(['flows', join(directory, 'missing.jsonl')]);
  assert.equal(missing.code, 1);
  assert.match(missing.err, /cannot be read: there is no such file\nhelp: /);
  const none = cofferdam(['flows', '--runs', join(directory, 'no-runs')]);
  assert.equal(none.code, 1);
  assert.match(none.err, /no run has left a log/);
});

test('what holds no records is an error, not an empty log', () => {
  const policy = join(directory, 'policy.yaml');
  writeFileSync(policy, 'apiVersion: cofferdam.dev/v1\nkind: Ruleset\n');
  const text = cofferdam(['flows', policy]);
  assert.equal(text.code, 1);
  assert.match(text.err, /2 lines left out .*\n.*there is no flow record in it\nhelp: /);
  const place = cofferdam(['flows', directory]);
  assert.equal(place.code, 1);
  assert.match(place.err, /^cofferdam: `.*` cannot be read: it is a directory\nhelp: /);
  const empty = join(directory, 'empty.jsonl');
  writeFileSync(empty, '');
  assert.deepEqual(
    [cofferdam(['flows', empty]).code, cofferdam(['flows', empty]).err],
    [0, 'cofferdam: no record matches\n'],
  );
});

test('without a file: the logs of all runs, by time', () => {
  const runs = join(directory, 'two-runs');
  for (const [run, lines] of [
    ['aaaa', [morningLog[4]]],
    ['bbbb', [morningLog[2], morningLog[3]]],
  ] as const) {
    mkdirSync(join(runs, run), { recursive: true });
    writeFileSync(join(runs, run, 'flows.jsonl'), `${lines.join('\n')}\n`);
  }
  const { out } = cofferdam(['flows', '--runs', runs, '--format', 'compact']);
  assert.deepEqual(
    out
      .trimEnd()
      .split('\n')
      .map((line) => line.slice(0, 5)),
    ['09:02', '09:03', '09:04'],
  );
});

test('several runs: by time before the last are taken, and the table names the run', () => {
  const runs = join(directory, 'mixed-runs');
  const line = (gateway: string, id: string, at: number): string =>
    flowLine({ id, at, end: at, name: 'github.com', rule: 'code' }).replace('"gateway":"g"', `"gateway":"${gateway}"`);
  // The run that is read first has the newest record, and too many for what is kept.
  const many = Array.from({ length: 80 }, (_, i) => line('aaaa', `a${i}`, 20 + i));
  const old = Array.from({ length: 80 }, (_, i) => line('bbbb', `b${i}`, i / 8));
  for (const [run, lines] of [
    ['aaaa', many],
    ['bbbb', [...old, line('bbbb', 'b99', 98.5)]],
  ] as const) {
    mkdirSync(join(runs, run), { recursive: true });
    writeFileSync(join(runs, run, 'flows.jsonl'), `${lines.join('\n')}\n`);
  }
  const last = ['--runs', runs, '-n', '3'];
  assert.deepEqual(ids(cofferdam(['flows', '--json', ...last]).out), ['a78', 'b99', 'a79']);
  assert.deepEqual(ids(cofferdam(['flows', '--json', '--runs', runs]).out).slice(79, 81), ['b79', 'a0']);
  const table = cofferdam(['flows', ...last]).out.split('\n');
  assert.match(table[0]!, /^RUN {3}TIME \(UTC\)/);
  assert.deepEqual(
    table.slice(1, 4).map((row) => row.slice(0, 4)),
    ['aaaa', 'bbbb', 'aaaa'],
  );
});

/** A follower, and what it has said so far. */
const follow = (t: TestContext, args: readonly string[]) => {
  const child = spawn(process.execPath, [program, 'flows', '-f', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  /** Waits as long as it takes; the runner has the limit. */
  const until = async (text: string): Promise<void> => {
    while (!said.includes(text)) {
      assert.equal(child.exitCode, null, `ended before it said ${text}: ${said}`);
      await sleep(20);
    }
  };
  return { child, until, said: () => said };
};

test('following a file: as it is written, across truncation and replacement, in parts', {
  timeout: 60_000,
}, async (t) => {
  const path = join(directory, 'followed.jsonl');
  writeFileSync(path, `${morningLog[0]}\n`);
  const { child, until, said } = follow(t, [path]);
  await until('github.com:443');
  const second = `${flowLine({ id: 'x', at: 5, end: 5, name: 'second.example', deny: 'no-rule' })}\n`;
  appendFileSync(path, second.slice(0, 50));
  await sleep(300);
  assert.ok(!said().includes('second.example'));
  appendFileSync(path, second.slice(50));
  await until('second.example');
  truncateSync(path, 0);
  await sleep(400);
  appendFileSync(path, `${flowLine({ id: 'y', at: 6, name: 'third.example', rule: 'api' })}\n`);
  await until('third.example');
  const next = join(directory, 'next.jsonl');
  writeFileSync(next, `${flowLine({ id: 'z', at: 7, name: 'fourth.example', rule: 'api' })}\n`);
  renameSync(next, path);
  await until('fourth.example');
  child.kill('SIGINT');
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});

test('following all runs: also one that begins later', { timeout: 60_000 }, async (t) => {
  const runs = join(directory, 'later-runs');
  const { until } = follow(t, ['--runs', runs, '--verdict', 'deny']);
  await sleep(300);
  mkdirSync(join(runs, 'cccc'), { recursive: true });
  writeFileSync(join(runs, 'cccc/flows.jsonl'), `${morningLog.join('\n')}\n`);
  await until('gist.github.com');
  await until('169.254.169.254');
});

test('logs of others: said at once, with `-f` as without', { timeout: 60_000 }, (t) => {
  const runs = join(directory, 'runs-of-others');
  mkdirSync(join(runs, 'aaaa'), { recursive: true });
  writeFileSync(join(runs, 'aaaa/flows.jsonl'), '');
  chmodSync(join(runs, 'aaaa'), 0);
  chmodSync(directory, 0o711);
  // Root reads everything, so it becomes nobody.
  const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const as = (...args: readonly string[]) =>
    spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 30_000, ...nobody });
  if (as('--version').status !== 0) return t.skip('nobody may not read this checkout');
  const mixed = join(directory, 'runs-of-some');
  for (const [run, mode] of [
    ['aaaa', 0],
    ['bbbb', 0o755],
  ] as const) {
    mkdirSync(join(mixed, run), { recursive: true });
    writeFileSync(join(mixed, run, 'flows.jsonl'), `${morningLog[2]}\n`);
    chmodSync(join(mixed, run), mode);
  }
  const some = as('flows', '--json', '--runs', mixed);
  chmodSync(join(mixed, 'aaaa'), 0o700);
  assert.deepEqual(ids(some.stdout), ['2']);
  assert.match(some.stderr, /^cofferdam: left out 1 run of other users: sudo shows all\n$/);
  const plain = as('flows', '--runs', runs);
  const followed = as('flows', '-f', '--runs', runs);
  chmodSync(join(runs, 'aaaa'), 0o700);
  assert.match(plain.stderr, /the logs of the runs here may not be read/);
  assert.deepEqual([followed.status, followed.stderr], [1, plain.stderr]);
});

test('following several runs: what they have written comes in one order', { timeout: 60_000 }, async (t) => {
  const runs = join(directory, 'followed-runs');
  for (const [run, lines] of [
    ['aaaa', [morningLog[4]]],
    ['bbbb', [morningLog[2], morningLog[3]]],
  ] as const) {
    mkdirSync(join(runs, run), { recursive: true });
    writeFileSync(join(runs, run, 'flows.jsonl'), `${lines.join('\n')}\n`);
  }
  const { until, said } = follow(t, ['--runs', runs]);
  await until('api.example.com');
  assert.deepEqual(
    said()
      .trimEnd()
      .split('\n')
      .map((line) => line.slice(0, 5)),
    ['09:02', '09:03', '09:04'],
  );
});

test('following into a reader that went away ends', { timeout: 60_000 }, async (t) => {
  const path = join(directory, 'closed.jsonl');
  writeFileSync(path, `${morningLog[0]}\n`);
  const { child, until } = follow(t, [path]);
  await until('github.com');
  child.stdout.destroy();
  const exited = once(child, 'exit');
  for (let i = 0; child.exitCode === null && child.signalCode === null; i++) {
    appendFileSync(path, `${flowLine({ id: `c${i}`, at: 8, name: 'more.example', rule: 'api' })}\n`);
    await sleep(100);
  }
  const [code] = await exited;
  assert.equal(code, 0);
});
