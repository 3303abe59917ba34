/**
 * Ways out that are not packets of the agent at all: another route, tampering with the enforcement, and services of the host that
 * would act for it. Each is tried by an ordinary user through `cofferdam run`, after it was seen to work for that user outside.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { type Attacker, type ContainedAttacker, containedAttacker, eventually, freeAttacker } from './attacker.ts';
import { cofferdam, containedUnavailable } from './contained.ts';

const user = 61_234;
const policy = agentPolicy({
  web: { permitted: ['example.com'] },
  rules: ['web: [permitted], protocol: tcp, ports: [443]'],
});

const dropTo = (uid: number) => ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--'];
/** A system call by number on x86-64 and arm64; the value is its result, and it raises where that is an error. */
const systemCall = `
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *words):
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(w) if isinstance(w, int) else w for w in words])
    if value < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value
`;

describe('ways around the network', { skip: containedUnavailable(), timeout: 110_000 }, () => {
  let lab: Lab;
  let free: Attacker;
  let agent: ContainedAttacker;
  let root: ContainedAttacker;
  let scratch: string;

  before(async () => {
    lab = await startLab({ daemons: ['resolver', 'resolver2'] });
    scratch = await mkdtemp(join(tmpdir(), 'cofferdam-e2e-'));
    await chmod(scratch, 0o777);
    free = await freeAttacker(lab, 'host');
    // Of the same user as the contained one, and not contained.
    await free.run('os.setgroups([]); os.setgid(args["user"]); os.setuid(args["user"])', { user });
  });
  after(async () => {
    await agent?.stop();
    await root?.stop();
    await lab?.stop();
    if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
  });

  describe('while services of the host listen', () => {
    const sockets = (): readonly string[] => [
      '/run/docker.sock',
      '/run/containerd/containerd.sock',
      '/run/dbus/system_bus_socket',
      `/run/user/${user}/bus`,
      `/run/user/${user}/systemd/private`,
      `/tmp/tmux-${user}/default-cofferdam-e2e`,
      join(scratch, 'agent.sock'),
      '@cofferdam-e2e',
    ];
    before(async () => {
      const service = await freeAttacker(lab, 'host');
      await service.run(
        `
        heard = []
        def serve_at(path):
            if not path.startswith('@'): os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.exists(path): os.unlink(path)
            s = socket.socket(socket.AF_UNIX)
            s.bind('\\0' + path[1:] if path.startswith('@') else path)
            s.listen()
            if not path.startswith('@'): os.chmod(path, 0o777)
            def loop():
                while True:
                    c, _ = s.accept()
                    heard.append(path)
                    c.sendall(b'at your service')
                    c.close()
            threading.Thread(target=loop, daemon=True).start()
        for path in args['paths']: serve_at(path)
        `,
        { paths: sockets() },
      );
      // After the sockets are there, as on any host; its own socket of an ssh-agent is named in its environment.
      agent = await containedAttacker(lab, {
        policy,
        user,
        env: { SSH_AUTH_SOCK: join(scratch, 'agent.sock'), DOCKER_HOST: 'unix:///run/docker.sock' },
      });
      root = await containedAttacker(lab, { policy });
    });
    after(() => rm(`/tmp/tmux-${user}`, { recursive: true, force: true }));

    test('their sockets', async () => {
      const knock = `
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(2)
        path = args['path']
        s.connect('\\0' + path[1:] if path.startswith('@') else path)
        result = s.recv(100).decode()
      `;
      for (const path of sockets()) {
        assert.equal(await free.run<string>(knock, { path }), 'at your service', `control: ${path}`);
        for (const [who, contained] of Object.entries({ agent, root })) {
          const outcome = await contained.attempt<string>(knock, { path });
          assert.ok('error' in outcome, `${who} reached ${path}`);
        }
      }
      assert.equal(await agent.run<string | null>(`result = os.environ.get('SSH_AUTH_SOCK')`), null);
    });

    test('processes outside of the same user', async () => {
      const victim = lab.spawn('host', [...dropTo(user), 'sleep', '300']);
      try {
        const touch = `
          reached = []
          for pid in range(2, 3000):
              try:
                  if open('/proc/%d/cmdline' % pid, 'rb').read().split(b'\\0')[0] == b'sleep':
                      os.kill(pid, 0)
                      reached.append(pid)
              except OSError: pass
          result = reached
        `;
        await eventually('control: outside it is found', async () => (await free.run<number[]>(touch)).length === 1);
        for (const contained of [agent, root]) {
          assert.deepEqual(await contained.run<number[]>(touch), []);
          const calls = await contained.run<string[]>(
            `${systemCall}
result = []
for pid in range(2, 3000):
    # pidfd_open, and ptrace(PTRACE_ATTACH): by number, whatever /proc shows
    for number, words in ((434, (pid, 0)), (101 if os.uname().machine == 'x86_64' else 117, (16, pid, 0, 0))):
        if pid in (os.getpid(), os.getppid()): continue
        try:
            call(number, *words)
            name = open('/proc/%d/comm' % pid).read().strip() if os.path.exists('/proc/%d' % pid) else '?'
            result.append('%d of %d %s' % (number, pid, name))
        except OSError: pass
`,
          );
          assert.deepEqual(
            calls.filter((text) => !/ (python3|sh|setpriv|env|bwrap)$/.test(text)),
            [],
            'only its own sandbox is there',
          );
          const seen = await contained.run<string[]>(
            `result = [open('/proc/%s/cmdline' % p).read() for p in os.listdir('/proc') if p.isdigit()]`,
          );
          assert.ok(
            seen.every((line) => !line.includes('main.ts') && !line.startsWith('sleep')),
            'neither of the host nor of ours',
          );
        }
        assert.equal(victim.child.exitCode, null);
      } finally {
        await victim.kill('SIGKILL');
      }
    });

    test('sockets that are no packets: vsock, netlink families, io_uring', async () => {
      const families = { vsock: 40, alg: 38, bluetooth: 31, can: 29, tipc: 30, xdp: 44, packet: 17, rds: 21 };
      for (const [name, family] of Object.entries(families)) {
        const outcome = await agent.attempt(
          `socket.socket(args['family'], socket.SOCK_DGRAM if args['family'] != 44 else socket.SOCK_RAW, 0)`,
          { family },
        );
        assert.ok('error' in outcome, name);
      }
      const calls = {
        io_uring_setup: [425, 425],
        bpf: [321, 280],
        perf_event_open: [298, 241],
        userfaultfd: [323, 282],
        keyctl: [250, 219],
      };
      for (const [name, numbers] of Object.entries(calls)) {
        const outcome = await agent.attempt<number>(
          `${systemCall}\nresult = call(args['numbers'][os.uname().machine != 'x86_64'], 0, 0, 0, 0, 0)`,
          { numbers },
        );
        assert.ok(
          'error' in outcome && ['EPERM', 'ENOSYS', 'EACCES'].includes(outcome.number),
          `${name}: ${JSON.stringify(outcome)}`,
        );
      }
    });

    test('a user namespace, which any process may make, gives power over a network of its own and over no other', async () => {
      const inside = (code: string) => `${systemCall}
unshare = lambda flags: call(272 if os.uname().machine == 'x86_64' else 97, flags)
setns = lambda path, kind: call(308 if os.uname().machine == 'x86_64' else 268, os.open(path, os.O_RDONLY), kind)
r, w = os.pipe()
if os.fork() == 0:
    try:
        unshare(0x10000000)
        assert 'CapEff:\\t000001' in open('/proc/self/status').read()
${code.trim().replaceAll(/^ */gm, '        ')}
        answer = 'done'
    except OSError as e: answer = errno.errorcode[e.errno]
    except Exception as e: answer = repr(e)
    os.write(w, answer.encode())
    os._exit(0)
result = os.read(r, 1000).decode()
os.wait(); os.close(r); os.close(w)
`;
      const attacks: Readonly<Record<string, string>> = {
        'a raw socket in the network of the agent': `socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)`,
        'a mark': `socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack('I', 0xcd010000))`,
        'a frame in the network of the agent': `socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)`,
        'a transparent socket': `socket.socket().setsockopt(socket.IPPROTO_IP, 19, 1)`,
        'the network of process 1': `setns('/proc/1/ns/net', 0x40000000)`,
        'the mounts of process 1': `setns('/proc/1/ns/mnt', 0x20000)`,
        'a way out of a network of its own': `unshare(0x40000000)\nsocket.create_connection(('45.83.64.10', 443), 2)`,
        'a file system of the kernel': `unshare(0x20000)\nif libc.mount(b'none', b'/mnt', b'bpf', 0, None): raise OSError(ctypes.get_errno(), '')`,
      };
      for (const contained of [agent, root]) {
        assert.equal(await contained.run<string>(inside('pass')), 'done', 'control: one can be made');
        for (const [what, code] of Object.entries(attacks)) {
          const outcome = await contained.run<string>(inside(code));
          assert.match(outcome, /^E[A-Z]+$/, what);
        }
        // Commands that would change the network of the agent, as root of that namespace.
        const words = `import subprocess
result = subprocess.run(['unshare', '--user', '--map-root-user', 'sh', '-c', 'ip route add 45.83.64.0/24 dev eth0 || ip link set eth0 address 02:00:00:00:00:01 || nft add table inet mine || tc qdisc add dev eth0 clsact'], capture_output=True, text=True).returncode`;
        assert.notEqual(await contained.run<number>(words), 0);
      }
    });

    test('other routes, interfaces and filters', async () => {
      const output = (argv: readonly string[]) =>
        `import subprocess\np = subprocess.run(${JSON.stringify(argv)}, capture_output=True, text=True)\nresult = {'code': p.returncode, 'out': p.stdout, 'err': p.stderr}`;
      interface Ran {
        readonly code: number;
        readonly out: string;
        readonly err: string;
      }
      for (const contained of [agent, root]) {
        const links = await contained.run<Ran>(output(['ip', '-br', 'link']));
        assert.deepEqual(
          links.out
            .trim()
            .split('\n')
            .map((line) => line.split(/[@ ]/)[0]),
          ['lo', 'eth0'],
        );
        const routes = await contained.run<Ran>(output(['ip', 'route']));
        assert.match(routes.out, /^default via 198\.18\.0\.1 dev eth0/m);
        assert.equal(routes.out.trim().split('\n').length, 2);
        for (const words of [
          'ip route add 45.83.64.0/24 dev eth0',
          'ip route replace default via 198.18.0.6',
          'ip address add 198.18.0.3/29 dev eth0',
          'ip link set eth0 address 02:00:00:00:00:01',
          'ip link add veth9 type veth',
          'ip tuntap add tap9 mode tap',
          'ip neigh replace 198.18.0.1 lladdr 02:00:00:00:00:01 dev eth0',
          'ip rule add from all lookup 9',
          'nft flush ruleset',
          'nft add table inet mine',
          'iptables -P OUTPUT ACCEPT',
          'tc qdisc add dev eth0 clsact',
          'tc qdisc del dev eth0 clsact',
          'ip netns add mine',
          'sysctl -w net.ipv4.ip_forward=1',
          'mount -t tmpfs none /mnt',
          'bpftool prog list',
          'ip -batch /dev/null -netns x',
        ]) {
          const argv = words.split(' ');
          const ran = await contained.attempt<Ran>(output(argv));
          assert.ok('error' in ran || ran.value.code !== 0, words);
        }
        const bound = await contained.attempt(
          `s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack('I', 0xcd010000))`,
        );
        assert.ok('error' in bound && bound.number === 'EPERM', 'a mark of its own');
      }
    });

    test('programs that would give privileges', async () => {
      // Not below /tmp, which the contained have to themselves.
      const program = join(lab.directory, 'id');
      await copyFile('/usr/bin/id', program);
      await chmod(program, 0o4755);
      const whoami = `import subprocess; result = subprocess.run([args['program'], '-u'], capture_output=True, text=True).stdout.strip()`;
      assert.equal(await free.run<string>(whoami, { program }), '0', 'control: a set-user-id program gives root');
      assert.equal(await agent.run<string>(whoami, { program }), String(user));
      const state = await agent.run<string>(`result = open('/proc/self/status').read()`);
      for (const line of ['CapEff', 'CapPrm', 'CapBnd', 'CapAmb', 'CapInh'])
        assert.match(state, new RegExp(`^${line}:\\t0+$`, 'm'));
      assert.match(state, /^NoNewPrivs:\t1$/m);
      const rootState = await root.run<string>(`result = open('/proc/self/status').read()`);
      for (const line of ['CapEff', 'CapPrm', 'CapBnd']) assert.match(rootState, new RegExp(`^${line}:\\t0+$`, 'm'));
    });

    test('work that others would do later: cron, units, profiles, the policy and program of the next run', async () => {
      const places = [
        '/etc/cron.d/cofferdam-e2e',
        '/var/spool/cron/crontabs/root',
        `/var/spool/cron/crontabs/${user}`,
        '/etc/systemd/system/cofferdam-e2e.service',
        '/etc/profile.d/cofferdam-e2e.sh',
        '/etc/ld.so.preload',
        '/run/cofferdam/runs/x',
        '/sys/fs/bpf/x',
        '/proc/sys/kernel/core_pattern',
        cofferdam,
      ];
      const write = `
        written = []
        for path in args['places']:
            try:
                with open(path, 'a') as f: f.write('')
                written.append(path)
            except OSError: pass
        result = written
      `;
      // In the private places the file is made where nobody else sees it: what counts is the host's.
      for (const contained of [agent, root]) {
        await contained.run<string[]>(write, { places: places.slice(0, -2) });
        assert.deepEqual(
          await contained.run<string[]>(write, {
            places: ['/etc/ld.so.preload', '/etc/cron.d/cofferdam-e2e', '/proc/sys/kernel/core_pattern', cofferdam],
          }),
          [],
        );
      }
      for (const path of [
        '/etc/cron.d/cofferdam-e2e',
        `/var/spool/cron/crontabs/${user}`,
        '/etc/systemd/system/cofferdam-e2e.service',
        '/etc/profile.d/cofferdam-e2e.sh',
        '/etc/ld.so.preload',
      ])
        assert.ok(!existsSync(path), path);
    });
  });
});
