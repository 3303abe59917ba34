/** Escapes by system calls and inherited descriptors, tried as an ordinary user; each is first shown to work outside where this kernel has it. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { arch } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { attack, collect, python, type SandboxLab, sandboxUnavailable, startSandboxLab } from './sandbox-lab.ts';

const skip = sandboxUnavailable();

describe('system calls in the sandbox', { skip }, () => {
  let lab: SandboxLab;
  before(() => {
    lab = startSandboxLab();
  });
  after(() => lab?.stop());

  const holds: SandboxLab['holds'] = (command, options) => lab.holds(command, options);

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
