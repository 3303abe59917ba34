import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { topology } from '@cofferdam/datapath';
import { decideQuestion, type Gate, type GateAgent } from '@cofferdam/gateway';
import { formatAddress } from '@cofferdam/net';
import { isLocalName } from '@cofferdam/policy';
import type { DnsQuestion } from '@cofferdam/wire';
import { runAddresses } from '../src/agent-inventory.ts';
import { poolPrefixes } from '../src/explain/answered-here.ts';
import { cofferdam, workDirectory } from './cofferdam.ts';
import { assertGolden } from './golden.ts';
import { brokenPolicy, deskPolicy, expiredPolicy, namelessPolicy, openingPolicy } from './policies.ts';

const directory = workDirectory();
writeFileSync(join(directory, 'desk.yaml'), deskPolicy);
writeFileSync(join(directory, 'broken.yaml'), brokenPolicy);
writeFileSync(join(directory, 'opening.yaml'), openingPolicy);
writeFileSync(join(directory, 'nameless.yaml'), namelessPolicy);
writeFileSync(join(directory, 'expired.yaml'), expiredPolicy);

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
  ['run-monitor-refused', ['--to', 'gist.github.com', '--monitor']],
  ['dns-elsewhere', ['--to', '8.8.8.8:53', '--proto', 'udp']],
  ['own-loopback', ['--to', 'localhost:8080']],
  ['local-name', ['--to', 'printer.local:631']],
  ['synthetic-address', ['--to', '198.18.7.9:443', '--monitor']],
  ['without-web', ['-p', 'nameless.yaml', '--to', 'gist.github.com:443']],
  ['expired', ['-p', 'expired.yaml', '--to', 'pypi.org:443']],
];

for (const [name, args] of golden) {
  test(`${name}: \`explain ${args.join(' ')}\``, () => {
    const { code, out, err } = explain(...args);
    assert.equal(err, '');
    assert.equal(code, 0);
    assert.match(out.split('\n')[0]!, /^(PERMIT|DENY|LOCAL) {2}desk-agent → (tcp|udp|icmp) /);
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
  [['--to', '[fdc0:ffe7:da11:198::9]:443'], 'deny', 'address-unmapped'],
  [['--to', '[::ffff:198.18.9.9]:443'], 'deny', 'address-unmapped'],
  [['--to', '198.18.0.1:22', '--monitor'], 'deny', 'gateway-port'],
  [['--to', 'db:5432'], 'local', 'dns-local'],
  [['--to', '7.0.0.10.in-addr.arpa:443'], 'local', 'dns-local'],
  [['--to', 'evil.example:53'], 'deny', 'dns-not-permitted'],
];

for (const to of ['127.0.0.1:53', '127.9.9.9:80', '[::1]:80', '0.0.0.0:80', '[::ffff:127.0.0.1]:80', '198.18.0.2:80']) {
  test(`\`explain --to ${to}\` is the command's own loopback`, () => {
    const { verdict, because } = JSON.parse(explain('--json', '--to', to).out);
    assert.equal(verdict, 'local');
    assert.match(because, /own loopback/);
  });
}

for (const args of [['198.18.0.1:53'], ['1.1.1.1:53'], ['198.18.7.9:53', '--proto', 'udp'], ['github.com:53']]) {
  test(`\`explain --to ${args.join(' ')}\` ends at the DNS filter`, () => {
    const { verdict, because } = JSON.parse(explain('--json', '--to', ...args).out);
    assert.equal(verdict, 'local');
    assert.match(because, /DNS filter/);
  });
}

test('names that explain takes for local are those that the gateway answers itself', () => {
  const options = { ipv6: true, nameOf: () => undefined };
  const gate = { grantOf: () => ({ kind: 'none' }) } as unknown as Gate;
  const agent = {} as GateAgent;
  for (const name of [
    'db',
    'a.local',
    'local.example',
    'x.onion',
    'a.alt',
    'home.arpa',
    'mylocal',
    'a.mylocal',
    'a.invalid',
    'localhost',
    'a.localhost',
    'use-application-dns.net',
    'example.net',
  ]) {
    const question = { name: { name }, type: 1, class: 1 } as unknown as DnsQuestion;
    assert.equal(decideQuestion(gate, agent, question, options, 0).kind === 'local', isLocalName(name), name);
  }
});

test('the pool that explain knows is the one of every run', () => {
  assert.deepEqual(poolPrefixes, [topology.pool4, topology.pool6]);
});

test('a hint for port 443 asks for TLS, and one for QUIC or a platform address says what it opens', () => {
  const hintOf = (...args: string[]) => JSON.parse(explain('--json', ...args).out).hint;
  assert.match(hintOf('--to', 'gist.github.com:443').rule, /tls: required/);
  assert.doesNotMatch(hintOf('--to', 'gist.github.com:8443').rule, /tls/);
  assert.doesNotMatch(hintOf('--to', 'github.com:443', '--no-tls').rule, /tls: required/);
  assert.match(hintOf('--to', '1.1.1.1:443', '--proto', 'udp').note, /QUIC unread/);
  assert.match(hintOf('--to', '169.254.169.254:80').note, /credentials/);
});

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
  [['--to', 'github.com', '--at', '2027-02-30T00:00:00Z'], 2, /is not a time\nhelp: there is no such day/],
  [['--to', 'github.com', '--at', '2027-02-30'], 2, /there is no such day/],
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

test('of a policy without rules, what it lacks is said', () => {
  writeFileSync(join(directory, 'no-rules.yaml'), '');
  const { code, err } = cofferdam(['explain', '-p', 'no-rules.yaml', '--to', 'github.com'], { cwd: directory });
  assert.equal(code, 1);
  assert.match(err, /help: it has no rules, so it permits nothing\n$/);
});
