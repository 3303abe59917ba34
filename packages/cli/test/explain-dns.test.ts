import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { commandLine, type Ran, workDirectory } from './cofferdam.ts';
import { assertGolden } from './golden.ts';
import { deskPolicy, serversPolicy } from './policies.ts';

/** `explain` in the DNS modes in which an address does not stand for one name. */
const directory = workDirectory();
writeFileSync(join(directory, 'desk.yaml'), deskPolicy);
writeFileSync(join(directory, 'servers.yaml'), serversPolicy);

const saturday = '2027-01-30T10:00:00Z';
const policies = ['desk.yaml', 'servers.yaml'].flatMap((file) => ['-p', join(directory, file)]);
const explain = async (...args: readonly string[]): Promise<Ran> =>
  await commandLine(['explain', ...policies, '--at', saturday, ...args]);
const told = async (...args: readonly string[]) => JSON.parse((await explain('--json', ...args)).out);

const golden: readonly [name: string, args: readonly string[]][] = [
  ['permitted-by-name', ['--to', 'github.com:443']],
  ['address', ['--to', '140.82.121.4:443', '--sni', 'github.com']],
  ['fronting', ['--to', 'github.com:443', '--sni', 'gist.github.com']],
  ['ssh', ['--to', 'git.example.com:22']],
  ['ssh-by-hostname', ['--to', 'ssh.example.com:22']],
  ['plain-http-post', ['--url', 'http://github.com/acme', '--method', 'POST']],
  ['udp', ['--to', 'time.example.com:123', '--proto', 'udp']],
];

for (const mode of ['track', 'own'])
  for (const [name, args] of golden)
    test(`${mode}-${name}: \`explain --dns ${mode} ${args.join(' ')}\``, async () => {
      const { code, out, err } = await explain('--dns', mode, ...args);
      assert.deepEqual([code, err], [0, '']);
      assert.ok(!out.includes('93.184.216.34'), 'an assumed address is not shown');
      assert.match(out, new RegExp(`\nWhat happens with \`--dns ${mode}\`\n`));
      assertGolden(`explain-${mode}-${name}.txt`, `$ cofferdam explain --dns ${mode} ${args.join(' ')}\n${out}`);
    });

interface Row {
  readonly args: readonly string[];
  /** Verdict, reason, rule, and the names of the stages, as far as it comes to them. */
  readonly synthetic: string;
  readonly track: string;
  readonly own: string;
}

const hello = 'first packet, ClientHello';
const bytes = 'first packet, first bytes';
const rows: readonly Row[] = [
  {
    args: ['--to', 'github.com:443'],
    synthetic: `permit rule desk/code: look-up, ${hello}`,
    track: `permit rule desk/code: look-up, ${hello}`,
    own: `permit rule desk/code: ${hello}`,
  },
  {
    args: ['--to', '140.82.121.4:443', '--sni', 'github.com'],
    synthetic: 'deny no-rule default: first packet',
    track: 'deny no-rule default: first packet',
    own: `permit rule desk/code: ${hello}`,
  },
  {
    args: ['--to', 'github.com:443', '--sni', 'evil.example'],
    synthetic: `deny name-mismatch desk/code: look-up, ${hello}`,
    track: `deny no-rule default: look-up, ${hello}`,
    own: `deny no-rule default: ${hello}`,
  },
  {
    args: ['--to', 'evil.example:443', '--sni', 'github.com'],
    synthetic: 'deny dns-not-permitted default: look-up',
    track: 'deny dns-not-permitted default: look-up',
    own: `permit rule desk/code: ${hello}`,
  },
  {
    args: ['--to', 'github.com:443', '--address', '10.0.0.9'],
    synthetic: 'deny dns-address-denied default: look-up',
    track: 'deny dns-address-denied default: look-up',
    own: `deny no-rule default: ${hello}`,
  },
  {
    args: ['--to', 'git.example.com:22'],
    synthetic: 'permit rule servers/git: look-up, first packet, first bytes',
    track: 'deny no-rule default: look-up, first packet, first bytes',
    own: `deny no-rule default: ${bytes}`,
  },
  {
    args: ['--to', 'ssh.example.com:22'],
    synthetic: 'permit rule servers/ssh: look-up, first packet',
    track: 'permit rule servers/ssh: look-up, first packet',
    own: `permit rule servers/ssh: ${bytes}`,
  },
  {
    args: ['--to', 'time.example.com:123', '--proto', 'udp'],
    synthetic: 'permit rule servers/time: look-up, first packet',
    track: 'deny no-rule default: look-up, first packet',
    own: 'deny no-rule default: first packet',
  },
  {
    args: ['--url', 'http://github.com/acme'],
    synthetic: 'permit rule desk/plain: look-up, first packet, HTTP request',
    track: 'permit rule desk/plain: look-up, first packet, HTTP request',
    own: 'permit rule desk/plain: first packet, HTTP request',
  },
  {
    args: ['--to', 'github.com:443', '--sni', 'not a name'],
    synthetic: `deny name-unreadable desk/code: look-up, ${hello}`,
    track: `deny name-unreadable desk/code: look-up, ${hello}`,
    own: `deny name-unreadable desk/code: ${hello}`,
  },
  {
    args: ['--to', 'github.com:443', '--monitor'],
    synthetic: `permit monitored default: look-up, ${hello}`,
    track: `permit monitored default: look-up, ${hello}`,
    own: `permit monitored default: ${hello}`,
  },
];

const said = async (args: readonly string[]): Promise<string> => {
  const { verdict, reason, rule, stages } = await told(...args);
  return `${verdict} ${reason} ${rule}: ${stages.map(({ stage }: { stage: string }) => stage).join(', ')}`;
};

describe('one connection in each mode', () => {
  for (const { args, ...expected } of rows)
    test(args.join(' '), async () => {
      for (const [mode, words] of Object.entries(expected))
        assert.equal(await said(['--dns', mode, ...args]), words, mode);
      assert.equal(await said(args), expected.synthetic, 'synthetic where nothing is said');
    });
});

describe('the hint permits what was denied', () => {
  for (const mode of ['synthetic', 'track', 'own'])
    for (const args of [
      ['--to', 'gist.github.com:443'],
      ['--to', 'git.example.com:2222', '--no-tls'],
      ['--to', 'new.example.com:22'],
      ['--to', 'ntp.example.com:123', '--proto', 'udp'],
      ['--to', 'wiki.example.com:8080', '--url', 'http://wiki.example.com:8080/start'],
      ['--to', 'gist.github.com:443', '--address', '10.9.9.9'],
      ['--to', '10.9.9.9:443'],
    ])
      test(`with \`--dns ${mode} ${args.join(' ')}\``, async () => {
        const before = await told('--dns', mode, ...args);
        assert.deepEqual([before.verdict, before.hint.kind], ['deny', 'rule']);
        const rule = before.hint.rule.trimEnd().replaceAll(/^/gm, '    ');
        const added = `apiVersion: cofferdam.dev/v1\nkind: Ruleset\nmetadata: { name: added }\nspec:\n  rules:\n${rule}\n---\n${before.hint.documents}`;
        const file = join(directory, 'added.yaml');
        writeFileSync(file, added);
        const after = await told('-p', file, '--dns', mode, ...args);
        assert.equal(after.verdict, 'permit', added);
      });

  test('but where no rule could, it says what the agent can do', async () => {
    for (const to of ['140.82.121.4:443', 'git.example.com:443']) {
      const { hint } = await told('--dns', 'track', '--to', to, '--sni', 'github.com');
      assert.equal(hint.kind, 'advice');
      assert.match(hint.note, /ask this gateway for `github.com`/);
    }
  });
});

test('in own mode, what promoting everything would do is told by what the gateway would resolve then', async () => {
  const wouldBe = async (...args: readonly string[]) => (await told('--dns', 'own', ...args)).wouldBe;
  const docs = { verdict: 'permit', rule: 'desk/docs', reason: 'rule' };
  assert.deepEqual(await wouldBe('--to', 'docs.example.com'), docs);
  assert.deepEqual(await wouldBe('--to', 'github.com', '--monitor'), { ...docs, rule: 'desk/code' });
  assert.equal((await wouldBe('--to', 'gist.github.com', '--monitor')).verdict, 'deny');
});

test('in own mode, monitoring answers every name, and leads no claimed name elsewhere', async () => {
  const monitored = join(directory, 'monitored.yaml');
  const containment = 'spec: { containment: monitor, any: [{ agent: desk-agent }] }';
  writeFileSync(monitored, deskPolicy.replace('spec: { any: [{ agent: desk-agent }] }', containment));
  for (const [to, gone] of [
    ['github.com', /which the gateway resolves → permitted by `desk\/code`/],
    ['docs.example.com', /which no permit in force covers: .* → permitted: the agent is monitored/],
  ] as const) {
    const asked = ['-p', monitored, '--at', saturday, '--dns', 'own', '--to', '192.0.2.7:443', '--sni', to];
    const { out } = await commandLine(['explain', ...asked]);
    assert.match(out, gone);
  }
});

test('what is answered without a rule, in each mode', async () => {
  for (const mode of ['track', 'own']) {
    const pool = await told('--dns', mode, '--to', '198.18.7.9:443');
    assert.deepEqual([pool.verdict, pool.reason, pool.dns], ['deny', 'address-unmapped', mode]);
    assert.match(pool.because, /none is given out/);
    const filter = await told('--dns', mode, '--to', '8.8.8.8:53', '--proto', 'udp');
    assert.equal(filter.verdict, 'local');
    assert.equal(filter.note.includes('past the gateway'), mode === 'own');
  }
  // Whoever answers for it, what goes to port 53 through the gateway ends there.
  assert.equal((await told('--dns', 'own', '--to', 'evil.example:53')).verdict, 'local');
});

test('a rule that opens later is found by what the gateway would resolve then', async () => {
  const name = 'orders.db.internal.example';
  const { later } = await told('--dns', 'own', '--to', `${name}:6432`, '--sni', name);
  assert.equal(later.rule, 'desk/nightly');
});
