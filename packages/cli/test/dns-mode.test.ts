import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { DnsMode } from '@cofferdam/plan';
import { parsePolicy } from '@cofferdam/policy';
import { dnsModes } from '../src/dns-mode.ts';
import { commandLine, workDirectory } from './cofferdam.ts';
import { deskPolicy, serversPolicy } from './policies.ts';
import { flowLine } from './records.ts';

const directory = workDirectory();
const file = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};
const desk = file('desk.yaml', deskPolicy);
const servers = file('servers.yaml', serversPolicy);

describe('the option', () => {
  const commands: readonly (readonly [name: string, rest: readonly string[]])[] = [
    ['gateway', ['--policy', desk, '--agents', 'eth1']],
    ['run', ['--policy', desk, '--', 'true']],
    ['explain', ['--policy', desk, '--to', 'github.com']],
    ['validate', [desk]],
    ['replay', ['--policy', desk, 'flows.jsonl']],
  ];
  for (const [name, rest] of commands) {
    for (const value of ['trak', 'cloud', 'Own', ''])
      test(`\`${name} --dns "${value}"\` is refused${value === '' ? '' : ', with the three words'}`, async () => {
        const { code, out, err } = await commandLine([name, '--dns', value, ...rest]);
        assert.deepEqual([code, out], [2, '']);
        if (value === '') return assert.match(err, /`--dns` is given an empty value/);
        assert.match(err, new RegExp(`^cofferdam: \`--dns\` does not take \`${value}\`\nhelp: `));
        assert.match(err, /accepted: `synthetic`, `track` or `own`\n$/);
      });
    test(`\`${name} --help\` shows it, with an example`, async () => {
      const { out } = await commandLine([name, '--help']);
      assert.match(out.replaceAll(/\s+/g, ' '), /--dns MODE .*? \(synthetic, track, own\)/);
      assert.match(out, /\n +(?:sudo )?cofferdam .*--dns track/);
    });
  }
  test('a word that is nearly one is named', async () => {
    assert.match((await commandLine(['validate', '--dns', 'trak', desk])).err, /did you mean `track`\?/);
  });
});

describe('validate', () => {
  const validate = async (...args: readonly string[]) => await commandLine(['validate', desk, servers, ...args]);

  test('says which permits are idle in a mode, and nothing new without one', async () => {
    for (const args of [[], ['--dns', 'synthetic']]) assert.match((await validate(...args)).out, /: no problems\n$/);
    for (const mode of ['track', 'own']) {
      const { code, out } = await validate('--dns', mode);
      assert.equal(code, 0);
      const idle = [...out.matchAll(/warning\[name-never-claimed\]: `(\w+)` never matches in the DNS mode `(\w+)`/g)];
      assert.deepEqual(
        idle.map(([, rule, said]) => [rule, said]),
        ['database', 'time', 'git'].map((rule) => [rule, mode]),
      );
      assert.match(out, /\nhelp: name the host by `hostname` in `to`/);
      assert.equal((await validate('--dns', mode, '--strict')).code, 1);
    }
  });

  test('as JSON and as SARIF', async () => {
    const { diagnostics } = JSON.parse((await validate('--dns', 'own', '--json')).out);
    assert.deepEqual([...new Set(diagnostics.map(({ code }: { code: string }) => code))], ['name-never-claimed']);
    const [run] = JSON.parse((await validate('--dns', 'own', '--format', 'sarif')).out).runs;
    assert.deepEqual(
      run.tool.driver.rules.map(({ id }: { id: string }) => id),
      ['name-never-claimed'],
    );
    assert.equal(run.results.length, diagnostics.length);
  });

  test('what it suggests draws no warning and permits in that mode', async () => {
    const host = `${serversPolicy.split('---')[1]!.replaceAll('ssh-server', 'git-server').replace('ssh.example', 'git.example')}---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: mended }
spec: { rules: [{ name: git, action: permit, from: [desk-agents], to: [git-server], protocol: tcp, ports: [22] }] }
`;
    const mended = file('mended.yaml', host);
    assert.match((await commandLine(['validate', desk, mended, '--dns', 'track'])).out, /1 warning\n$/);
    const { out } = await commandLine([
      'explain',
      '-p',
      desk,
      '-p',
      mended,
      '--dns',
      'track',
      '--to',
      'git.example.com:22',
      '--json',
    ]);
    assert.equal(JSON.parse(out).rule, 'mended/git');
  });
});

describe('replay', () => {
  const opaque = { states: { tls: 'absent', claimedName: 'absent', request: 'absent', mcp: 'absent' } };
  const https = { tls: true, claimedName: 'github.com' };
  /** A connection to a database, and one by https, as gateways of each mode record them. */
  const logs = Object.fromEntries(
    dnsModes.map((mode) => {
      const seen = mode === 'own' ? { path: 'proxy' } : {};
      const unnamed = mode === 'own' ? { addressNames: [] } : {};
      const name = 'orders.db.internal.example';
      const database = JSON.parse(flowLine({ id: '1', at: 1, end: 1, name, address: '10.30.0.5', port: 5432 }));
      const code = JSON.parse(flowLine({ id: '2', at: 2, end: 2, name: 'github.com', rule: 'code' }));
      const records = [
        { ...database, ...opaque, ...seen, ...unnamed },
        { ...code, ...https, ...seen },
      ];
      return [mode, file(`${mode}.jsonl`, records.map((record) => `${JSON.stringify(record)}\n`).join(''))];
    }),
  );
  const counts = async (log: string | undefined, ...args: readonly string[]) => {
    const { code, out, err } = await commandLine(['replay', '-p', desk, '--json', ...args, log ?? '']);
    assert.deepEqual([code, err], [0, '']);
    return JSON.parse(out).counts;
  };

  test('judges records in the mode of the gateway that wrote them', async () => {
    const both = { same: 2, 'newly-denied': 0, 'newly-permitted': 0, unknown: 0 };
    assert.deepEqual(await counts(logs.synthetic), both);
    assert.deepEqual(await counts(logs.synthetic, '--dns', 'synthetic'), both);
    // The client of the database claims no name, so that a permit with `web` does not match it.
    for (const mode of ['track', 'own'])
      assert.deepEqual(await counts(logs[mode], '--dns', mode), { ...both, same: 1, 'newly-denied': 1 }, mode);
  });
});

describe('run and gateway', async () => {
  const loaded = await Promise.all([
    import('../src/gateway/prepare-plan.ts'),
    import('../src/gateway/serve.ts'),
    import('../src/run/prepare-run.ts'),
  ]).catch((error: Error) => error);
  const skip = loaded instanceof Error ? `they cannot be loaded here: ${loaded.message}` : false;
  const [gateway, serve, run] = loaded instanceof Error ? [] : loaded;
  const { policy } = parsePolicy([{ file: 'p', text: deskPolicy }]);
  assert.ok(policy);

  test('the plan has the mode', { skip }, async () => {
    for (const dnsMode of dnsModes) {
      const context = { interfaces: [], resolved: new Map(), monitor: false, dnsMode, revision: 1 };
      assert.equal(gateway!.preparePlan(policy, context).plan.plan.dnsMode, dnsMode);
      const prepared = await run!.prepareRun(policy, { agent: undefined, labels: {}, monitor: false, dnsMode }, [], 1);
      assert.equal(prepared.plan.plan.dnsMode, dnsMode);
    }
  });

  test('a gateway says its mode where it is not the usual one, and what is not contained in it', { skip }, () => {
    const said = (dnsMode: DnsMode) => {
      const lines: string[] = [];
      const console = { say: (line: string) => lines.push(line), warn: (line: string) => lines.push(`! ${line}`) };
      serve!.announce({ interfaces: [], standing: false }, { name: 'edge', monitor: true, dnsMode }, policy, console);
      return lines;
    };
    assert.match(said('synthetic').join('\n'), /^gateway edge stands: .*, monitored$/);
    assert.match(said('track').join('\n'), /^gateway edge stands: .*, monitored; dns: track$/);
    const [start, risk, ...more] = said('own');
    assert.match(start ?? '', /; dns: own$/);
    assert.match(risk ?? '', /^! DNS is not contained until the platform’s resolver is closed/);
    assert.deepEqual(more, []);
  });
});
