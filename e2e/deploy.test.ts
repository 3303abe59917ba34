/** What is shipped to run Cofferdam as a service: systemd takes it, and what it allows is enough for a gateway at work. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { cofferdam, containedUnavailable } from './contained.ts';
import { fetched, type GatewayLab, gatewayPolicy, startGatewayLab } from './gateway-lab.ts';

const unit = readFileSync(new URL('../deploy/cofferdam-gateway.service', import.meta.url), 'utf8');
/** Values of a setting, in their order; empty where it is not there. */
const setting = (name: string): readonly string[] =>
  [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) => value!);

const hasSystemd = existsSync('/usr/bin/systemd-analyze') ? false : 'systemd is not installed';

describe('deploy/cofferdam-gateway.service', () => {
  const analyze = async (verb: readonly string[], text: string): Promise<{ code: number; said: string }> => {
    const directory = await mkdtemp(join(tmpdir(), 'cofferdam-unit-'));
    try {
      const file = join(directory, 'cofferdam-gateway.service');
      await writeFile(file, text.replaceAll('/opt/cofferdam', dirname(cofferdam)));
      const ran = promisify(execFile)('systemd-analyze', [...verb, file], { env: { ...process.env, LC_ALL: 'C' } });
      return await ran.then(
        ({ stdout, stderr }) => ({ code: 0, said: stdout + stderr }),
        ({ code, stdout, stderr }) => ({ code, said: stdout + stderr }),
      );
    } finally {
      await rm(directory, { recursive: true });
    }
  };

  test('systemd has nothing to say against it', { skip: hasSystemd }, async () => {
    const { code, said } = await analyze(['verify', '--man=no'], unit);
    assert.deepEqual([code, said], [0, '']);
    // It would say so.
    const wrong = await analyze(['verify', '--man=no'], unit.replace('NoNewPrivileges=yes', 'NoNewPrivilege=yes'));
    assert.match(wrong.said, /Unknown key.* 'NoNewPrivilege'/);
  });

  test('nothing in it makes a mount namespace, which would end the gateway with the service', () => {
    const making =
      /^(Private(Tmp|Devices|IPC)|Protect(System|Home|Proc|Kernel\w+|ControlGroups)|ProcSubset|(ReadOnly|ReadWrite|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|Root\w+|Mount\w+|DynamicUser|(Runtime|State|Cache|Logs)Directory|LogNamespace|IPCNamespacePath)=/m;
    assert.doesNotMatch(unit, making);
    assert.deepEqual(setting('PrivateMounts'), ['no']);
    assert.match(unit.replace('PrivateMounts=no', 'ProtectSystem=full'), making);
  });
});

const skip = containedUnavailable();

describe('a gateway with the privileges of the unit', { skip }, () => {
  let g: GatewayLab;
  let policies: string;
  const capabilities = setting('CapabilityBoundingSet')
    .flatMap((value) => value.split(' '))
    .map((name) => `+${name.replace(/^CAP_/, '').toLowerCase()}`);
  /** As systemd starts it: root, no capability but those, and nothing to gain by what it executes. */
  const confined = [
    'setpriv',
    `--bounding-set=-all,${capabilities.join(',')}`,
    '--inh-caps=-all',
    '--no-new-privs',
    '--',
  ];
  const toWeb = 'to: [public-internet], web: [named], protocol: tcp, ports: [80, 443]';

  before(async () => {
    g = await startGatewayLab();
    await g.write(gatewayPolicy([toWeb]));
    policies = (await g.lab.exec('host', ['sh', '-c', `echo ${g.lab.directory}/gateway-*/policies`])).stdout.trim();
  });
  after(async () => {
    await g?.stop();
  });

  const launch = (capable: readonly string[]): LabProcess =>
    g.lab.spawn('host', [...capable, cofferdam, 'gateway', '--policy', policies, '--agents', 'eth1,eth2']);
  const stands = /gateway gateway (stands|goes on): .*rule/;
  const start = async (): Promise<LabProcess> => {
    const started = launch(confined);
    await started.waitFor(stands);
    return started;
  };

  test('it stands, serves, reloads, and takes over after a restart', async () => {
    let gateway = await start();
    for (const url of ['https://example.com/', 'http://example.com/'])
      assert.match(await fetched(g.a, g.lab, url), /"server":"web"/);
    assert.match(await fetched(g.a, g.lab, 'https://github.com/'), /curl 6/);
    await g.write(gatewayPolicy([toWeb, 'to: [databases], protocol: tcp, ports: [5432]']));
    await gateway.waitFor(/reloaded: 2 rules in force/);
    await gateway.kill('SIGTERM');
    await gateway.ended;
    gateway = await start();
    assert.match(gateway.stderr(), /goes on/);
    assert.match(await fetched(g.a, g.lab, 'https://example.com/'), /"server":"web"/);
    await gateway.kill('SIGTERM');
    await gateway.ended;
    await g.remove();
  });

  for (const one of capabilities)
    test(`control: without ${one.slice(1)} it does not stand`, async () => {
      const rest = capabilities.filter((each) => each !== one);
      const started = launch(confined.map((word) => word.replace(capabilities.join(','), rest.join(','))));
      try {
        await assert.rejects(started.waitFor(stands, 20_000), /ended before/);
        assert.equal((await started.ended).code, 125, started.stderr());
      } finally {
        await started.kill('SIGKILL');
      }
      const { stdout } = await g.lab.exec('host', ['ip', '-br', 'link', 'show', 'eth1']);
      assert.match(stdout, /^eth1@/, 'the interface is the host’s, or the host’s again');
    });
});
