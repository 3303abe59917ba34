import type { Server, Socket } from 'node:net';
import { createByteStream } from './byte-stream.ts';
import { splice } from './splice.ts';

/**
 * Joins each connection of a listener to a new one of its own: `--publish` (a port of the host to one of the run) and
 * `--host-port` (a port of the run to one of the host). It judges nothing; what may be joined was said on the command line.
 */
export interface RelayOptions {
  /** Listening, or about to; made with `allowHalfOpen`, so that an end passes one way only. */
  readonly listener: Server;
  /** A new connection to the other side, connecting or connected; `allowHalfOpen` too. */
  readonly dial: () => Socket;
  /** Why a connection could not be joined; told of each of them, so bounded by who listens. */
  readonly warn: (text: string) => void;
  /** Connections at once; one more is reset. */
  readonly connections: number;
  /** Milliseconds without a byte either way after which a connection is cut. */
  readonly idle: number;
}

export interface Relay {
  /** Cuts all connections; the listener stays the caller's to close. */
  readonly close: () => void;
}

const textOf = (e: unknown): string => (e instanceof Error ? e.message : String(e));

export const createRelay = ({ listener, dial, warn, connections, idle }: RelayOptions): Relay => {
  const open = new Set<Socket>();
  /** No free port or descriptor is an error of this connection, not of the process. */
  const dialled = (): Socket | undefined => {
    try {
      const other = dial();
      const early = (e: Error): void => warn(textOf(e));
      if (other.connecting) other.once('error', early).once('connect', () => other.off('error', early));
      return other;
    } catch (e) {
      warn(textOf(e));
      return undefined;
    }
  };
  listener.on('connection', (socket) => {
    if (open.size >= connections * 2) {
      warn(`${connections} connections are open, and one more was reset`);
      socket.resetAndDestroy();
      return;
    }
    const other = dialled();
    if (other === undefined) {
      socket.resetAndDestroy();
      return;
    }
    for (const one of [socket, other]) {
      open.add(one);
      one.on('close', () => open.delete(one));
    }
    const [near, far] = [createByteStream(socket), createByteStream(other)];
    socket.setTimeout(idle, () => {
      near.reset();
      far.reset();
    });
    void splice(near, far);
  });
  return {
    close: () => {
      for (const socket of open) socket.destroy();
    },
  };
};
