/** The life of a contained command: how it starts, gets signals and a terminal, ends, and dies with us. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { prepareSandbox, type SandboxRequest, startSandbox, thisHost } from '@cofferdam/sandbox';
import { collect, python, type SandboxLab, sandboxUnavailable, startSandboxLab } from './sandbox-lab.ts';

const skip = sandboxUnavailable();

/** Processes whose command line holds `mark` as an argument of its own, zombies left out. */
function processesWith(mark: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(mark);
      } catch {
        return false; // ended meanwhile
      }
    })
    .map(Number);
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (condition()) return;
    await pause(50);
  }
  assert.fail(`waited in vain: ${what}`);
}

describe('life of a contained command', { skip, timeout: 120_000 }, () => {
  let lab: SandboxLab;
  before(() => {
    lab = startSandboxLab();
  });
  after(() => lab?.stop());

  function start(command: readonly string[], stdin: 'ignore' | 'pipe' = 'ignore'): ChildProcess {
    const [program, ...rest] = lab.runner(command);
    return spawn(program!, rest, { stdio: [stdin, 'pipe', 'pipe'], env: { PATH: '/usr/bin:/bin' }, detached: true });
  }

  /** Runs a shell line on a terminal of its own; `type` is told what was shown so far, and answers with keys. */
  async function onTerminal(
    command: readonly string[],
    type: (shown: string) => string | undefined,
  ): Promise<{ readonly code: number; readonly shown: string }> {
    const bridge = `
import os, pty, select, sys
pid, master = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
while True:
    ready = select.select([master, 0], [], [])[0]
    if 0 in ready: os.write(master, os.read(0, 1000))
    if master in ready:
        try: data = os.read(master, 1000)
        except OSError: break
        if not data: break
        os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)`;
    const child = spawn(python, ['-c', bridge, ...command], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: '/usr/bin:/bin', TERM: 'dumb' },
    });
    lab.later(() => child.kill('SIGKILL'));
    let shown = '';
    child.stdin.on('error', () => child.stdin.destroy());
    child.stdout.on('data', (chunk: Buffer) => {
      shown += chunk.toString('utf8');
      for (let keys = type(shown); keys !== undefined; keys = type(shown)) child.stdin.write(keys);
    });
    const outcome = await collect(child);
    return { code: outcome.code, shown };
  }

  /** Each answer is given once, when its cue was shown. */
  function script(...steps: readonly (readonly [cue: RegExp, keys: string])[]): (shown: string) => string | undefined {
    let next = 0;
    let from = 0;
    return (shown) => {
      const step = steps[next];
      const found = step === undefined ? null : step[0].exec(shown.slice(from));
      if (step === undefined || found === null) return undefined;
      next += 1;
      from += found.index + found[0].length;
      return step[1];
    };
  }

  for (const [line, code] of [
    ['exit 0', 0],
    ['exit 7', 7],
    ['exit 255', 255],
    ['kill -KILL $$', 137],
    ['kill -TERM $$', 143],
    ['exec /none/such 2>/dev/null', 127],
  ] as const) {
    test(`\`${line}\` ends with ${code}`, async () => {
      assert.equal((await lab.inside(['/bin/sh', '-c', line])).code, code);
    });
  }

  test('arguments and variables arrive as they are', async () => {
    const odd = ['', ' ', "it's", '"$HOME"', 'two\nlines', '-n', '--', 'a=b', '*', '\\'];
    const env = {
      'npm_config_//registry.example/:_a': 'x',
      EMPTY: '',
      LINES: "it's\n'two' $lines",
      LD_LIBRARY_PATH: "/a b'c\nd",
    };
    const printed = await lab.inside(
      [python, '-c', 'import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))', ...odd],
      { env },
    );
    const [argv, environment] = JSON.parse(printed.stdout);
    assert.deepEqual(argv, odd);
    for (const [name, value] of Object.entries(env)) assert.equal(environment[name], value, name);
    assert.equal(environment.HOME, lab.home);
    assert.equal(environment.USER, 'probe');
  });

  test('a program with `=` in its name', async () => {
    const directory = lab.directory(`${lab.home}/a=b`);
    await lab.outside(['cp', '/bin/echo', `${directory}/say=it`]);
    assert.equal((await lab.inside([`${directory}/say=it`, 'x y'])).stdout, 'x y\n');
  });

  test('standard input passes', async () => {
    const child = start(['/bin/cat'], 'pipe');
    child.stdin?.end('some bytes');
    assert.equal((await collect(child)).stdout, 'some bytes');
  });

  const signals = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;
  const counter = `
import os, signal, sys, time
got = []
for n in sys.argv[1:]: signal.signal(getattr(signal, n), lambda s, f: (got.append(signal.Signals(s).name), os.write(1, f'got {signal.Signals(s).name}\\n'.encode())))
print('ready', flush=True)
for line in sys.stdin if sys.stdin.isatty() else iter(lambda: time.sleep(0.1), 0):
    if line and line.strip() == 'q':
        time.sleep(0.5)
        print('total', *sorted(got)); sys.exit(3)`;

  for (const signal of signals) {
    test(`${signal} is passed on to the command`, async () => {
      const child = start([python, '-c', counter, ...signals]);
      const outcome = collect(child);
      let shown = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        shown += chunk.toString();
      });
      await until('the command is ready', () => shown.includes('ready'));
      child.kill(signal);
      await until('the signal arrives', () => shown.includes(`got ${signal}`));
      child.kill('SIGKILL');
      assert.doesNotMatch((await outcome).stderr, /./);
    });
  }

  test('a signal without a handler ends the command, and its number is the exit code', async () => {
    const child = start([python, '-c', "import time; print('ready', flush=True); time.sleep(600)"]);
    const outcome = collect(child);
    await once(child.stdout!, 'data');
    child.kill('SIGTERM');
    assert.equal((await outcome).code, 128 + constants.signals.SIGTERM);
  });

  test('Ctrl-C and Ctrl-\\ arrive once, and the command may survive them', async () => {
    const keys = script([/ready/, '\x03'], [/got SIGINT/, '\x1c'], [/got SIGQUIT/, 'q\n']);
    const { code, shown } = await onTerminal(lab.runner([python, '-c', counter, ...signals]), keys);
    assert.match(shown, /total SIGINT SIGQUIT\r/);
    assert.equal(code, 3);
  });

  test('an interactive shell has job control, and the terminal comes back', {
    skip: existsSync('/bin/bash') ? false : 'needs bash',
  }, async () => {
    const shell = lab.runner(['/bin/bash', '--norc', '--noprofile', '-i']);
    const line = 'stty -echo; PS1=; "$@"; echo "code $?"; read line; echo "got $line"';
    const keys = script(
      [/\$ /, 'sh -c "echo star$((1))ted; exec sleep 600"\n'],
      [/star1ted/, '\x1a'],
      [/Stopped/, 'kill -KILL %1; wait; echo jobs-$((1+1))\n'],
      [/jobs-2/, 'exit 5\n'],
      [/code/, 'a line\n'],
    );
    const { shown } = await onTerminal(['/bin/sh', '-c', line, 'sh', ...shell], keys);
    assert.match(shown, /jobs-2/);
    assert.match(shown, /code 5\r/);
    assert.match(shown, /got a line\r/);
    assert.doesNotMatch(shown, /no job control|cannot set terminal process group/);
  });

  test('a terminal of its own can be made inside', async () => {
    const tried = await lab.inside([
      python,
      '-c',
      'import os; m, s = os.openpty(); os.write(s, b"x"); print(os.ttyname(s), os.read(m, 9))',
    ]);
    assert.match(tried.stdout, /^\/dev\/pts\/[0-9]+ b'x'\n$/, tried.stderr);
  });

  /** A command with a child that left its session and its parent. */
  const family = (mark: string): readonly string[] => [
    python,
    '-c',
    'import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\nprint("ready", flush=True)\ntime.sleep(600)',
    mark,
  ];

  test('killing us kills the command and its daemons at once', async () => {
    const mark = `${lab.network}-killed`;
    const child = start(family(mark));
    await until('command and daemon run', () => processesWith(mark).length >= 4);
    child.kill('SIGKILL');
    await until('all are gone', () => processesWith(mark).length === 0);
  });

  test('killing us at any moment of the start leaves nothing behind', async () => {
    const mark = `${lab.network}-early`;
    for (let wait = 0; wait <= 300; wait += 20) {
      const child = start(['/bin/sh', '-c', 'sleep 600; :', mark]);
      const closed = once(child, 'exit');
      await pause(wait);
      child.kill('SIGKILL');
      await closed;
    }
    await until('all are gone', () => processesWith(mark).length === 0);
  });

  test('the end of the command is the end of its daemons, before we hear of it', async () => {
    const mark = `${lab.network}-ended`;
    const daemon = `import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    os.close(1); os.close(2)\n    time.sleep(600)\nsys.exit(4)`;
    assert.equal((await lab.inside([python, '-c', daemon, mark])).code, 4);
    assert.deepEqual(processesWith(mark), []);
  });

  const request = (command: readonly string[]): SandboxRequest => JSON.parse(lab.request(command));

  test('the command is known by its number outside, and signalled by it', async () => {
    const plan = prepareSandbox({ ...request(['/bin/sleep', '600']), stdio: ['ignore', 'ignore', 'ignore'] });
    assert.ok(plan.ok);
    const running = await startSandbox(plan.value);
    assert.ok(running.ok);
    await until('it is the program', () => readlinkSync(`/proc/${running.value.pid}/exe`).endsWith('/sleep'));
    assert.equal(running.value.signal('SIGUSR1'), true);
    assert.deepEqual(await running.value.wait(), { kind: 'exited', code: 128 + constants.signals.SIGUSR1 });
    assert.equal(running.value.signal('SIGTERM'), false);
  });

  test('a socket that the plan did not know of stops the start', async () => {
    await lab.listen(`${lab.home}/late.sock`);
    const plan = prepareSandbox(
      { ...request(['/bin/touch', `${lab.home}/ran`]), stdio: ['ignore', 'ignore', 'ignore'] },
      { ...thisHost(), sockets: [] },
    );
    assert.ok(plan.ok);
    const running = await startSandbox(plan.value);
    assert.ok(!running.ok);
    assert.equal(running.error.code, 'sandbox-leaks');
    assert.match(running.error.message, /late\.sock/);
    assert.equal(existsSync(`${lab.home}/ran`), false);
  });

  for (const [name, command, expected] of [
    ['git', ['git', 'init', '-q', 'repository'], ''],
    ['curl', ['curl', '-s', 'file:///etc/hostname'], /./],
    [
      'python with processes and threads',
      [python, '-c', 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1, -2]))'],
      /\[1, 2\]/,
    ],
    ['perl', ['perl', '-e', 'print getpwuid(0) . "\\n"'], /root/],
  ] as const) {
    test(`runs ${name}`, {
      skip: ['/usr/bin', '/bin'].some((d) => existsSync(command[0].startsWith('/') ? command[0] : `${d}/${command[0]}`))
        ? false
        : 'not installed',
    }, async () => {
      const outcome = await lab.inside(command);
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.match(outcome.stdout, new RegExp(expected));
    });
  }
});
