/** A running program of the lab: its output, its end, and signals that reach it through the wrapper that entered the namespaces. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';

export interface ExecOptions {
  /** Added to the environment of the caller; `undefined` removes. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default `/`. */
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** Milliseconds until SIGKILL, default 30,000. */
  readonly timeout?: number;
}

export interface ExecResult {
  /** Exit status; 128 plus the signal's number where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

export interface LabProcess {
  readonly child: ChildProcess;
  /** Everything written so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Signals the program itself (`child.kill` would hit the wrapper that entered the namespaces). False when it has ended. */
  readonly kill: (signal?: NodeJS.Signals) => Promise<boolean>;
  /** Resolves when stdout or stderr matches; rejects when the program ends first or after `timeout` ms (default 10,000). */
  readonly waitFor: (pattern: RegExp, timeout?: number) => Promise<void>;
  readonly ended: Promise<ExecResult>;
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** Milliseconds between the end of a program and the end of its output at the latest. */
const pipesAfterExit = 300;

const exitStatus = (code: number | null, signal: NodeJS.Signals | null): number =>
  code ?? 128 + (signalNumbers[signal ?? ''] ?? 0);

/** Starts a program and keeps what it writes. */
export function run(argv: readonly string[], options: ExecOptions): LabProcess {
  const child = spawn(argv[0]!, argv.slice(1), { env: { ...process.env, ...options.env }, stdio: 'pipe' });
  const output = { stdout: '', stderr: '' };
  const wake = new Set<() => void>();
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text;
      for (const look of wake) look();
    });
  }
  // A program that ends without reading its input is no error of the lab.
  child.stdin.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const ended = new Promise<ExecResult>((resolve) => {
    const finish = (code: number): void => {
      resolve({ code, ...output, timedOut: false });
      for (const look of wake) look();
    };
    child.on('error', (error) => {
      output.stderr += `${error.message}\n`;
      finish(127);
    });
    child.on('close', (code, signal) => finish(exitStatus(code, signal)));
    // A daemon it left behind may hold the pipes open for ever; what the program itself wrote is read long before this.
    child.on('exit', (code, signal) => {
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        finish(exitStatus(code, signal));
      }, pipesAfterExit).unref();
    });
  });
  return {
    child,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    ended,
    async kill(signal = 'SIGTERM') {
      const inner = await onlyChild(child.pid);
      return inner === undefined ? child.kill(signal) : sendSignal(inner, signal);
    },
    waitFor(pattern, timeout = 10_000) {
      return new Promise((resolve, reject) => {
        const settle = (outcome: () => void): void => {
          clearTimeout(timer);
          wake.delete(look);
          outcome();
        };
        const fail = (what: string) => (): void =>
          reject(new Error(`${argv.join(' ')}: ${what} before ${pattern}\n${output.stdout}${output.stderr}`));
        const look = (): void => {
          if (pattern.test(output.stdout) || pattern.test(output.stderr)) settle(resolve);
          else if (child.exitCode !== null || child.signalCode !== null) settle(fail('ended'));
        };
        const timer = setTimeout(() => settle(fail('timed out')), timeout);
        wake.add(look);
        void ended.then(look);
        look();
      });
    },
  };
}

/** unshare and nsenter fork once when they enter a PID namespace; the one child is the program. */
export async function onlyChild(pid: number | undefined): Promise<number | undefined> {
  if (pid === undefined) return undefined;
  try {
    const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.trim() === '' ? undefined : Number(text.trim().split(' ')[0]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ESRCH')
      return undefined;
    throw error;
  }
}

/** False when there is no such process any more. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
