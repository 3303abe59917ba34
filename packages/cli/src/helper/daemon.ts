import { spawn } from 'node:child_process';
import { chmodSync, chownSync, closeSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { connectToSocket, SocketError } from '@cofferdam/sandbox';
import { RunError } from '../run/options.ts';

export interface DaemonOptions {
  readonly path: string;
  readonly group: { readonly name: string; readonly number: number };
  readonly warn: (text: string) => void;
}

/** Runs at a time; each is a process with a gateway. */
const mostRuns = 64;

const isServed = (path: string): boolean => {
  try {
    closeSync(connectToSocket(path));
    return true;
  } catch (e) {
    if (e instanceof SocketError) return false;
    throw e;
  }
};

/** The place of the socket: root's own, so that nobody puts another socket there. */
const claim = (path: string): void => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const directory = lstatSync(dirname(path));
  if (directory.uid !== 0 || (directory.mode & 0o022) !== 0)
    throw new RunError(`\`${dirname(path)}\` can be changed by others than root`, 'give a path below /run/cofferdam');
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) throw new RunError(`\`${path}\` is there and is no socket`, 'give another path');
  if (isServed(path)) throw new RunError(`a helper listens at \`${path}\` already`, 'use that one, or end it first');
  rmSync(path);
};

/**
 * Listens, and starts a process for each connection, which serves it and ends. Each sees one caller, and what one does has no bearing on
 * another. systemd does the same by itself, with `Accept=yes`.
 */
export const listenForCallers = async ({ path, group, warn }: DaemonOptions): Promise<Server> => {
  claim(path);
  let runs = 0;
  const serve = (socket: Socket): void => {
    socket.on('error', () => socket.destroy());
    if (runs >= mostRuns) {
      warn(`${mostRuns} runs are going on: a caller was sent away`);
      return void socket.destroy();
    }
    runs += 1;
    const words = [...process.execArgv, process.argv[1]!, 'helper', '--connection', '--group', group.name];
    const child = spawn(process.execPath, words, {
      // The caller's variables come with the request; ours are none of its business.
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      cwd: '/',
      // A session of its own: Ctrl-C at our terminal ends us, and by that the runs, in order.
      detached: true,
      stdio: [socket, 'ignore', 'inherit'],
    });
    child.once('error', (e) => warn(`a run could not be served: ${e.message}`));
    child.once('close', () => {
      runs -= 1;
    });
    socket.destroy();
  };
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, serve);
  // Nobody may connect before its group is set.
  const before = process.umask(0o177);
  try {
    await new Promise<void>((settle, fail) => {
      server.once('error', fail);
      server.listen(path, settle);
    });
  } finally {
    process.umask(before);
  }
  chownSync(path, 0, group.number);
  chmodSync(path, 0o660);
  return server;
};
