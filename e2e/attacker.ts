import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import type { ExecResult, Lab, Machine, MachineName } from '@cofferdam/testkit/lab';
import { type ContainedOptions, type ContainedRun, startContained } from './contained.ts';

/** The Python that has scapy: Debian's, not another one that comes first in PATH. */
export const python = '/usr/bin/python3';

const library = readFileSync(new URL('./attacks/library.py', import.meta.url), 'utf8');
const words = (mark: string): readonly string[] => [python, '-I', '-c', library, mark];

/** A Python error, as far as a test may want to look at it. `number` is a name such as `ECONNREFUSED`, or empty. */
export interface AttackError {
  readonly error: string;
  readonly number: string;
  readonly message: string;
}

/** A Python process that does what it is told, with everything of attacks/library.py at hand. */
export interface Attacker {
  /** Runs code to its end; the value is what it leaves in `result` (bytes become hex). Fails where the code raises. */
  run<T>(code: string, args?: object, timeout?: number): Promise<T>;
  /** The same, where raising is an outcome. */
  attempt<T>(code: string, args?: object, timeout?: number): Promise<{ readonly value: T } | AttackError>;
}

interface Pipes {
  readonly stdin: NodeJS.WritableStream;
  readonly stdout: NodeJS.ReadableStream;
}

const attackerOn = async ({ stdin, stdout }: Pipes, died: () => string): Promise<Attacker> => {
  const waiting = new Map<number, (answer: unknown) => void>();
  let began: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    began = resolve;
  });
  let last = 0;
  createInterface({ input: stdout }).on('line', (line) => {
    const answer = JSON.parse(line) as { id?: number };
    if (answer.id === undefined) began();
    else waiting.get(answer.id)?.(answer);
  });
  const within = async <T>(what: string, promise: Promise<T>, milliseconds: number): Promise<T> => {
    const over = new AbortController();
    const late = pause(milliseconds, undefined, { signal: over.signal }).then(() => {
      throw new Error(`${what}: no answer within ${milliseconds} ms\n${died()}`);
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([promise, late]);
    } finally {
      over.abort();
    }
  };
  await within('an attacker that starts', ready, 15_000);
  const attempt = async <T>(
    code: string,
    args: object = {},
    timeout = 30_000,
  ): Promise<{ readonly value: T } | AttackError> => {
    const id = ++last;
    const answered = new Promise<{ readonly value: T } | AttackError>((resolve) =>
      waiting.set(id, (answer) => resolve(answer as { readonly value: T } | AttackError)),
    );
    stdin.write(`${JSON.stringify({ id, code, args })}\n`);
    try {
      return await within(code, answered, timeout);
    } finally {
      waiting.delete(id);
    }
  };
  return {
    attempt,
    async run<T>(code: string, args?: object, timeout?: number) {
      const answer = await attempt<T>(code, args, timeout);
      if ('error' in answer) throw new Error(`${answer.error} ${answer.number} ${answer.message}\n${code}`);
      return answer.value;
    },
  };
};

/** An attacker on a machine of the lab that nothing contains: for positive controls, and to play servers. */
export const freeAttacker = async (lab: Lab, machine: MachineName | Machine): Promise<Attacker> => {
  const on = typeof machine === 'string' ? lab.machines[machine] : machine;
  const process = on.spawn(words('free'), { env: lab.ca.environment });
  return attackerOn({ stdin: process.child.stdin!, stdout: process.child.stdout! }, process.stderr);
};

export interface ContainedAttacker extends Attacker {
  readonly process: ContainedRun;
  /** Of `cofferdam run`, as this process sees it. */
  readonly pid: number;
  /** Of the contained command. */
  readonly commandPid: number;
  /** For nsenter: the networks of the command and of its gateway, as long as the run lives. */
  readonly agentNetwork: string;
  readonly gatewayNetwork: string;
  /** Runs a program as root in one of these networks, outside the sandbox. */
  enter(network: 'agent' | 'gateway', argv: readonly string[], input?: string): Promise<ExecResult>;
  /** A root attacker with all capabilities in the agent's network: the agent as a hostile machine would be. */
  rawAttacker(): Promise<Attacker>;
  /** Stops the run's process and nothing else of it, as SIGSTOP does; and lets it go on. */
  freeze(): void;
  thaw(): void;
  /** Ends the command and gives what the run said. */
  stop(): Promise<ExecResult>;
}

const childrenOf = (pid: number): readonly number[] => {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return []; // it ended meanwhile
  }
};

export const descendantsOf = (pid: number): readonly number[] =>
  childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);

export const argumentsOf = (pid: number): readonly string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // it ended meanwhile
  }
};

const networkOf = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // not ours to see, or closed meanwhile
  }
};

/** The `cofferdam run` process below a wrapper. */
export const runProcess = (wrapper: number): number | undefined =>
  descendantsOf(wrapper).find((pid) => argumentsOf(pid).some((word) => word.endsWith('packages/cli/src/main.ts')));

/** Networks that a run holds beside the one it is in. */
export const networksHeld = (pid: number): readonly { readonly path: string; readonly network: string }[] => {
  const own = networkOf(`/proc/${pid}/ns/net`);
  return readdirSync(`/proc/${pid}/fd`)
    .map((fd) => ({ path: `/proc/${pid}/fd/${fd}`, network: networkOf(`/proc/${pid}/fd/${fd}`) }))
    .filter(({ network }) => network.startsWith('net:') && network !== own);
};

const enterNetwork = (network: string, argv: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess =>
  spawn('nsenter', [`--net=${network}`, '--', ...argv], { env, stdio: 'pipe' });

const collect = async (child: ChildProcess, input: string): Promise<ExecResult> => {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A program that ends without reading its input is no error.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? 137)));
  return { code, stdout, stderr, timedOut: false };
};

let count = 0;

/** Starts a contained attacker. `options.command` is not asked for. */
export const containedAttacker = async (
  lab: Lab,
  options: Omit<ContainedOptions, 'command'>,
): Promise<ContainedAttacker> => {
  count += 1;
  const mark = `contained-${process.pid}-${count}`;
  const run = await startContained(lab, { ...options, command: words(mark) });
  const attacker = await attackerOn({ stdin: run.child.stdin!, stdout: run.child.stdout! }, run.stderr);
  const pid = runProcess(run.child.pid!);
  const commandPid =
    pid === undefined
      ? undefined
      : descendantsOf(pid).find((one) => {
          const [program, , , , last] = argumentsOf(one);
          return program === python && last === mark;
        });
  if (pid === undefined || commandPid === undefined) throw new Error(`the run cannot be found\n${run.stderr()}`);
  const agentNetwork = `/proc/${commandPid}/ns/net`;
  const agent = networkOf(agentNetwork);
  const gatewayNetwork = networksHeld(pid).find(({ network }) => network !== agent)?.path;
  if (gatewayNetwork === undefined) throw new Error('the run holds no network for its gateway');
  const started: ChildProcess[] = [];
  return {
    ...attacker,
    process: run,
    pid,
    commandPid,
    agentNetwork,
    gatewayNetwork,
    enter: (network, argv, input = '') =>
      collect(enterNetwork(network === 'agent' ? agentNetwork : gatewayNetwork, argv), input),
    async rawAttacker() {
      const child = enterNetwork(agentNetwork, words('raw'), { ...process.env, ...lab.ca.environment });
      started.push(child);
      let stderr = '';
      child.stderr?.on('data', (data: Buffer) => {
        stderr += data.toString();
      });
      return attackerOn({ stdin: child.stdin!, stdout: child.stdout! }, () => stderr);
    },
    freeze: () => void process.kill(pid, 'SIGSTOP'),
    thaw() {
      // nsenter, which waits for it, has stopped itself with it.
      for (const one of [pid, run.child.pid!]) process.kill(one, 'SIGCONT');
    },
    async stop() {
      for (const child of started) child.kill('SIGKILL');
      run.child.stdin!.end();
      return run.ended;
    },
  };
};

/** Waits for something that must come about, however slow the machine is. */
export const eventually = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
  const end = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await pause(50);
  }
};

export const isGone = (pid: number): boolean => {
  if (!existsSync(`/proc/${pid}/stat`)) return true;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return true; // it ended while we looked
  }
};
