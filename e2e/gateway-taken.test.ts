/**
 * Parts of a gateway of a network are taken away while agents attack: its programs, its tables, its netfilter, its link, its state under /run,
 * and its place by a second gateway. Nothing opens, and it comes back.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { eventually, runProcess } from './attacker.ts';
import { cofferdam, containedUnavailable } from './contained.ts';
import { type GatewaySiege, siegePolicy, startSiege } from './gateway-siege.ts';

const skip = containedUnavailable();
const held = '/run/cofferdam/gateway/gateway/netns';

describe('taken from a gateway of a network', { skip, timeout: 280_000 }, () => {
  let s: GatewaySiege;
  let gateway: LabProcess;

  const again = async (): Promise<void> => {
    await gateway.kill('SIGKILL');
    await gateway.ended;
    gateway = await s.start();
  };
  const inside = async (...argv: string[]): Promise<void> => {
    const { code, stderr } = await s.inside(argv);
    assert.equal(code, 0, stderr);
  };
  const onHost = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await s.lab.exec('host', argv);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  /** While our process stands still, so that it mends nothing. */
  const frozen = async (work: () => Promise<void>): Promise<void> => {
    await gateway.kill('SIGSTOP');
    try {
      await work();
    } finally {
      await gateway.kill('SIGCONT');
      // nsenter, which waits for it, has stopped itself with it.
      gateway.child.kill('SIGCONT');
    }
  };

  before(async () => {
    s = await startSiege();
    await s.write(siegePolicy());
    gateway = await s.fresh();
  });
  after(() => s?.stop());

  test('nothing: our process is frozen, live flows go on, and nothing opens', async () => {
    await frozen(async () => {
      await s.holds();
      assert.deepEqual(await s.silent(), []);
    });
  });

  for (const [what, argv, stillSpeak] of [
    ['from agents', ['tc', 'filter', 'del', 'dev', 'eth1', 'ingress'], 0],
    // What another agent answers was judged where it came in.
    ['toward agents', ['tc', 'filter', 'del', 'dev', 'eth1', 'egress'], 2],
    ['with all of their discipline', ['tc', 'qdisc', 'del', 'dev', 'eth1', 'clsact'], 0],
  ] as const)
    test(`its programs ${what}: closed, until our process puts them back`, async () => {
      await s.recovers('before');
      const all = 6;
      await frozen(async () => {
        await inside(...argv);
        await s.holds();
        assert.equal((await s.silent(1)).length, all - stillSpeak);
        await s.holds();
      });
      await gateway.waitFor(/somebody changed the gateway: the program on eth1 was gone/);
      await s.recovers('programs that are back');
      await s.holds();
    });

  test('its programs, with nobody left: closed, until the next start', async () => {
    await gateway.kill('SIGKILL');
    await gateway.ended;
    for (const device of ['eth1', 'eth2']) await inside('tc', 'qdisc', 'del', 'dev', device, 'clsact');
    await s.holds();
    assert.equal((await s.silent(1)).length, 6);
    gateway = await s.start();
    await s.recovers('a start without programs');
    await s.holds();
  });

  /** Tables that our process holds, by their ids. */
  const tables = (): readonly number[] => {
    const pid = runProcess(gateway.child.pid!);
    assert.ok(pid !== undefined);
    const ids = readdirSync(`/proc/${pid}/fdinfo`).map(
      (fd) => /^map_id:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1],
    );
    return [...new Set(ids.filter((id) => id !== undefined).map(Number))];
  };
  const shown = async (id: number) =>
    JSON.parse(await onHost('bpftool', '-j', 'map', 'show', 'id', String(id))) as {
      readonly name: string;
      readonly type: string;
      readonly bytes_value: number;
    };

  test('what is in its tables: closed, until the next start', async () => {
    await s.recovers('before');
    await frozen(async () => {
      const emptied: string[] = [];
      for (const id of tables()) {
        const { name, type } = await shown(id);
        if (!['hash', 'lpm_trie', 'hash_of_maps', 'lru_hash'].includes(type)) continue;
        const entries = JSON.parse((await onHost('bpftool', '-j', 'map', 'dump', 'id', String(id))) || '[]') as {
          readonly key: readonly string[];
        }[];
        const lines = entries
          .slice(0, 2000)
          .map(({ key }) => `map delete id ${id} key hex ${key.map((byte) => byte.slice(2)).join(' ')}\n`);
        if (lines.length === 0) continue;
        const { code } = await s.lab.exec('host', ['bpftool', 'batch', 'file', '-'], { input: lines.join('') });
        // A flow that ends by itself meanwhile ends the batch.
        if (code === 0 || name === 'flows') emptied.push(name);
        assert.deepEqual((await s.arrived()).slice(0, 5), [], `without ${name}`);
      }
      assert.ok(emptied.includes('agents'), emptied.join());
      assert.ok(emptied.length >= 5, emptied.join());
      await s.holds();
      assert.equal((await s.silent(1)).length, 6);
    });
    await again();
    await s.recovers('a start with empty tables');
    await s.holds();
  });

  test('the word that says which plan is in force: closed, until the next start', async () => {
    await frozen(async () => {
      let zeroed = 0;
      for (const id of tables()) {
        const { name, bytes_value } = await shown(id);
        if (name !== 'control') continue;
        const zeros = Array.from({ length: bytes_value }, () => '0');
        await onHost('bpftool', 'map', 'update', 'id', String(id), 'key', '0', '0', '0', '0', 'value', ...zeros);
        zeroed += 1;
      }
      assert.equal(zeroed, 1);
      await s.holds();
      assert.equal((await s.silent(1)).length, 6);
    });
    await again();
    await s.recovers('a start without a plan');
    await s.holds();
  });

  for (const words of [
    'delete table inet cofferdam',
    'flush ruleset',
    'flush table inet cofferdam',
    'flush chain inet cofferdam classify',
    'flush chain inet cofferdam forward',
    'flush chain inet cofferdam input',
    'flush map inet cofferdam real4',
  ])
    test(`its netfilter (${words}): closed, until the next start`, async () => {
      await inside('nft', ...words.split(' '));
      await s.holds(1);
      if (/table|ruleset/.test(words) && !words.startsWith('flush table'))
        await gateway.waitFor(/netfilter rules are gone: nothing new passes until it is started again/);
      await again();
      await s.recovers('a start without netfilter');
      await s.holds(1);
    });

  test('its link to the host: nobody gets out, until our process makes another', async () => {
    await frozen(async () => {
      const links = await onHost('ip', '-br', 'link');
      const link = /^(cfd[0-9a-f]+)@/m.exec(links)?.[1];
      assert.ok(link !== undefined, links);
      await onHost('ip', 'link', 'delete', link);
      await s.holds();
      assert.equal((await s.silent(1)).length, 4, 'agents reach each other');
    });
    await gateway.waitFor(/its link to the host was gone/);
    await s.recovers('another link');
    await s.holds();
    await inside('ip', 'link', 'set', 'up0', 'down');
    await s.holds(1);
    await inside('ip', 'link', 'set', 'up0', 'up');
    await s.recovers('a link that was down');
    await onHost(
      'sh',
      '-c',
      'for link in $(ls /sys/class/net | grep ^cfd); do ip link set $link down; sleep 0.5; ip link set $link up; done',
    );
    await s.recovers('a link whose other end was down');
    await s.holds(1);
  });

  test('/run/cofferdam, what holds its namespace too: it goes on, and is held again', async () => {
    await s.recovers('before');
    await frozen(async () => {
      await onHost('sh', '-c', `umount -l ${held} && rm -rf /run/cofferdam`);
      await s.holds(1);
      assert.deepEqual(await s.silent(), []);
    });
    await eventually('it is held again', async () => (await s.lab.exec('host', ['mountpoint', '-q', held])).code === 0);
    await again();
    assert.match(gateway.stderr(), /goes on/);
    assert.deepEqual(await s.silent(), [], 'live flows outlived it');
    await s.holds(1);
    await onHost('rm', '-rf', '/run/cofferdam/runs');
    await eventually('its records are kept again', async () => {
      await s.lab.exec('host', ['true']);
      return /gateway/.test((await s.lab.exec('host', ['sh', '-c', 'cat /run/cofferdam/runs/*/run.json'])).stdout);
    });
  });

  describe('its place', () => {
    const refused = async (words: readonly string[], why: RegExp): Promise<void> => {
      const { code, stderr, timedOut } = await s.lab.exec('host', [cofferdam, ...words], { timeout: 10_000 });
      assert.ok(!timedOut, 'it stands');
      assert.notEqual(code, 0);
      assert.match(stderr, why);
      assert.deepEqual(await s.silent(), []);
      assert.equal(gateway.child.exitCode, null);
    };

    test('by one of the same name', async () => {
      await refused(s.words(), /another process is serving this gateway already/);
      await refused(['gateway', 'remove'], /a process is serving this gateway: end it first/);
      const { stdout } = await s.lab.exec('host', ['sh', '-c', 'cat /run/cofferdam/runs/*/run.json']);
      assert.equal((JSON.parse(stdout) as { pid: number }).pid > 0, true);
      await s.write(siegePolicy());
      await gateway.kill('SIGHUP');
      await gateway.waitFor(/reloaded: 3 rules in force/);
      await s.recovers('another that was refused');
      await s.holds(1);
    });

    test('by one of another name, with the same interfaces', async () => {
      await refused(s.words(['--name', 'other']), /no interface `eth1` here[\s\S]*the gateway `gateway` has it/);
      await s.recovers('another that was refused');
      await s.holds(1);
    });

    for (const [what, names] of [
      ['of one name', ['gateway', 'gateway', 'gateway']],
      ['of different names', ['gateway', 'other', 'third']],
    ] as const)
      test(`by others ${what} at the same moment: one stands`, async () => {
        await gateway.kill('SIGTERM');
        await gateway.ended;
        await s.clear();
        const all = names.map((name) => s.lab.spawn('host', [cofferdam, ...s.words(['--name', name])]));
        const stood = await Promise.all(
          all.map((one) =>
            one.waitFor(/gateway \w+ stands: .*rule/).then(
              () => true,
              () => false,
            ),
          ),
        );
        assert.equal(stood.filter(Boolean).length, 1, all.map((one) => one.stderr()).join('\n'));
        const first = stood.indexOf(true);
        for (const [i, one] of all.entries())
          if (i !== first) assert.match(one.stderr(), /has it|already|here: there are/);
        await pause(100);
        await s.forgive();
        await s.recovers('the one that stands');
        await s.holds(1);
        await all[first]!.kill('SIGTERM');
        await all[first]!.ended;
        const removed = await s.lab.exec('host', [cofferdam, 'gateway', 'remove', '--name', names[first]!]);
        assert.equal(removed.code, 0, removed.stderr);
        gateway = await s.fresh();
      });
  });
});
