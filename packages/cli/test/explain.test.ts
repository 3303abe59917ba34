import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatAddress } from '@cofferdam/net';
import { runAddresses } from '../src/agent-inventory.ts';
import { cofferdam, workDirectory } from './cofferdam.ts';
import { assertGolden } from './golden.ts';
import { brokenPolicy, deskPolicy, openingPolicy } from './policies.ts';

const directory = workDirectory();
writeFileSync(join(directory, 'desk.yaml'), deskPolicy);
writeFileSync(join(directory, 'broken.yaml'), brokenPolicy);
writeFileSync(join(directory, 'opening.yaml'), openingPolicy);

/** A Saturday at 10:00 in UTC, 11:00 in Berlin. */
const saturday = '2027-01-30T10:00:00Z';

const explain = (...args: string[]) =>
  cofferdam(['explain', '--policy', 'desk.yaml', '--at', saturday, ...args], { cwd: directory });

const golden: readonly [name: string, args: readonly string[]][] = [
  ['permitted-by-name', ['--to', 'github.com']],
  ['refused-look-up', ['--to', 'gist.github.com:443']],
  ['fronting', ['--to', 'github.com:443', '--sni', 'evil.example']],
  ['plain-http', ['--url', 'http://github.com/acme']],
  ['plain-http-post', ['--url', 'http://github.com/acme', '--method', 'POST']],
  ['outside-hours', ['--to', 'orders.db.internal.example:6432']],
  ['private-database', ['--to', 'orders.db.internal.example:5432']],
  ['wrong-address', ['--to', 'orders.db.internal.example:5432', '--address', '203.0.113.7']],
  ['monitored-rule', ['--to', 'docs.example.com:443']],
  ['inside-tls', ['-p', 'opening.yaml', '--url', 'https://api.github.com/repos/acme/site']],
  ['metadata-service', ['--to', '169.254.169.254:80']],
  ['gateway-itself', ['--to', '198.18.0.1:22']],
  ['quic', ['--to', '1.1.1.1:443', '--proto', 'udp']],
  ['ipv6-literal', ['--to', '[2606:4700::1111]:22']],
  ['ping', ['--to', '1.1.1.1', '--proto', 'icmp']],
  ['run-monitor', ['--to', 'github.com', '--monitor']],
];

for (const [name, args] of golden) {
  test(`${name}: \`explain ${args.join(' ')}\``, () => {
    const { code, out, err } = explain(...args);
    assert.equal(err, '');
    assert.equal(code, 0);
    assert.match(out.split('\n')[0]!, /^(PERMIT|DENY) {2}desk-agent → (tcp|udp|icmp) /);
    assert.ok(!out.includes('93.184.216.34'), 'an assumed address is not shown');
    assertGolden(`explain-${name}.txt`, `$ cofferdam explain ${args.join(' ')}\n${out}`);
  });
}

const verdicts: readonly [args: readonly string[], verdict: string, reason: string][] = [
  [['--to', 'github.com:443'], 'permit', 'rule'],
  [['--to', 'GitHub.com.:443'], 'permit', 'rule'],
  [['--to', 'github.com:443', '--no-tls'], 'deny', 'no-rule'],
  [['--to', 'github.com:22'], 'deny', 'no-rule'],
  [['--to', 'orders.db.internal.example:6432', '--at', '2027-01-30T22:30:00Z'], 'permit', 'rule'],
  [['--to', 'orders.db.internal.example:5432', '--address', '10.30.9.9'], 'permit', 'rule'],
  [['--to', '1.1.1.1'], 'deny', 'no-rule'],
  [['--to', 'github.com:443', '--sni', 'not a name'], 'deny', 'name-unreadable'],
  [['--to', 'github.com:443', '--monitor', '--sni', 'evil.example'], 'permit', 'monitored'],
];

for (const [args, verdict, reason] of verdicts) {
  test(`\`explain ${args.join(' ')}\`: ${verdict}, ${reason}`, () => {
    const at = args.includes('--at') ? [] : ['--at', saturday];
    const { code, out, err } = cofferdam(['explain', '-p', 'desk.yaml', '--json', ...at, ...args], { cwd: directory });
    assert.equal(code, 0, err);
    const result = JSON.parse(out);
    assert.deepEqual([result.verdict, result.reason], [verdict, reason]);
    assert.equal(result.agent, 'desk-agent');
  });
}

test('the hint permits what was denied', () => {
  const { hint } = JSON.parse(explain('--to', 'gist.github.com:443', '--json').out);
  assert.equal(hint.kind, 'rule');
  const added = `${deskPolicy.trimEnd()}\n${hint.rule.trimEnd().replaceAll(/^/gm, '    ')}\n---\n${hint.documents}`;
  writeFileSync(join(directory, 'added.yaml'), added);
  const { out, err } = cofferdam(['explain', '-p', 'added.yaml', '--to', 'gist.github.com:443', '--json'], {
    cwd: directory,
  });
  assert.equal(JSON.parse(out || err).verdict, 'permit');
});

const refused: readonly [args: readonly string[], code: number, says: RegExp][] = [
  [
    ['--to', 'github.com', '--from', 'desk-agnet'],
    1,
    /no rule of the policy is about `desk-agnet`\nhelp: did you mean `desk-agent`\?/,
  ],
  [['--to', 'github.com', '--from', 'other'], 1, /help: it names `desk-agent`/],
  [[], 2, /it is not said where the agent connects to\nhelp: add `--to NAME:PORT`/],
  [['--to', 'https://github.com/'], 2, /is a URL\nhelp: give it as `--url`/],
  [['--to', 'github.com:70000'], 2, /`70000` is not a port/],
  [['--to', '[github.com]:443'], 2, /no IPv6 address in/],
  [['--to', '1.2.3.4.5'], 2, /help: /],
  [['--to', 'time.example.com', '--proto', 'udp'], 2, /a UDP port is missing/],
  [['--to', '1.1.1.1:1', '--proto', 'icmp'], 2, /ICMP has no ports/],
  [['--to', 'a.example', '--url', 'https://b.example/'], 2, /name different destinations/],
  [['--to', '1.1.1.1', '--address', '1.1.1.1'], 2, /is an address already/],
  [['--to', 'github.com', '--label', 'team'], 2, /`team` is not a label/],
  [['--to', 'github.com', '--at', '2027-01-30T09:00:00'], 2, /is not a time/],
];

for (const [args, code, says] of refused) {
  test(`\`explain ${args.join(' ')}\` is refused`, () => {
    const ran = cofferdam(['explain', '-p', 'desk.yaml', ...args], { cwd: directory });
    assert.match(ran.err, says);
    assert.equal(ran.code, code);
    assert.equal(ran.out, '');
  });
}

test('a policy with errors is not explained', () => {
  const { code, out, err } = cofferdam(['explain', '-p', 'broken.yaml', '--to', 'github.com'], { cwd: directory });
  assert.equal(code, 1);
  assert.equal(out, '');
  assert.match(err, /error\[unknown-key\]/);
  assert.match(err, /cofferdam: the policy has \d errors/);
});

test('several agents: it says which', () => {
  const policy = deskPolicy.replace('[{ agent: desk-agent }]', '[{ agent: desk-agent }, { agent: lamp-agent }]');
  writeFileSync(join(directory, 'two.yaml'), policy);
  const { code, err } = cofferdam(['explain', '-p', 'two.yaml', '--to', 'github.com'], { cwd: directory });
  assert.equal(code, 2);
  assert.match(err, /`--from`: `desk-agent` or `lamp-agent`/);
});

test('rules about other agents are left out, and counted', () => {
  const lamp = `---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: lamps }
spec: { any: [{ agent: lamp-agent }] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: a-lamp }
spec: { rules: [{ name: light, action: permit, from: [lamps], to: [public-internet], web: [code], protocol: tcp, ports: [443] }] }
`;
  writeFileSync(join(directory, 'lamp.yaml'), lamp);
  const args = ['explain', '-p', 'desk.yaml', '-p', 'lamp.yaml', '--from', 'desk-agent', '--to', 'github.com'];
  const { out } = cofferdam(args, { cwd: directory });
  assert.doesNotMatch(out, /a-lamp\/light/);
  assert.match(out, /1 rule about other agents left out/);
  assert.match(cofferdam([...args, '--all'], { cwd: directory }).out, /no match +a-lamp\/light/);
});

test('a group that selects by label needs the label', () => {
  writeFileSync(
    join(directory, 'label.yaml'),
    deskPolicy.replace('{ agent: desk-agent }', '{ labels: { team: desk } }'),
  );
  const args = ['explain', '-p', 'label.yaml', '--to', 'github.com', '--json'];
  assert.equal(cofferdam(args, { cwd: directory }).code, 1);
  const { out } = cofferdam([...args, '--label', 'team=desk'], { cwd: directory });
  assert.equal(JSON.parse(out).verdict, 'permit');
});

test('the addresses are those of a run', async (t) => {
  const gateway = await import('@cofferdam/gateway').catch((error: Error) => error);
  if (gateway instanceof Error) return t.skip(`the gateway cannot be loaded here: ${gateway.message}`);
  assert.deepEqual(runAddresses.agent.map(formatAddress), gateway.commandAddresses.map(formatAddress));
  assert.deepEqual(runAddresses.gateway.map(formatAddress).sort(), gateway.gatewayAddresses.map(formatAddress).sort());
});
