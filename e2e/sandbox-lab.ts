/**
 * What the escape tests share: a network namespace of their own, an ordinary user with a home, and each attack run twice,
 * outside as that user (where it must work, or its failure inside would prove nothing) and inside the sandbox.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';

const tools = ['ip', 'bwrap', 'nsenter', 'setpriv', 'unshare', 'mount', 'umount'];
const searched = ['/usr/bin', '/bin', '/usr/sbin', '/sbin'];
/** Debian's own: one from a root's home could not be run by the contained user. */
export const python = '/usr/bin/python3';

export function isInstalled(tool: string): boolean {
  return searched.some((directory) => existsSync(join(directory, tool)));
}

/** Why these tests cannot run here, or false. */
export function sandboxUnavailable(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = tools.find((tool) => !isInstalled(tool));
  if (missing !== undefined) return `needs ${missing}`;
  return existsSync(python) ? false : `needs ${python}`;
}

export interface Outcome {
  /** 128 + number for a signal, as shells have it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface InsideOptions {
  readonly shares?: readonly string[];
  readonly hidden?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly networkNamespace?: string;
  /** Instead of the ordinary user. */
  readonly user?: {
    readonly uid: number;
    readonly gid: number;
    readonly groups: readonly number[];
    readonly name: string;
    readonly home: string;
  };
  /** Words before the runner, such as `unshare -m`. */
  readonly through?: readonly string[];
}

export interface SandboxLab {
  readonly uid: number;
  readonly home: string;
  readonly network: string;
  request(command: readonly string[], options?: InsideOptions): string;
  /** The runner's argv, for tests that start it in their own way. */
  runner(command: readonly string[], options?: InsideOptions): readonly string[];
  inside(command: readonly string[], options?: InsideOptions): Promise<Outcome>;
  outside(command: readonly string[], env?: Readonly<Record<string, string>>): Promise<Outcome>;
  /** A process of the ordinary user outside, killed at the end. */
  background(command: readonly string[], env?: Readonly<Record<string, string>>): ChildProcess;
  /** Listens at `path` (a first byte 0 for abstract) and greets every client with `escaped`; any user may connect. */
  listen(path: string): Promise<Server>;
  /** Makes a directory that lives as long as the lab, owned by the ordinary user; one that exists is left as it is. */
  directory(path: string): string;
  /** Asserts that the attack works outside and is held inside; what it said inside. */
  holds(command: readonly string[], options?: InsideOptions): Promise<string>;
  /** Runs at the end, last first. */
  later(undo: () => void): void;
  stop(): void;
}

export function collect(child: ChildProcess): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8');
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  return new Promise((settle, fail) => {
    child.once('error', fail);
    child.once('close', (code) => settle({ code: code ?? 137, stdout, stderr }));
  });
}

const path = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';

export function startSandboxLab(): SandboxLab {
  const mark = `${process.pid}-${Math.floor(Math.random() * 0xffff).toString(16)}`;
  const uid = 61_000 + Math.floor(Math.random() * 4_000);
  const undo: (() => void)[] = [];
  const network = `cfdsbx${mark}`;
  const added = spawnSync('ip', ['netns', 'add', network], { encoding: 'utf8' });
  if (added.status !== 0) throw new Error(`ip netns add failed: ${added.stderr}`);
  undo.push(() => spawnSync('ip', ['netns', 'del', network]));
  const home = mkdtempSync('/var/lib/cofferdam-sandbox-');
  chmodSync(home, 0o755);
  chownSync(home, uid, uid);
  undo.push(() => rmSync(home, { recursive: true, force: true }));

  const user = { uid, gid: uid, groups: [uid], name: 'probe', home };
  const drop = ['--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--'];
  const environment = (env: Readonly<Record<string, string>> = {}) => ({
    PATH: path,
    HOME: home,
    LC_ALL: 'C.UTF-8',
    ...env,
  });

  const lab: SandboxLab = {
    uid,
    home,
    network,
    request(command, options = {}) {
      return JSON.stringify({
        networkNamespace: options.networkNamespace ?? `/run/netns/${network}`,
        user: options.user ?? user,
        cwd: options.cwd ?? home,
        env: options.env ?? {},
        shares: options.shares ?? [],
        resolvConf: 'nameserver 192.0.2.53\n',
        hidden: options.hidden ?? [],
        command,
      });
    },
    runner(command, options = {}) {
      const script = join(import.meta.dirname, 'sandbox-runner.ts');
      return [...(options.through ?? []), process.execPath, script, lab.request(command, options)];
    },
    inside(command, options = {}) {
      const [program, ...rest] = lab.runner(command, options);
      return collect(spawn(program!, rest, { cwd: '/', env: environment(), stdio: ['ignore', 'pipe', 'pipe'] }));
    },
    outside(command, env) {
      return collect(
        spawn('setpriv', [...drop, ...command], {
          cwd: home,
          env: environment(env),
          stdio: ['ignore', 'pipe', 'pipe'],
        }),
      );
    },
    background(command, env) {
      const child = spawn('setpriv', [...drop, ...command], {
        cwd: home,
        env: environment(env),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      undo.push(() => child.kill('SIGKILL'));
      return child;
    },
    async listen(at) {
      const server = createServer((socket) => {
        socket.on('error', () => socket.destroy());
        socket.end('escaped\n');
      });
      await new Promise<void>((settle, fail) => {
        server.once('error', fail);
        server.listen(at, settle);
      });
      if (!at.startsWith('\0')) chmodSync(at, 0o777);
      undo.push(() => server.close());
      return server;
    },
    directory(at) {
      if (!existsSync(dirname(at))) lab.directory(dirname(at));
      if (!existsSync(at)) {
        mkdirSync(at);
        undo.push(() => rmSync(at, { recursive: true, force: true }));
        chownSync(at, uid, uid);
      }
      return at;
    },
    async holds(command, options = {}) {
      const control = await lab.outside(command, options.env);
      assert.match(control.stdout, /^escaped$/m, `does not work outside: ${control.stdout}${control.stderr}`);
      const tried = await lab.inside(command, options);
      assert.match(tried.stdout, /^contained/m, `stdout: ${tried.stdout} stderr: ${tried.stderr}`);
      assert.doesNotMatch(tried.stdout, /^escaped/m);
      return tried.stdout;
    },
    later(action) {
      undo.push(action);
    },
    stop() {
      while (undo.length > 0) undo.pop()!();
    },
  };
  return lab;
}

/**
 * A Python program that prints `escaped` where `body` comes to its end, else `contained` and why. So an attack that breaks
 * before it tried is not taken for one that was held.
 */
export function attack(body: string, ...args: readonly string[]): readonly string[] {
  const lines = [
    'import ctypes, os, socket, sys',
    'libc = ctypes.CDLL(None, use_errno=True)',
    'def call(number, *args):',
  ];
  lines.push(
    '    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(a) if isinstance(a, int) else a for a in args])',
  );
  lines.push('    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))');
  lines.push('    return result', 'def attack():');
  for (const line of body.trim().split('\n')) lines.push(`    ${line}`);
  lines.push(
    'try:',
    '    attack()',
    '    print("escaped")',
    'except OSError as error:',
    '    print("contained", error.errno, error)',
  );
  return [python, '-I', '-c', lines.join('\n'), ...args];
}

/** Connects to the socket in its first argument (`@name` for abstract) and reads the greeting. */
export const connectAttack = (at: string): readonly string[] =>
  attack(
    `
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
name = sys.argv[1]
s.connect('\\0' + name[1:] if name.startswith('@') else name)
if b'escaped' not in s.recv(100): raise OSError(0, 'no greeting')`,
    at,
  );
