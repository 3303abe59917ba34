/**
 * What happens around a gateway of a network while agents attack: resolvers that fail, policies that change faster than they are read, a full
 * disk, a flood of denials, and runs beside it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { eventually } from './attacker.ts';
import { containedUnavailable, runContained } from './contained.ts';
import { type GatewaySiege, siegePolicy, startSiege, usualRules } from './gateway-siege.ts';

const skip = containedUnavailable();

describe('around a gateway of a network', { skip, timeout: 280_000 }, () => {
  let s: GatewaySiege;
  let gateway: LabProcess;

  const end = async (signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> => {
    await gateway.kill(signal);
    await gateway.ended;
  };
  const on: GatewaySiege['on'] = (where, ...argv) => s.on(where, ...argv);

  before(async () => {
    s = await startSiege();
    await s.write(siegePolicy());
    gateway = await s.fresh(s.lab.resolvers.flatMap((one) => ['--resolver', one]));
  });
  after(() => s?.stop());

  test('a resolver is lost, then the other: names come from the one that is left', async () => {
    const asked = async (name: string): Promise<string> =>
      (await s.a.exec(['dig', '+short', '+time=5', '+tries=2', '@10.11.1.1', name])).stdout.trim();
    for (const [first, second] of [
      ['resolver', 'resolver2'],
      ['resolver2', 'resolver'],
    ] as const) {
      await s.lab.stopServer(first);
      const since = await s.lab.mark();
      // Answers are kept as long as they live: a name that nobody has asked for yet.
      await s.lab.setRecord(`${first}-is-gone.example.com`, ['93.184.215.14']);
      await s.write(
        siegePolicy().replace('domains: [example.com,', `domains: [${first}-is-gone.example.com, example.com,`),
      );
      await eventually('the name', async () => /^198\.18\./.test(await asked(`${first}-is-gone.example.com`)));
      const queries = await s.lab.arrivals({ since, kind: 'query' });
      assert.ok(queries.some(({ server }) => server === second));
      await s.lab.startServer(first);
    }
    await s.write(siegePolicy());
    await s.holds(1);
  });

  test('a policy that is written fifty times in five seconds, with errors among them: no live flow is cut', async () => {
    await s.recovers('before');
    for (let i = 0; i < 50; i++) {
      const more =
        i % 5 === 4
          ? ['to: [nobody-wrote-this], protocol: tcp']
          : [`to: [spoke], action: deny, protocol: tcp, ports: [${1000 + i}]`];
      await s.write(siegePolicy([...usualRules, ...more]));
      if (i % 3 === 0) await gateway.kill('SIGHUP');
      await pause(80);
      if (i % 10 === 0) assert.deepEqual(await s.silent(), []);
    }
    await s.write(siegePolicy([...usualRules, 'from: [crowd], to: [databases], protocol: tcp, ports: [5432]']));
    const reached = `
      c = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
      c.bind(('10.11.1.20', 0))
      c.settimeout(2)
      c.connect(('10.11.2.9', 5432))
    `;
    await eventually('the last one is in force', async () => 'value' in (await s.attackers.a.attempt(reached)));
    assert.deepEqual(await s.silent(), []);
    await s.write(siegePolicy());
    await eventually('and the next', async () => 'error' in (await s.attackers.a.attempt(reached)));
    assert.deepEqual(await s.silent(), []);
    await s.holds(1);
  });

  test('a disk that is full under its records', async () => {
    await end();
    await on('host', 'sh', '-c', 'mkdir -p /run/full && mount -t tmpfs -o size=16k tmpfs /run/full');
    gateway = await s.start(['--log', '/run/full/flows']);
    await s.holds(2);
    await s.recovers('a full disk');
    await end();
    assert.match(gateway.stderr(), /records could not be written: ENOSPC/);
    gateway = await s.start();
  });

  test('more events than are read: nothing opens, and what is permitted is', async () => {
    await gateway.kill('SIGSTOP');
    await s.attackers.a.run(
      `
      for n in range(40000):
          s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if n % 500 == 0 else s
          if n % 500 == 0: s.bind(('10.11.1.%d' % (20 + n // 500 % 10), 0))
          try: s.sendto(b'denied', ('45.83.64.10', 1000 + n % 60000))
          except OSError: pass
      `,
      {},
      60_000,
    );
    await s.holds(1);
    assert.deepEqual(await s.silent(), []);
    await gateway.kill('SIGCONT');
    gateway.child.kill('SIGCONT');
    await s.recovers('a flood');
    await s.holds(1);
  });

  test('runs on the same host, and it is started anew meanwhile: none disturbs another', async () => {
    const policy = agentPolicy({ web: { it: ['example.com'] }, rules: ['web: [it], protocol: tcp, ports: [443]'] });
    const command = [
      'sh',
      '-c',
      'for i in 1 2 3 4 5 6; do curl -sS -m 5 -o /dev/null -w "%{http_code} " https://example.com/; curl -sS -m 2 https://github.com/; sleep 0.4; done',
    ];
    await s.recovers('before');
    const runs = Promise.all([1, 2, 3].map(() => runContained(s.lab, { policy, command, options: ['--quiet'] })));
    await pause(800);
    await end('SIGKILL');
    gateway = await s.start();
    assert.deepEqual(await s.silent(), []);
    for (const { stdout } of await runs) assert.equal(stdout, '200 '.repeat(6));
    await s.recovers('runs that came and went');
    await s.holds();
  });
});
