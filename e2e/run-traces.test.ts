/** What runs change on their host for the time being, and that nothing of it stays, however they end. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { type ContainedAttacker, containedAttacker, descendantsOf, eventually, isGone } from './attacker.ts';
import { type ContainedOptions, containedUnavailable, runContained, startContained } from './contained.ts';
import { counted, fetch, hostState as readHostState, onHost as succeedOnHost } from './host-state.ts';

const permitting = (...names: readonly string[]): string =>
  agentPolicy({ web: { permitted: names }, rules: ['web: [permitted], protocol: tcp, ports: [80, 443]'] });
const policy = permitting('example.com');

describe('traces of a run', { skip: containedUnavailable(), timeout: 100_000 }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab({ daemons: ['resolver', 'resolver2'] });
  });
  after(() => lab?.stop());

  const run = (options: Partial<ContainedOptions> & { readonly command: readonly string[] }) =>
    runContained(lab, { policy, user: 61_234, ...options });
  const onHost = (...argv: readonly string[]) => succeedOnHost(lab, ...argv);
  const hostState = () => readHostState(lab);

  describe('leaves the host as it was', () => {
    /** What a container engine and an administrator have there: chains that would drop what a run sends. */
    const foreign = `
      table ip filter {
        chain FORWARD {
          type filter hook forward priority filter; policy drop;
          iifname "docker0" counter packets 0 bytes 0 accept comment "of an engine"
        }
        chain DOCKER-USER {
          counter packets 0 bytes 0 return
        }
      }
      table ip6 filter {
        chain FORWARD {
          type filter hook forward priority filter; policy drop;
        }
      }
      table inet firewall {
        set trusted {
          type ipv4_addr
          elements = { 10.0.0.1 }
        }
        chain forward {
          type filter hook forward priority 10; policy drop;
          ip saddr @trusted accept
        }
        chain input {
          type filter hook input priority filter; policy accept;
          ct state established,related accept
          iifname "lo" accept
          icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
      }
    `;
    const withForeign = async (work: () => Promise<void>): Promise<void> => {
      const loaded = await lab.exec('host', ['nft', '-f', '-'], { input: foreign });
      assert.equal(loaded.code, 0, loaded.stderr);
      try {
        await work();
      } finally {
        await onHost('nft', 'flush', 'ruleset');
      }
    };
    test('at its end, and by the next start after it was killed', async () => {
      await withForeign(async () => {
        const before = counted(await hostState());
        const result = await run({ command: fetch('https://example.com/', 'http://example.com/') });
        assert.equal(result.stdout, '200 200 ', `past chains with policy drop: ${result.stderr}`);
        assert.equal(counted(await hostState()), before);

        const agent = await containedAttacker(lab, { policy, options: ['--quiet'] });
        const during = await hostState();
        assert.notEqual(counted(during), before, 'control: while it runs there is something to see');
        assert.match(during, /comment "cofferdam:/);
        const objects = (pid: number): readonly string[] =>
          readdirSync(`/proc/${pid}/fdinfo`).flatMap(
            (fd) =>
              /^(?:prog|map)_id:\s*\d+$/m
                .exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[0]
                .replace(/_id:\s*/, ' ') ?? [],
          );
        const held = objects(agent.pid);
        assert.ok(held.length > 5, 'control');
        const all = descendantsOf(agent.pid);
        process.kill(agent.pid, 'SIGKILL');
        await eventually('its processes are gone', () => all.every(isGone));
        await eventually('programs and tables are gone from the kernel', async () => {
          const shown = await Promise.all(
            held.map((object) =>
              lab.exec('host', ['bpftool', object.split(' ')[0]!, 'show', 'id', object.split(' ')[1]!]),
            ),
          );
          return shown.every(({ code }) => code !== 0);
        });
        assert.match(await hostState(), /table inet cofferdam_/, 'what only we can take away is still there');
        assert.equal((await run({ command: fetch('https://example.com/') })).stdout, '200 ');
        assert.equal(counted(await hostState()), before);
      });
    });

    test('after a command that could not be started, and after a signal', async () => {
      const before = await hostState();
      assert.equal((await run({ command: ['no-such-command'] })).code, 127);
      assert.equal(await hostState(), before);
      const started = await startContained(lab, { policy, command: ['sh', '-c', 'echo ready; exec sleep 100'] });
      await started.waitFor(/ready/);
      await started.kill('SIGTERM');
      assert.equal((await started.ended).code, 143);
      assert.equal(await hostState(), before);
    });

    test('a host that routes for others goes on doing so', async () => {
      await onHost('sysctl', '-qw', 'net.ipv4.ip_forward=1');
      const before = await hostState();
      assert.equal((await run({ command: fetch('https://example.com/') })).stdout, '200 ');
      assert.equal(await hostState(), before);
      await onHost('sysctl', '-qw', 'net.ipv4.ip_forward=0');
    });
  });

  test('several at once: each has its own policy, and none ends another', async () => {
    const before = await hostState();
    const names = ['example.com', 'github.com', 'registry.example'] as const;
    const runs = await Promise.all(
      names.map((name) => containedAttacker(lab, { policy: permitting(name), options: ['--quiet'] })),
    );
    const reaches = (agent: ContainedAttacker, name: string): Promise<boolean> =>
      agent.run<boolean>(`
        try:
            tls = Tls('${name}')
            s = dial('${name}', 443)
            s.sendall(tls.hello)
            result = tls.get(s) == 200
        except OSError: result = False
      `);
    const check = async (alive: readonly number[]): Promise<void> => {
      for (const i of alive)
        assert.deepEqual(
          await Promise.all(names.map((name) => reaches(runs[i]!, name))),
          names.map((_, j) => i === j),
        );
    };
    await check([0, 1, 2]);
    await runs[0]!.stop();
    await check([1, 2]);
    process.kill(runs[1]!.pid, 'SIGKILL');
    await runs[1]!.process.ended;
    assert.equal(
      (await run({ command: fetch('https://example.com/') })).stdout,
      '200 ',
      'a new start cleans up beside a live one',
    );
    await check([2]);
    await runs[2]!.stop();
    assert.equal(await hostState(), before);
  });
});
