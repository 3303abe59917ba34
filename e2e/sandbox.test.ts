/** Escapes by sockets and other processes, tried as an ordinary user; each is first shown to work outside. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  attack,
  connectAttack,
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

  const holds: SandboxLab['holds'] = (command, options) => lab.holds(command, options);

  describe('Unix sockets', () => {
    const mark = `cofferdam-${process.pid}`;
    for (const place of ['/run', '/tmp', '/var/tmp', '/var/lib'] as const) {
      test(`a socket in ${place}`, async () => {
        const path = `${lab.directory(`${place}/${mark}`)}/service.sock`;
        await lab.listen(path);
        await holds(connectAttack(path));
      });
    }

    for (const [service, path] of [
      ['a container engine', '/run/docker.sock'],
      ['D-Bus', '/run/dbus/system_bus_socket'],
      ['systemd', '/run/systemd/private'],
      ["a user's systemd", '/run/user/61000/systemd/private'],
      ['X11', '/tmp/.X11-unix/X97'],
      ['nscd', '/run/nscd/socket'],
      ['resolved', '/run/systemd/resolve/io.systemd.Resolve'],
      ['gpg-agent', '~/.gnupg/S.gpg-agent'],
    ] as const) {
      test(`where ${service} listens`, async (t) => {
        const at = path.replace('~', lab.home);
        if (existsSync(at)) return t.skip('a service of this machine listens there');
        lab.directory(dirname(at));
        await lab.listen(at);
        await holds(connectAttack(at));
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
      assert.equal((await lab.inside(['unshare', '-Urpnf', '/bin/true'])).code, 0);
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
});
