import type { Socket } from 'node:net';

/**
 * A TCP socket as bytes to take and to give, with back-pressure both ways: nothing is read from the peer while what was
 * read waits, and a write waits while the other peer is slow. At most one caller reads at a time.
 */
export interface ByteStream {
  /** The next bytes; undefined once the peer has ended or the connection is gone. */
  readonly read: () => Promise<Uint8Array | undefined>;
  /** Puts bytes back in front of what is read next. */
  readonly unread: (bytes: Uint8Array) => void;
  /** Resolves without taking anything: true when bytes are there, false when none will come. */
  readonly readable: () => Promise<boolean>;
  readonly hasBytes: () => boolean;
  /** False: the connection is gone. */
  readonly write: (bytes: Uint8Array) => Promise<boolean>;
  /** No more will be written; reading goes on. */
  readonly end: () => void;
  /** Closes at once, with a reset the peer notices. */
  readonly reset: () => void;
  /** The connection ended by a reset or an error, not by both sides ending it. */
  readonly failed: () => boolean;
  readonly closed: Promise<void>;
  /** Payload bytes given to the peer so far. */
  readonly sent: () => bigint;
  /** The socket, with what was read of it and not taken; nothing else of this may be used after. Undefined: there is none. */
  readonly handOver: () => Socket | undefined;
}

/** Bytes read ahead of whoever takes them. */
const readAhead = 65_536;

/** `resetAndDestroy`: of a socket that is no TCP connection itself, how what is below it is reset. */
export const createByteStream = (
  socket: Socket,
  resetAndDestroy: () => void = () => void socket.resetAndDestroy(),
): ByteStream => {
  const queue: Uint8Array[] = [];
  let queued = 0;
  let over = false;
  let failed = false;
  let sent = 0n;
  let waiting: (() => void)[] = [];

  const wake = (): void => {
    const woken = waiting;
    waiting = [];
    for (const go of woken) go();
  };
  const change = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));

  const take = (chunk: Buffer): void => {
    queue.push(chunk);
    queued += chunk.length;
    if (queued >= readAhead) socket.pause();
    wake();
  };
  const stop = (): void => {
    over = true;
    wake();
  };
  socket.on('data', take);
  socket.on('end', stop);
  socket.on('error', () => {
    failed = true;
  });
  const closed = new Promise<void>((resolve) => {
    const finish = (): void => {
      over = true;
      wake();
      resolve();
    };
    if (socket.destroyed) finish();
    else socket.on('close', finish);
  });

  const readable = async (): Promise<boolean> => {
    while (queue.length === 0 && !over) await change();
    return queue.length > 0;
  };

  return {
    readable,
    hasBytes: () => queue.length > 0,
    read: async () => {
      if (!(await readable())) return undefined;
      const chunk = queue.shift();
      queued -= chunk?.length ?? 0;
      if (queued < readAhead && !socket.destroyed) socket.resume();
      return chunk;
    },
    unread: (bytes) => {
      if (bytes.length === 0) return;
      queue.unshift(bytes);
      queued += bytes.length;
      wake();
    },
    write: async (bytes) => {
      if (socket.destroyed || socket.writableEnded) return false;
      sent += BigInt(bytes.length);
      if (socket.write(bytes)) return true;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          socket.off('drain', done);
          socket.off('close', done);
          resolve();
        };
        socket.on('drain', done);
        socket.on('close', done);
      });
      return !socket.destroyed;
    },
    end: () => {
      if (!socket.destroyed) socket.end();
    },
    reset: () => {
      failed = true;
      if (socket.connecting) socket.destroy();
      else resetAndDestroy();
    },
    failed: () => failed,
    closed,
    sent: () => sent,
    handOver: () => {
      if (socket.destroyed || over) return undefined;
      socket.off('data', take);
      socket.off('end', stop);
      socket.pause();
      for (const chunk of queue.splice(0).reverse()) socket.unshift(chunk);
      return socket;
    },
  };
};

/** The stream of a peer that was never connected to. */
export const noPeer: ByteStream = {
  read: async () => undefined,
  unread: () => undefined,
  readable: async () => false,
  hasBytes: () => false,
  write: async () => false,
  end: () => undefined,
  reset: () => undefined,
  failed: () => true,
  closed: Promise.resolve(),
  sent: () => 0n,
  handOver: () => undefined,
};

/**
 * Ends a connection so that the peer gets everything written: what it still sends is read and dropped, since closing over
 * unread bytes makes a reset that overtakes the answer. `linger`: milliseconds until it is reset all the same.
 */
export const closeGently = async (stream: ByteStream, linger: number): Promise<void> => {
  stream.end();
  const timer = setTimeout(stream.reset, linger);
  while ((await stream.read()) !== undefined);
  await stream.closed;
  clearTimeout(timer);
};
