import { closeSync, fstatSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { isAbsolute } from 'node:path';
import { isatty } from 'node:tty';
import { encodeRecord } from '@cofferdam/flows';
import type { FlowSink } from '@cofferdam/gateway';
import { parsePolicy } from '@cofferdam/policy';
import {
  asFileSystemUser,
  attainableLimits,
  type ContainedUser,
  parseLimits,
  peerOf,
  type ResourceLimit,
  type RunningSandbox,
  receiveWithDescriptors,
  SocketError,
  setReadTimeout,
} from '@cofferdam/sandbox';
import { type Caller, contain } from '../run/contain.ts';
import { RunError } from '../run/options.ts';
import { type LineChannel, openChannel } from './line-channel.ts';
import { callerOf } from './peer-caller.ts';
import {
  type ForwardedSignal,
  headLength,
  parseRequest,
  parseToHelper,
  type RunRequest,
  readHead,
  streamCount,
  type ToCaller,
} from './protocol.ts';

/** Seconds for a request to arrive. */
const patience = 10;

const endingSignals: ReadonlySet<ForwardedSignal> = new Set(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM']);

/** Of a line of the caller. */
const mostLine = 4096;

interface Asked {
  readonly pid: number;
  readonly user: ContainedUser;
  readonly request: RunRequest;
  readonly streams: readonly [number, number, number];
}

/** O_PATH of <fcntl.h>: a descriptor that stands for a place and is no stream. */
const O_PATH = 0o10000000;

const isStream = (fd: number): boolean => {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
  // A directory is a way to what lies in it, past all that is hidden.
  return !fstatSync(fd).isDirectory() && (Number.parseInt(flags, 8) & O_PATH) === 0;
};

/** What the caller asks for, and who it is. Throws where it may not, or sends something else. */
const ask = (fd: number, group: number): Asked => {
  const peer = peerOf(fd);
  const user = callerOf(peer, group);
  if (!user.ok) throw new RunError(user.error.message, user.error.help);
  const deadline = Date.now() + 1000 * patience;
  setReadTimeout(fd, patience);
  const head = receiveWithDescriptors(fd, headLength, streamCount, deadline);
  const length = readHead(head.bytes);
  if (length === undefined)
    throw new RunError('the caller speaks another language', 'run `sudo cofferdam install` again');
  const [input, output, error] = head.descriptors;
  if (input === undefined || output === undefined || error === undefined || !head.descriptors.every(isStream))
    throw new RunError('standard input, output and error must be open, and no directories', 'redirect them elsewhere');
  const body = receiveWithDescriptors(fd, length, 0, deadline);
  setReadTimeout(fd, 0);
  if (body.bytes.length < length) throw new RunError('the caller has gone away', '');
  const request = parseRequest(body.bytes.toString('utf8'));
  if (!request.ok) throw new RunError(request.error.message, request.error.help);
  if (request.value.terminal && !isatty(input)) throw new RunError('standard input is no terminal', '');
  return { pid: peer.pid, user: user.value, request: request.value, streams: [input, output, error] };
};

/** Ports that only root may open: below the first one that everybody may. */
const firstFreePort = (): number => Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));

/** Records go to the caller, who writes them to a file of theirs. */
const recordsTo = (channel: LineChannel<ToCaller>): FlowSink => {
  let count = 0;
  return {
    write(record) {
      if (!channel.send({ kind: 'record', line: encodeRecord(record) })) count += 1;
    },
    lost: () => ({ count, because: 'they came faster than the caller wrote them' }),
    close: () => undefined,
  };
};

/** Those of a process, as far as this one can pass them on. One that has gone has none, and its run ends. */
const limitsOf = (pid: number): readonly ResourceLimit[] => {
  const read = (of: number | 'self') => parseLimits(readFileSync(`/proc/${of}/limits`, 'utf8'));
  try {
    return attainableLimits(read(pid), read('self'));
  } catch {
    return [];
  }
};

/** `home`: as the caller has it, where that is a directory of theirs; else that of the account. A home is shown also where it is hidden. */
const withHome = (user: ContainedUser, home: string | undefined): ContainedUser => {
  if (home === undefined || !isAbsolute(home)) return user;
  try {
    const found = asFileSystemUser(user, () => statSync(home));
    return found.isDirectory() && found.uid === user.uid ? { ...user, home } : user;
  } catch {
    // Not there, or not for them.
    return user;
  }
};

/** The signals of the caller, and those that end this process, go to the command. */
const passSignals = (running: RunningSandbox): (() => void) => {
  const end = (): void => void running.signal('SIGTERM');
  const signals = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, end);
  return () => {
    for (const signal of signals) process.off(signal, end);
  };
};

const run = async (
  asked: Asked,
  channel: LineChannel<ToCaller>,
  gone: AbortSignal,
  ready: (running: RunningSandbox) => void,
): Promise<number> => {
  const { request, user, pid } = asked;
  const { options } = request;
  const free = firstFreePort();
  const reserved = options.publish.find((port) => port < free);
  if (reserved !== undefined)
    throw new RunError(`--publish: port ${reserved} can be opened by root only`, `give a port from ${free} on`, 2);
  const { policy } = parsePolicy(request.sources, { now: Date.now() });
  if (policy === undefined)
    throw new RunError('the policy has errors', 'run `cofferdam validate`: this is another version of the helper');
  const env = Object.fromEntries(request.env);
  const caller: Caller = {
    user: withHome(user, env.HOME),
    cwd: request.cwd,
    env,
    stdio: asked.streams,
    onBehalf: { terminal: request.terminal, umask: request.umask, limits: limitsOf(pid) },
    reader: user.gid,
    openLog: () => (options.log === undefined ? undefined : recordsTo(channel)),
    attach(running) {
      channel.send({ kind: 'started' }, true);
      ready(running);
      return passSignals(running);
    },
    gone,
    // The caller looks at its own files.
    risks: () => [],
  };
  const code = await contain(
    policy,
    caller,
    { ...options, policies: [] },
    {
      say: (text) => void channel.send({ kind: 'say', text }),
      warn: (text) => void channel.send({ kind: 'warn', text }),
    },
  );
  return code;
};

/**
 * Serves one caller on a connected socket, which it takes, and returns when the run is over. Whatever the caller asks for, this process
 * writes to none of its descriptors and opens none of its files.
 */
export const serveConnection = async (fd: number, group: number): Promise<void> => {
  // Whatever it was started with: others read the records of runs. The command gets that of its caller.
  process.umask(0o022);
  const gone = new AbortController();
  let running: RunningSandbox | undefined;
  let asked: Asked | undefined;
  let failure: unknown;
  try {
    asked = ask(fd, group);
  } catch (e) {
    failure = e;
  }
  const channel = openChannel<ToCaller>(fd, mostLine, {
    line(text) {
      const message = parseToHelper(text);
      if (message === undefined) gone.abort();
      else if (running === undefined) giveUp(message.name);
      else if (message.group) running.signalGroup(message.name);
      else running.signal(message.name);
    },
    end: () => gone.abort(),
  });
  /** There is no command yet that could take it. */
  const giveUp = (signal: ForwardedSignal): void => {
    if (!endingSignals.has(signal)) return;
    channel.send({ kind: 'ended', code: 128 + constants.signals[signal] }, true);
    gone.abort();
  };
  const parent = process.ppid;
  // Who started us is gone, killed perhaps: so no run is left that nobody looks after.
  const watch = setInterval(() => process.ppid === parent || gone.abort(), 250);
  watch.unref();
  try {
    if (asked === undefined) throw failure;
    const code = await run(asked, channel, gone.signal, (sandbox) => {
      running = sandbox;
    });
    for (const stream of asked.streams) closeSync(stream);
    channel.send({ kind: 'ended', code }, true);
  } catch (e) {
    const known = e instanceof RunError ? e : undefined;
    const isSilent = e instanceof SocketError && asked === undefined;
    const message = isSilent ? 'the caller said nothing for too long' : e instanceof Error ? e.message : String(e);
    channel.send({ kind: 'failed', message, help: known?.help ?? '', code: known?.code ?? 125 }, true);
  }
  clearInterval(watch);
  await channel.close();
};
