import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

/** A line longer than this is not one of ours; it is given on in parts, which count as damaged. */
const longestLine = 1024 * 1024;
const chunkSize = 256 * 1024;

/**
 * Reads a log that may be growing: `read` gives the whole lines written since the last call. A log that was truncated or replaced is read
 * from its beginning. Bytes are cut into lines before they become text, so a character is never split.
 */
export interface LogTail {
  readonly path: string;
  read(eachLine: (line: string) => void): void;
  /** What stands behind the last newline: a line that is still being written, or was cut short. */
  rest(): string;
  close(): void;
}

export const openLogTail = (path: string | 0): LogTail => {
  const fixed = path === 0;
  let fd = fixed ? 0 : openSync(path, 'r');
  let offset = 0;
  let kept = Buffer.alloc(0);
  const chunk = Buffer.alloc(chunkSize);

  const restart = (): void => {
    offset = 0;
    kept = Buffer.alloc(0);
  };

  /** Truncated in place, or another file has the name now. */
  const noticeReplacement = (): void => {
    if (fixed) return;
    const now = statSync(path, { throwIfNoEntry: false });
    const held = fstatSync(fd);
    if (now !== undefined && (now.ino !== held.ino || now.dev !== held.dev)) {
      const next = openSync(path, 'r');
      closeSync(fd);
      fd = next;
      restart();
    } else if (held.isFile() && held.size < offset) restart();
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

  return {
    path: fixed ? '<stdin>' : path,
    read(eachLine) {
      // What was written before a replacement is read first, as far as the old file is still open.
      drain(eachLine);
      noticeReplacement();
      drain(eachLine);
    },
    rest: () => kept.toString('utf8'),
    close: () => {
      if (!fixed) closeSync(fd);
    },
  };
};
