import { Socket } from 'node:net';

/** Lines of JSON over a connected socket, in both directions. */
export interface LineChannel<Out> {
  /** False where the other end reads too slowly, and this was left out. What is `urgent` is never left out. */
  readonly send: (message: Out, urgent?: boolean) => boolean;
  /** Says what is still to be said and closes; settles when that is done, or cannot be. */
  readonly close: () => Promise<void>;
}

export interface LineReader {
  readonly line: (line: string) => void;
  /** The other end has closed, or sent what is no line. Called once. */
  readonly end: () => void;
}

/** Of what was not read yet: a caller that stands still must not fill our memory. */
const mostWaiting = 8 * 1024 * 1024;

/** Takes the descriptor. `mostLine`: bytes of a line from the other end. */
export const openChannel = <Out>(fd: number, mostLine: number, reader: LineReader): LineChannel<Out> => {
  const socket = new Socket({ fd, readable: true, writable: true });
  let partial = '';
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    reader.end();
  };
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = (partial + text).split('\n');
    partial = lines.pop() ?? '';
    for (const line of lines) if (!ended) reader.line(line);
    if (partial.length > mostLine) socket.destroy();
  });
  // What failed is told by the close that follows.
  socket.on('error', () => undefined);
  socket.on('end', end);
  socket.on('close', end);
  return {
    send(message, urgent = false) {
      if (socket.destroyed || (!urgent && socket.writableLength > mostWaiting)) return false;
      socket.write(`${JSON.stringify(message)}\n`);
      return true;
    },
    close: () =>
      new Promise((settle) => {
        if (socket.destroyed) return settle();
        socket.once('close', () => settle());
        socket.end(() => socket.destroy());
      }),
  };
};
