import { isatty } from 'node:tty';
import { type AnyRecord, parseRecord } from '@cofferdam/flows';
import type { FlowSink } from '@cofferdam/gateway';
import { connectToSocket, isForeground, peerOf, SocketError, sendWithDescriptors, userById } from '@cofferdam/sandbox';
import type { LoadedPolicy } from '../load-policy.ts';
import type { Console } from '../run/contain.ts';
import { RunError, type RunOptions } from '../run/options.ts';
import { openLog, policyRisks } from '../run/root-caller.ts';
import { type LineChannel, openChannel } from './line-channel.ts';
import {
  defaultGroup,
  type ForwardedSignal,
  parseToCaller,
  protocolVersion,
  type RunRequest,
  socketPath,
  type ToHelper,
  writeHead,
} from './protocol.ts';
import { openTerminalRelay, type TerminalRelay } from './terminal-relay.ts';

/** The longest line is a record; the helper is root's, and its lines are not many. */
const mostLine = 16 * 1024 * 1024;

const needsRoot = (): RunError =>
  new RunError(
    '`run` needs root, to make namespaces and load the kernel program',
    'run it with sudo: `sudo cofferdam run …`; or once `sudo cofferdam install`, after which it needs no sudo. CMD itself runs as you',
  );

/** A connection to the helper, which is root's. */
export const connectToHelper = (path = socketPath): number => {
  let fd: number;
  try {
    fd = connectToSocket(path);
  } catch (e) {
    const code = e instanceof SocketError ? e.code : '';
    if (code === 'EACCES') {
      const { name } = userById(process.getuid?.() ?? 0);
      throw new RunError(
        `\`run\` needs root, or the group \`${defaultGroup}\`: you may not use the helper at \`${path}\``,
        `\`sudo usermod -aG ${defaultGroup} ${name}\`, then log in again; or run it with sudo`,
      );
    }
    if (code === 'ECONNREFUSED')
      throw new RunError('the helper of `run` has been stopped', 'start it: `sudo cofferdam install`');
    if (code === 'ENOENT' || code === 'ENOTDIR') throw needsRoot();
    throw e;
  }
  if (peerOf(fd).uid !== 0)
    throw new RunError(
      `\`${path}\` is not the helper’s: it is not root who listens there`,
      'do not use it; ask who made it',
    );
  return fd;
};

const signals: readonly ForwardedSignal[] = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'];

/** These come from the terminal, to the whole of its foreground. */
const fromTerminal: ReadonlySet<ForwardedSignal> = new Set(['SIGINT', 'SIGQUIT']);

const passSignals = (channel: LineChannel<ToHelper>): (() => void) => {
  const handlers = signals.map((name) => {
    const handler = (): void => {
      channel.send({ kind: 'signal', name, group: fromTerminal.has(name) && isForeground() }, true);
    };
    process.on(name, handler);
    return { name, handler };
  });
  return () => {
    for (const { name, handler } of handlers) process.off(name, handler);
  };
};

const requestOf = ({ sources }: LoadedPolicy, options: RunOptions, terminal: boolean): RunRequest => {
  const { policies: _, ...rest } = options;
  return {
    version: protocolVersion,
    sources,
    options: rest,
    cwd: process.cwd(),
    env: Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
    umask: process.umask(),
    terminal,
  };
};

const send = (fd: number, request: RunRequest, streams: readonly number[]): void => {
  const body = Buffer.from(JSON.stringify(request));
  sendWithDescriptors(fd, writeHead(body.length), streams);
  sendWithDescriptors(fd, body, []);
};

type End =
  | { readonly kind: 'ended'; readonly code: number }
  | { readonly kind: 'failed'; readonly error: RunError }
  /** The helper has gone away: the run has ended with it. */
  | { readonly kind: 'lost' };

const converse = (fd: number, log: FlowSink | undefined, relay: TerminalRelay | undefined, console: Console) => {
  let over: (end: End) => void = () => undefined;
  const end = new Promise<End>((settle) => {
    over = settle;
  });
  const channel = openChannel<ToHelper>(fd, mostLine, {
    line(text) {
      const message = parseToCaller(text);
      switch (message?.kind) {
        case 'say':
          return console.say(message.text);
        case 'warn':
          return console.warn(message.text);
        case 'started':
          return relay?.start();
        case 'ended':
          return over(message);
        case 'failed': {
          const { message: what, help, code } = message;
          return over({ kind: 'failed', error: new RunError(what, help, code === 2 || code === 127 ? code : 125) });
        }
        case 'record': {
          const record = parseRecord(message.line);
          return record.ok ? log?.write(record.value as AnyRecord) : undefined;
        }
        default:
          return over({ kind: 'lost' });
      }
    },
    end: () => over({ kind: 'lost' }),
  });
  return { end, channel };
};

/**
 * A run that root makes for us, who are not; `fd` is a connection to the helper. The command gets our standard streams or a terminal of its own, our variables and our
 * directory; the policy is read and the log is written here, as ourselves.
 */
export const runByHelper = async (
  fd: number,
  loaded: LoadedPolicy,
  options: RunOptions,
  console: Console,
): Promise<number> => {
  const log = options.log === undefined ? undefined : openLog(options.log);
  for (const risk of policyRisks(userById(process.getuid?.() ?? 0), loaded.files, undefined)) console.warn(risk);
  const relay = isatty(0) && isatty(1) ? openTerminalRelay() : undefined;
  const shown: Console = {
    say: (line) => console.say(relay?.isRaw() === true ? `${line}\r` : line),
    warn: (line) => console.warn(relay?.isRaw() === true ? `${line}\r` : line),
  };
  const streams = relay === undefined ? [0, 1, 2] : [relay.slave, relay.slave, isatty(2) ? relay.slave : 2];
  send(fd, requestOf(loaded, options, relay !== undefined), streams);
  const { channel, end } = converse(fd, log, relay, shown);
  relay?.release();
  const stop = passSignals(channel);
  const result = await end;
  await relay?.finish();
  stop();
  await channel.close();
  const lost = log?.lost();
  if (lost !== undefined && lost.count > 0) console.warn(`${lost.count} records could not be written: ${lost.because}`);
  log?.close();
  if (result.kind === 'failed') throw result.error;
  if (result.kind === 'lost')
    throw new RunError(
      'the helper has gone away, and the run has ended with it',
      'look into its journal: `journalctl -t cofferdam`',
    );
  return result.code;
};
