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
  /** Connections at once; one more is reset. */
  readonly connections: number;
  /** Milliseconds without a byte either way after which a connection is cut. */
  readonly idle: number;
}

export interface Relay {
  /** Cuts all connections; the listener stays the caller's to close. */
  readonly close: () => void;
}

/** No free port or descriptor is an error of this connection, not of the process. */
const dialled = (dial: () => Socket): Socket | undefined => {
  try {
    return dial();
  } catch {
    return undefined;
  }
};

export const createRelay = ({ listener, dial, connections, idle }: RelayOptions): Relay => {
  const open = new Set<Socket>();
  listener.on('connection', (socket) => {
    if (open.size >= connections * 2) {
      socket.resetAndDestroy();
      return;
    }
    const other = dialled(dial);
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
