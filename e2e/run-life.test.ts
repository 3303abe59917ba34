/** The life of `cofferdam run` on a host: what it passes on, what it changes for the time being, and that nothing of it stays. */
import assert from 'node:assert/strict';
import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { FlowRecord } from '@cofferdam/flows';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { type Attacker, containedAttacker, freeAttacker, python } from './attacker.ts';
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
      assert.match(refused.stderr, /needs root[\s\S]*help: run it with sudo/);
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
    const flows = records.filter((record): record is FlowRecord => record.kind === 'flow');
    const would = (name: string) =>
      flows
        .filter((flow) => (flow.addressNames as readonly string[]).includes(name))
        .map(({ wouldBe }) => (wouldBe === undefined || wouldBe === 'unknown' ? wouldBe : wouldBe.verdict));
    assert.ok(would('www.example.com').includes('deny'));
    assert.ok(would('example.com').every((verdict) => verdict === 'permit'));
  });

  test('a flood of denials: the first are recorded, the rest counted, and what is permitted goes on', async () => {
    const since = await lab.mark();
    const attempts = 8000;
    // Each is a flow of its own: another port of the same server.
    const script = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(${attempts}):
    try: s.sendto(b'denied', ('45.83.64.10', 2000 + n))
    except OSError: pass
`;
    const { code, stdout, stderr, records } = await run({
      command: ['sh', '-c', `${python} -c "$0"; sleep 1; ${fetch('https://example.com/').join(' ')}`, script],
    });
    assert.deepEqual([code, stdout], [0, '200']);
    const denied = records.filter((one) => one.kind === 'flow' && one.reason === 'no-rule');
    const counted = records.flatMap((one) =>
      one.kind === 'suppressed' && one.reason === 'no-rule' ? [one.count] : [],
    );
    const suppressed = counted.reduce((sum, count) => sum + count, 0);
    assert.ok(denied.length >= 400, `control: ${denied.length} have a record`);
    assert.ok(denied.length <= 2000, `${denied.length} have a record`);
    assert.ok(suppressed > 1000, `${suppressed} were counted`);
    assert.ok(denied.length + suppressed <= attempts);
    assert.ok(counted.length <= 5, 'now and then, not each time');
    assert.match(stderr, /\d+ more were denied too fast to be written one by one \(no-rule/);
    assert.match(stderr, new RegExp(`DENIED +\\(not recorded\\) +${suppressed} +no-rule`));
    assert.deepEqual(await lab.arrivals({ since, server: 'attacker' }), []);
  });

  test('an address that the host gets while a command runs is not dialled, and one without carrier is known from the start', async () => {
    const own = (names: string): string => `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: prober }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: inside }
spec: { any: [{ cidr: 10.77.0.0/16 }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: names }
spec: { domains: [${names}] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: prober }
spec:
  rules:
    - { name: inside, action: permit, from: [agents], to: [inside], web: [names], protocol: tcp, ports: [80] }
`;
    const request = `
      with socket.create_connection((args['to'], 80), 3) as s:
          s.sendall(b'GET / HTTP/1.1\\r\\nHost: svc.example\\r\\n\\r\\n')
          s.settimeout(2)
          try: result = s.recv(100).decode()
          except OSError as e: result = errno.errorcode.get(e.errno, 'silent')
    `;
    const seen = () => host.run<unknown[]>('result = recorders[7].seen()');
    await lab.setRecord('svc.example', ['10.77.0.1']);
    const agent = await containedAttacker(lab, { policy: own('svc.example') });
    // Without carrier, as the bridge of a container engine without containers.
    const link = 'link add bare0 type veth peer name bare1';
    for (const words of [link, 'address add 10.77.0.1/24 dev bare0', 'link set bare0 up'])
      await onHost('ip', ...words.split(' '));
    try {
      await host.run(
        `recorders[7] = Recorder('10.77.0.1', 80, speak=b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')`,
      );
      assert.match(await host.run<string>(request, { to: '10.77.0.1' }), /200 OK/, 'control: it answers the host');
      assert.match(await onHost('ip', 'link', 'show', 'bare0'), /NO-CARRIER/, 'control');
      const before = (await seen()).length;
      assert.equal(before, 1, 'control');
      const synthetic = await agent.run<string>(`result = socket.gethostbyname('svc.example')`);
      assert.equal(await agent.run<string>(request, { to: synthetic }), 'ECONNRESET');
      assert.equal((await seen()).length, before);
      await agent.stop();
      const refused = (await agent.process.records()).find((one) => one.kind === 'flow' && one.verdict === 'deny');
      assert.equal(refused?.reason, 'gateway-port');

      const later = await run({ policy: own('svc.example'), command: ['getent', 'ahostsv4', 'svc.example'] });
      assert.notEqual(later.code, 0);
      assert.ok(
        later.records.some(({ reason }) => reason === 'dns-address-denied'),
        later.stderr,
      );
    } finally {
      await agent.stop();
      await onHost('ip', 'link', 'delete', 'bare0');
    }
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
