import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';

/** A line longer than this is not one of ours; it is given on in parts, which count as damaged. */
const longestLine = 1024 * 1024;
const chunkSize = 256 * 1024;

/**
 * Reads a log that may be growing: `read` gives the whole lines written since the last call, those of FILE.1, the part that was moved
 * there, first. A log that was truncated or replaced is read from its beginning, and what it replaced to its end before. Bytes are cut into
 * lines before they become text, so a character is never split.
 */
export interface LogTail {
  readonly path: string;
  read(eachLine: (line: string) => void): void;
  /** What stands behind the last newline: a line that is still being written, or was cut short. */
  rest(): string;
  close(): void;
}

/** Undefined where there is none: it may be just being moved. */
const openIfThere = (path: string): number | undefined => {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

const sameFile = (a: Stats, b: Stats): boolean => a.ino === b.ino && a.dev === b.dev;

/** FILE.1, opened after FILE: what was moved in between is FILE itself. Undefined where there is none that could be read. */
const openEarlier = (path: string, fd: number): number | undefined => {
  if (!fstatSync(fd).isFile() || statSync(`${path}.1`, { throwIfNoEntry: false })?.isFile() !== true) return undefined;
  const earlier = openIfThere(`${path}.1`);
  if (earlier === undefined || !sameFile(fstatSync(earlier), fstatSync(fd))) return earlier;
  closeSync(earlier);
  return undefined;
};

export const openLogTail = (path: string | 0): LogTail => {
  const fixed = path === 0;
  let fd = fixed ? 0 : openSync(path, 'r');
  let waiting: number | undefined;
  const earlier = fixed ? undefined : openEarlier(path, fd);
  if (earlier !== undefined) [fd, waiting] = [earlier, fd];
  let offset = 0;
  let kept = Buffer.alloc(0);
  const chunk = Buffer.alloc(chunkSize);

  const restart = (): void => {
    offset = 0;
    kept = Buffer.alloc(0);
  };

  const drain = (eachLine: (line: string) => void): void => {
    const seekable = !fixed && fstatSync(fd).isFile();
    for (;;) {
      const read = readSync(fd, chunk, 0, chunk.length, seekable ? offset : null);
      if (read === 0) return;
      offset += read;
      let bytes = Buffer.concat([kept, chunk.subarray(0, read)]);
      for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10)) {
        eachLine(bytes.toString('utf8', 0, end));
        bytes = bytes.subarray(end + 1);
      }
      if (bytes.length > longestLine) {
        eachLine(bytes.toString('utf8'));
        bytes = Buffer.alloc(0);
      }
      kept = Buffer.from(bytes);
    }
  };

  /** What has been written to the file until now, and then the one that follows it. */
  const goOnWith = (next: number, eachLine: (line: string) => void): void => {
    drain(eachLine);
    // Nobody ends the last line any more.
    if (kept.length > 0) eachLine(kept.toString('utf8'));
    closeSync(fd);
    fd = next;
    restart();
  };

  /** Truncated in place, or another file has the name now. */
  const noticeReplacement = (eachLine: (line: string) => void): void => {
    if (fixed) return;
    const now = statSync(path, { throwIfNoEntry: false });
    const held = fstatSync(fd);
    if (now !== undefined && !sameFile(now, held)) {
      const next = openIfThere(path);
      if (next !== undefined) goOnWith(next, eachLine);
    } else if (held.isFile() && held.size < offset) restart();
  };

  return {
    path: fixed ? '<stdin>' : path,
    read(eachLine) {
      drain(eachLine);
      if (waiting !== undefined) {
        goOnWith(waiting, eachLine);
        waiting = undefined;
        drain(eachLine);
      }
      noticeReplacement(eachLine);
      drain(eachLine);
    },
    rest: () => kept.toString('utf8'),
    close: () => {
      if (fixed) return;
      closeSync(fd);
      if (waiting !== undefined) closeSync(waiting);
    },
  };
};
