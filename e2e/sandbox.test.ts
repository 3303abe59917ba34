/** Escapes that the sandbox must hold, tried as an ordinary user; each is first shown to work outside. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { arch } from 'node:os';
import { after, before, describe, test } from 'node:test';
import {
  attack,
  collect,
  connectAttack,
  type InsideOptions,
  isInstalled,
  python,
  type SandboxLab,
  sandboxUnavailable,
  startSandboxLab,
} from './sandbox-lab.ts';

const skip = sandboxUnavailable();

describe('escapes from the sandbox', { skip }, () => {
  let lab: SandboxLab;
  before(() => {
    lab = startSandboxLab();
  });
  after(() => lab?.stop());

  /** Works outside, is held inside. */
  async function holds(command: readonly string[], options: InsideOptions = {}): Promise<string> {
    const control = await lab.outside(command, options.env);
    assert.match(control.stdout, /^escaped$/m, `the attack does not work outside: ${control.stdout}${control.stderr}`);
    const tried = await lab.inside(command, options);
    assert.match(tried.stdout, /^contained/m, `stdout: ${tried.stdout} stderr: ${tried.stderr}`);
    assert.doesNotMatch(tried.stdout, /^escaped/m);
    return tried.stdout;
  }

  describe('Unix sockets', () => {
    const mark = `cofferdam-${process.pid}`;
    for (const place of ['/run', '/tmp', '/var/tmp', '/var/lib'] as const) {
      test(`a socket in ${place}`, async () => {
        const path = `${lab.directory(`${place}/${mark}`)}/service.sock`;
        await lab.listen(path);
        await holds(connectAttack(path));
      });
    }

    test('a socket in the home directory, also by a link to it', async () => {
      const path = `${lab.home}/service.sock`;
      await lab.listen(path);
      spawnSync('ln', ['-s', path, `${lab.home}/other-name`]);
      await holds(connectAttack(path));
      await holds(connectAttack(`${lab.home}/other-name`));
    });

    test('a socket in the working directory, which lies in /tmp and is brought back', async () => {
      const work = lab.directory(`/tmp/${mark}-work`);
      await lab.listen(`${work}/service.sock`);
      await holds(connectAttack(`${work}/service.sock`), { cwd: work });
      assert.equal((await lab.inside(['/bin/pwd'], { cwd: work })).stdout, `${work}\n`);
    });

    test('a socket that its server bound by a relative path', async () => {
      const server = lab.background([
        python,
        '-c',
        `import os, socket
s = socket.socket(socket.AF_UNIX); s.bind('relative.sock'); s.listen()
print('ready', flush=True)
while True: s.accept()[0].sendall(b'escaped')`,
      ]);
      await once(server.stdout!, 'data');
      await holds(connectAttack(`${lab.home}/relative.sock`));
    });

    test('a socket of a server in another network namespace', async () => {
      const other = `${lab.network}b`;
      assert.equal(spawnSync('ip', ['netns', 'add', other]).status, 0);
      lab.later(() => spawnSync('ip', ['netns', 'del', other]));
      const path = `${lab.home}/elsewhere.sock`;
      const server = spawn('nsenter', [
        `--net=/run/netns/${other}`,
        python,
        '-c',
        `import os, socket
s = socket.socket(socket.AF_UNIX); s.bind('${path}'); os.chmod('${path}', 0o777); s.listen()
print('ready', flush=True)
while True: s.accept()[0].sendall(b'escaped')`,
      ]);
      lab.later(() => server.kill('SIGKILL'));
      await once(server.stdout, 'data');
      await holds(connectAttack(path));
    });

    test('a socket seen over a second mount of its directory', async () => {
      const first = lab.directory(`${lab.home}/first`);
      const second = lab.directory(`${lab.home}/second`);
      assert.equal(spawnSync('mount', ['--bind', first, second]).status, 0);
      lab.later(() => spawnSync('umount', ['-l', second]));
      await lab.listen(`${first}/service.sock`);
      await holds(connectAttack(`${first}/service.sock`));
      await holds(connectAttack(`${second}/service.sock`));
    });

    test('a datagram socket', async () => {
      const path = `${lab.home}/datagram.sock`;
      const server = lab.background([
        python,
        '-c',
        `import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('${path}'); print('ready', flush=True)
while True: s.recv(100)`,
      ]);
      await once(server.stdout!, 'data');
      await holds(attack(`s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.sendto(b'x', sys.argv[1])`, path));
    });

    test('an abstract socket', async () => {
      await lab.listen(`\0${mark}`);
      await holds(connectAttack(`@${mark}`));
    });

    test('a tmux server of the same user', { skip: isInstalled('tmux') ? false : 'needs tmux' }, async () => {
      const env = { TMUX_TMPDIR: '', SHELL: '/bin/sh', TERM: 'xterm' };
      const started = await lab.outside(['tmux', 'new-session', '-d', '/bin/sleep 600'], env);
      assert.equal(started.code, 0, started.stderr);
      lab.later(() =>
        spawnSync('setpriv', [
          '--reuid',
          String(lab.uid),
          '--clear-groups',
          '--regid',
          String(lab.uid),
          'tmux',
          'kill-server',
        ]),
      );
      const typed = (name: string) =>
        attack(
          `
import subprocess, time
r = subprocess.run(['tmux', 'run-shell', 'touch ' + sys.argv[1]], capture_output=True, text=True)
if r.returncode != 0: raise OSError(0, r.stderr)
for _ in range(100):
    if os.path.exists(sys.argv[1]): return
    time.sleep(0.05)
raise OSError(0, 'nothing was run')`,
          `${lab.home}/${name}`,
        );
      assert.match((await lab.outside(typed('by-tmux-outside'), env)).stdout, /^escaped/);
      assert.match((await lab.inside(typed('by-tmux-inside'), { env })).stdout, /^contained/);
      assert.equal(existsSync(`${lab.home}/by-tmux-inside`), false);
    });

    test('an ssh agent, its socket in the home directory', {
      skip: isInstalled('ssh-agent') ? false : 'needs ssh-agent',
    }, async () => {
      const socket = `${lab.directory(`${lab.home}/.ssh`)}/agent.sock`;
      const agent = lab.background(['ssh-agent', '-D', '-a', socket]);
      await once(agent.stdout!, 'data');
      // The request for identities of the agent protocol: length 1, type 11.
      await holds(
        attack(
          `s = socket.socket(socket.AF_UNIX)\ns.connect(os.environ.get('SSH_AUTH_SOCK', sys.argv[1]))\ns.sendall(b'\\0\\0\\0\\1\\13')\nif s.recv(5)[4] != 12: raise OSError(0, 'no answer')`,
          socket,
        ),
        { env: { SSH_AUTH_SOCK: socket } },
      );
      const left = await lab.inside(['/usr/bin/env'], { env: { SSH_AUTH_SOCK: socket } });
      assert.doesNotMatch(left.stdout, /SSH_AUTH_SOCK/);
    });

    test('a shared socket is reached, with the variable that names it', async () => {
      const path = `${lab.directory(`/run/${mark}`)}/shared.sock`;
      await lab.listen(path);
      const options = { shares: [path], env: { DOCKER_HOST: `unix://${path}` } };
      assert.match((await lab.inside(connectAttack(path), options)).stdout, /^escaped/);
      assert.match((await lab.inside(['/usr/bin/env'], options)).stdout, /^DOCKER_HOST=/m);
      assert.match((await lab.inside(connectAttack(path))).stdout, /^contained/);
    });
  });

  describe('namespaces', () => {
    test('masks survive nested user namespaces', async () => {
      const path = `${lab.home}/masked.sock`;
      await lab.listen(path);
      const attempts = [
        `umount ${path}; umount -l ${path}; umount -l ${lab.home}; umount -R /; umount /run /tmp /proc`,
        `mkdir -p /tmp/m; mount --bind ${lab.home} /tmp/m; umount /tmp/m/masked.sock; mv /tmp/m/masked.sock /tmp/m/moved`,
        `mkdir -p /tmp/m; mount --rbind / /tmp/m; umount -l /tmp/m${path}; chroot /tmp/m umount -l ${path}`,
        `mount --move ${path} /tmp; mount -t tmpfs none /run; mount -o remount,bind,rw ${path}`,
      ];
      for (const attempt of attempts) {
        const inner = `${attempt} 2>/dev/null; exec "$@"`;
        const nested = ['unshare', '-Urm', '--propagation', 'private', '/bin/sh', '-c', inner, 'sh'];
        const tried = await lab.inside([...nested, ...connectAttack(path)]);
        assert.match(tried.stdout, /^contained/, `${attempt}: ${tried.stdout}${tried.stderr}`);
      }
    });

    test('mounting needs a capability that it has not', async () => {
      for (const attempt of [
        ['umount', '/run'],
        ['mount', '-t', 'tmpfs', 'none', '/run'],
        ['mount', '--bind', '/etc', '/run'],
      ]) {
        assert.notEqual((await lab.inside(attempt)).code, 0, attempt.join(' '));
      }
    });

    test('a user namespace of its own can be made (browsers need it)', async () => {
      assert.equal((await lab.inside(['unshare', '-Ur', '/bin/true'])).code, 0);
    });

    test('nsenter finds no namespace outside', async () => {
      const ours = spawnSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }).stdout.trim();
      const script = `
for t in "-t 1" "-t ${process.pid}" "--net=/run/netns/${lab.network}" "--net=/proc/1/ns/net"; do
  for f in "" "-n" "-m" "-n -m -p"; do
    nsenter $t $f readlink /proc/self/ns/net 2>/dev/null; unshare -Ur nsenter $t $f readlink /proc/self/ns/net 2>/dev/null
  done
done; echo tried`;
      const tried = await lab.inside(['/bin/sh', '-c', script]);
      assert.match(tried.stdout, /tried/);
      assert.ok(!tried.stdout.includes(ours), tried.stdout);
    });

    test('the network is the one that was named', async () => {
      const inode = spawnSync('stat', ['-Lc', '%i', `/run/netns/${lab.network}`], { encoding: 'utf8' }).stdout.trim();
      assert.equal((await lab.inside(['readlink', '/proc/self/ns/net'])).stdout.trim(), `net:[${inode}]`);
    });

    test('our own network, and what is no network, are refused', async () => {
      for (const networkNamespace of [
        '/proc/self/ns/net',
        '/proc/self/ns/mnt',
        '/etc/passwd',
        '/run/netns/none-such',
      ]) {
        const tried = await lab.inside(['/bin/echo', 'ran'], { networkNamespace });
        assert.equal(tried.stdout, '', networkNamespace);
        assert.notEqual(tried.code, 0, networkNamespace);
      }
    });
  });

  describe('other processes', () => {
    const victim = `
import ctypes, sys, time
ctypes.CDLL(None).prctl(0x59616d61, -1 & 0xffffffffffffffff, 0, 0, 0)
secret = ctypes.create_string_buffer(b'the secret of the victim')
print(ctypes.addressof(secret), flush=True)
while True: time.sleep(1)`;

    async function startVictim(): Promise<{ readonly pid: string; readonly address: string; alive(): boolean }> {
      const child = lab.background([python, '-c', victim]);
      const [line] = (await once(child.stdout!, 'data')) as [Buffer];
      return {
        pid: String(child.pid),
        address: line.toString().trim(),
        alive: () => child.exitCode === null && child.signalCode === null,
      };
    }

    test('memory of a process of the same user, by /proc', async () => {
      const { pid, address } = await startVictim();
      const body = `
with open(f'/proc/{sys.argv[1]}/mem', 'rb', 0) as memory:
    memory.seek(int(sys.argv[2]))
    if memory.read(10) != b'the secret': raise OSError(0, 'another process')`;
      await holds(attack(body, pid, address));
    });

    test('its memory by process_vm_readv, its files by /proc, its control by ptrace', async () => {
      const { pid, address } = await startVictim();
      const read = `
class Range(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]
got = ctypes.create_string_buffer(10)
mine, theirs = Range(ctypes.addressof(got), 10), Range(int(sys.argv[2]), 10)
n = libc.process_vm_readv(int(sys.argv[1]), ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
if n < 0 or got.raw != b'the secret': raise OSError(ctypes.get_errno(), 'not read')`;
      await holds(attack(read, pid, address));
      await holds(
        attack(
          `os.listdir(f'/proc/{sys.argv[1]}/root/etc')\nif b'secret of' not in open(f'/proc/{sys.argv[1]}/cmdline','rb').read(): raise OSError(0, 'another process')`,
          pid,
        ),
      );
      await holds(
        attack(
          'if libc.ptrace(16, int(sys.argv[1]), 0, 0) != 0: raise OSError(ctypes.get_errno(), "not attached")\nlibc.waitpid(int(sys.argv[1]), None, 0)\nlibc.ptrace(17, int(sys.argv[1]), 0, 0)',
          pid,
        ),
      );
    });

    test('/proc shows nothing but its own', async () => {
      const shown = await lab.inside(['/bin/sh', '-c', 'cd /proc; echo [0-9]*']);
      assert.match(shown.stdout, /^1 [2-9]\n$/);
    });

    test('a second proc file system elsewhere is hidden', async () => {
      const second = lab.directory(`${lab.home}/chroot-proc`);
      assert.equal(spawnSync('mount', ['-t', 'proc', 'proc', second]).status, 0);
      lab.later(() => spawnSync('umount', ['-l', second]));
      await holds(attack(`os.stat(f'${second}/{sys.argv[1]}')`, String(process.pid)));
    });

    test('signals reach no process outside', async () => {
      const { pid, alive } = await startVictim();
      const tried = await lab.inside([
        python,
        '-c',
        `import os, signal\ntry: os.kill(${pid}, 9)\nexcept OSError as e: print(e)\nos.kill(-1, 9)`,
      ]);
      assert.match(tried.stdout, /No such process/);
      assert.ok(alive());
    });

    test('cgroups cannot be written', async () => {
      const tried = await lab.inside(['/bin/sh', '-c', 'find /sys -writable -type f 2>/dev/null | head -3']);
      assert.equal(tried.stdout, '');
    });

    test('shared memory and message queues are its own', async () => {
      const name = `/dev/shm/cofferdam-${process.pid}`;
      writeFileSync(name, 'x', { mode: 0o666 });
      lab.later(() => spawnSync('rm', ['-f', name]));
      await holds(attack('os.stat(sys.argv[1])', name));
      const tried = await lab.inside([
        python,
        '-c',
        'from multiprocessing import shared_memory as m; s = m.SharedMemory(create=True, size=9); s.unlink(); print("works")',
      ]);
      assert.match(tried.stdout, /works/);
    });
  });

  describe('system calls', () => {
    const families = {
      vsock: 40,
      packet: 17,
      alg: 38,
      xdp: 44,
      bluetooth: 31,
      can: 29,
      tipc: 30,
      key: 15,
      smc: 43,
      none: 0,
      next: 46,
    };
    const socketCall = arch() === 'x64' ? 41 : 198;
    const pairCall = arch() === 'x64' ? 53 : 199;
    const ioctlCall = arch() === 'x64' ? 16 : 29;

    for (const [name, family] of Object.entries(families)) {
      test(`socket family ${name}`, async (t) => {
        const [program, ...rest] = attack(
          `call(${socketCall}, ${family}, ${family === 17 || family === 44 ? 3 : 1}, 0)`,
        );
        const control = spawnSync(program!, rest, { encoding: 'utf8' });
        if (!control.stdout.startsWith('escaped')) t.diagnostic(`root outside: ${control.stdout.trim()}`);
        // The kernel reads the low half of the register alone; the filter must do so too.
        const every = `
errors = set()
for upper in (0, 1 << 32, 0xffffffff << 32):
    for number, type in ((${socketCall}, 3), (${socketCall}, 1), (${socketCall}, 2 | 0o2000000), (${pairCall}, 1)):
        try: errors.add(call(number, upper + ${family}, type, 0, 0))
        except OSError as error: errors.add(-error.errno)
if errors != {-97}: raise OSError(0, str(errors))`;
        assert.match((await lab.inside(attack(every))).stdout, /^escaped/);
      });
    }

    test('the families that stay do work', async () => {
      const body = `
for f, t in ((1, 1), (1, 2), (2, 1), (2, 2), (10, 1), (10, 2), (16, 3)): socket.socket(f, t).close()
socket.socketpair()[0].close()`;
      assert.match((await lab.inside(attack(body))).stdout, /^escaped/);
    });

    test('raw sockets, and the old way to packet sockets', async () => {
      for (const [family, type] of [
        [2, 3],
        [10, 3],
        [2, 10],
      ] as const) {
        const command = attack(`call(${socketCall}, ${family}, ${type}, ${type === 10 ? 768 : 255})`);
        assert.match(spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' }).stdout, /^escaped/);
        assert.match((await lab.inside(command)).stdout, type === 10 ? /^contained 97/ : /^contained 1 /);
        // Nor by the capability that a user namespace gives over itself alone.
        assert.match((await lab.inside(['unshare', '-Ur', ...command])).stdout, /^contained/);
      }
    });

    test('io_uring', async (t) => {
      const body = 'parameters = ctypes.create_string_buffer(120)\nreturn call(425, 4, ctypes.byref(parameters))';
      const control = await lab.outside(attack(body));
      if (!control.stdout.startsWith('escaped')) t.diagnostic(`not here outside either: ${control.stdout.trim()}`);
      for (const number of [425, 426, 427]) {
        assert.match((await lab.inside(attack(body.replace('425', String(number))))).stdout, /^contained 38 /);
      }
    });

    test('keys, for whose sake the kernel runs a helper outside', async () => {
      const [add, request, keyctl] = arch() === 'x64' ? [248, 249, 250] : [217, 218, 219];
      await holds(
        attack(
          `call(${add}, ctypes.c_char_p(b'user'), ctypes.c_char_p(b'cofferdam'), ctypes.c_char_p(b'x'), 1, -3 & 0xffffffff)`,
        ),
      );
      for (const number of [add, request, keyctl])
        assert.match((await lab.inside(attack(`call(${number}, 0, 0, 0, 0, 0)`))).stdout, /^contained 38 /);
    });

    test('bpf, perf events and kexec', async () => {
      const numbers = arch() === 'x64' ? [321, 298, 246, 320] : [280, 241, 104, 294];
      for (const number of numbers)
        assert.match((await lab.inside(attack(`call(${number}, 0, 0, 0, 0, 0)`))).stdout, /^contained 1 /);
    });

    test('calls of another architecture end the process', {
      skip: arch() === 'x64' ? false : 'x86-64 only',
    }, async (t) => {
      // i386 socket(AF_VSOCK, SOCK_STREAM, 0) by int 0x80, on a page of our own.
      const legacy = attack(`
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex('53b867010000bb28000000b90100000031d2cd805bc3'))
result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
if result < 0: raise OSError(-result, os.strerror(-result))`);
      const control = await lab.outside(legacy);
      if (!control.stdout.startsWith('escaped')) t.diagnostic(`not here outside either: ${control.stdout.trim()}`);
      const tried = await lab.inside(legacy);
      assert.deepEqual([tried.code, tried.stdout], [128 + 31, '']);
      const x32 = await lab.inside(attack(`call(0x40000000 | 41, 40, 1, 0)`));
      assert.deepEqual([x32.code, x32.stdout], [128 + 31, '']);
    });

    test('keystrokes put into the terminal', async (t) => {
      const body = `
terminal = os.open('/dev/tty', os.O_RDWR)
key = ctypes.c_char(b'x')
call(${ioctlCall}, terminal, int(sys.argv[1]), ctypes.byref(key))`;
      const onTerminal = (argv: readonly string[]) =>
        collect(
          spawn(
            python,
            ['-c', 'import os, pty, sys\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))', ...argv],
            {
              stdio: ['ignore', 'pipe', 'pipe'],
              env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', HOME: lab.home },
            },
          ),
        );
      const control = await onTerminal(attack(body, String(0x5412)));
      if (!control.stdout.includes('escaped')) t.diagnostic(`not here outside either: ${control.stdout.trim()}`);
      for (const request of [0x5412n, 0x541cn, (1n << 32n) + 0x5412n, (1n << 40n) + 0x541cn]) {
        const tried = await onTerminal(lab.runner(attack(body, String(request))));
        assert.match(tried.stdout, /contained 1 /, `${request}: ${tried.stdout}${tried.stderr}`);
      }
    });
  });

  describe('privileges', () => {
    test('no capability, no new privileges', async () => {
      const status = (await lab.inside(['/bin/cat', '/proc/self/status'])).stdout;
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        assert.match(status, new RegExp(`^${set}:\\s0{16}$`, 'm'));
      assert.match(status, /^NoNewPrivs:\s1$/m);
      assert.match(status, /^Seccomp:\s2$/m);
      assert.match(status, new RegExp(`^Uid:(\\s${lab.uid}){4}$`, 'm'));
      assert.match(status, new RegExp(`^Gid:(\\s${lab.uid}){4}$`, 'm'));
      assert.match(status, new RegExp(`^Groups:\\s${lab.uid}\\s*$`, 'm'));
      assert.match(status, /^SigIgn:\s0{16}$/m);
      assert.match(status, /^SigBlk:\s0{16}$/m);
    });

    test('setuid programs gain nothing', async () => {
      const program = `${lab.home}/setuid-id`;
      copyFileSync('/usr/bin/id', program);
      chownSync(program, 0, 0);
      chmodSync(program, 0o4755);
      assert.equal((await lab.outside([program, '-u'])).stdout, '0\n');
      assert.equal((await lab.inside([program, '-u'])).stdout, `${lab.uid}\n`);
    });

    test('sudo and su do not work', async () => {
      for (const command of [
        ['sudo', '-n', 'id', '-u'],
        ['su', '-c', 'id -u'],
      ]) {
        if (!isInstalled(command[0]!)) continue;
        const tried = await lab.inside(command);
        assert.notEqual(tried.code, 0);
        assert.doesNotMatch(tried.stdout, /^0$/m);
      }
    });

    test('a preloaded library is loaded by the command alone', async () => {
      const tried = await lab.inside(['/bin/true'], { env: { LD_PRELOAD: '/none/such.so' } });
      assert.equal(tried.stderr.match(/cannot be preloaded/g)?.length, 1, tried.stderr);
    });

    test('root without capabilities writes nothing of the system', async () => {
      const user = { uid: 0, gid: 0, groups: [0], name: 'root', home: `${lab.home}/of-root` };
      chownSync(lab.directory(user.home), 0, 0);
      const status = (await lab.inside(['/bin/cat', '/proc/self/status'], { user })).stdout;
      assert.match(status, /^CapEff:\s0{16}$/m);
      assert.match(status, /^CapBnd:\s0{16}$/m);
      const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
      const script = `
for f in /etc/passwd /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /sys/power/state /usr/bin/id /var/lib; do
  if test -w $f; then echo writable $f; fi
done
(echo '|/bin/sh' > /proc/sys/kernel/core_pattern) 2>/dev/null && echo wrote
(echo x > /etc/cofferdam-test) 2>/dev/null && echo wrote
mount -o remount,rw / 2>/dev/null && echo remounted
mount -o remount,bind,rw / 2>/dev/null && echo remounted
(echo x > "$HOME/mine") && (echo x > /tmp/mine) && (echo x > /var/tmp/mine) && echo own places work`;
      const tried = await lab.inside(['/bin/sh', '-c', script], { user });
      assert.equal(tried.stdout, 'own places work\n', tried.stderr);
      assert.equal(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'), before);
    });

    test('root at / or in /etc does not open them', async () => {
      const user = { uid: 0, gid: 0, groups: [0], name: 'root', home: '/' };
      for (const cwd of ['/', '/etc', '/var']) {
        const tried = await lab.inside(['/bin/sh', '-c', 'touch ./cofferdam-test 2>/dev/null && echo wrote'], {
          user,
          cwd,
        });
        assert.equal(tried.stdout, '', cwd);
      }
    });
  });

  describe('files', () => {
    test('cron spools', async () => {
      const spool = lab.directory('/var/spool/cron/crontabs');
      chmodSync(spool, 0o777);
      const name = `${spool}/cofferdam-${process.pid}`;
      const write = attack(`open(sys.argv[1], 'w').write('# nothing')`, name);
      await holds(write);
      spawnSync('rm', ['-f', name]);
      await lab.inside(['/bin/sh', '-c', `mkdir -p ${spool}; echo x > ${name}`]);
      assert.equal(existsSync(name), false);
    });

    test('the files of the run, unless a share names one', async () => {
      const own = lab.directory(`${lab.home}/run-files`);
      writeFileSync(`${own}/key`, 'key');
      chownSync(`${own}/key`, lab.uid, lab.uid);
      writeFileSync(`${lab.home}/policy.yaml`, 'rules');
      const hidden = [own, `${lab.home}/policy.yaml`];
      await holds(attack('open(sys.argv[1]).read()', `${own}/key`), { hidden });
      await holds(attack('open(sys.argv[1]).read()', `${lab.home}/policy.yaml`), { hidden });
      assert.equal((await lab.inside(['/bin/cat', `${own}/key`], { hidden, shares: [`${own}/key`] })).stdout, 'key');
    });

    test('its own resolv.conf and name service', async () => {
      assert.equal((await lab.inside(['/bin/cat', '/etc/resolv.conf'])).stdout, 'nameserver 192.0.2.53\n');
      const names = (await lab.inside(['/bin/cat', '/etc/nsswitch.conf'])).stdout;
      assert.deepEqual(names.match(/^hosts:.*$/gm), ['hosts: files dns']);
      assert.notEqual((await lab.inside(['/bin/sh', '-c', 'echo > /etc/resolv.conf'])).code, 0);
    });

    test('its own resolv.conf where the machine has a link into /run', async () => {
      for (const target of ['../run/systemd/resolve/stub-resolv.conf', '/run/none-such/resolv.conf']) {
        const script =
          'mount -t tmpfs none /mnt && cp -a /etc /mnt/etc && ln -sf "$1" /mnt/etc/resolv.conf && mount --bind /mnt/etc /etc && shift && exec "$@"';
        const through = ['unshare', '-m', '/bin/sh', '-c', script, 'sh', target];
        const tried = await lab.inside(['/bin/cat', '/etc/resolv.conf'], { through });
        assert.equal(tried.stdout, 'nameserver 192.0.2.53\n', tried.stderr);
      }
    });

    test('devices are the harmless ones', async () => {
      const shown = (await lab.inside(['/bin/sh', '-c', 'cd /dev; find . ! -type d ! -type l'])).stdout
        .trim()
        .split('\n')
        .sort();
      assert.deepEqual(
        shown.filter((name) => !/^\.\/pts\//.test(name)),
        ['./full', './null', './random', './tty', './urandom', './zero'],
      );
    });

    test('a share that does not exist is refused, as one over a link that the user made', async () => {
      const missing = await lab.inside(['/bin/true'], { shares: ['/run/none-such.sock'] });
      assert.equal(missing.code, 125);
      assert.match(missing.stderr, /share-missing.*`\/run\/none-such\.sock`/);
      spawnSync('ln', ['-s', '/run', `${lab.home}/innocent`]);
      spawnSync('chown', ['-h', `${lab.uid}`, `${lab.home}/innocent`]);
      const aimed = await lab.inside(['/bin/true'], { shares: [`${lab.home}/innocent/dbus`] });
      assert.match(aimed.stderr, /share-(link|missing)/);
    });
  });

  describe('descriptors', () => {
    test('none above 2 is inherited, of whatever number', async () => {
      const [program, ...rest] = lab.runner(['/bin/ls', '/proc/self/fd']);
      const stdio: ('ignore' | 'pipe' | number)[] = ['ignore', 'pipe', 'inherit' as unknown as number];
      const file = openSync('/etc/hostname', 'r');
      for (let number = 3; number <= 900; number += 1)
        stdio.push(number === 5 || number === 20 || number === 900 ? file : 'ignore');
      const control = await collect(spawn('/bin/ls', ['/proc/self/fd'], { stdio }));
      assert.deepEqual(
        [5, 20, 900].filter((number) => control.stdout.split('\n').includes(String(number))),
        [5, 20, 900],
      );
      const tried = await collect(spawn(program!, rest, { stdio, env: { PATH: '/usr/bin:/bin' } }));
      // 3 is ls's own, on the directory it lists.
      assert.deepEqual(tried.stdout.trim().split('\n'), ['0', '1', '2', '3']);
    });
  });
});
