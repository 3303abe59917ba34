import { closeSync, constants, fstatSync, lstatSync, openSync, realpathSync, renameSync, type Stats } from 'node:fs';
import { basename, dirname } from 'node:path';

export interface RotatingFile {
  /** The descriptor to append the next `bytes` to. Throws where there is no room for them. */
  readonly roomFor: (bytes: number) => number;
  /** Bytes to append at once, where it is more than a line: a file is full to within that. */
  readonly atOnce: number;
  readonly close: () => void;
}

/** Of a file, so much that nobody misses it. */
export const smallPartOf = (bytes: number): number => Math.ceil(bytes / 64);
/** PIPE_BUF of <linux/limits.h>: what others write to the same pipe does not come between. */
const pipeBytes = 4096;

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

const sameFile = (a: Stats, b: Stats | undefined): boolean => b !== undefined && a.ino === b.ino && a.dev === b.dev;

/**
 * A file to append to that is moved to FILE.1 before it grows past `mostBytes`: two files, and the newest bytes in them. Others may append
 * to it and move it too: where the name has another file now, that is gone on with.
 *
 * The command may own the directory, and this process is root: so the directory is held, not looked up again, and a new file is only ever
 * made where there is none, or taken where it is root's own. A pipe or a device is written to for ever.
 */
export const openRotatingFile = (path: string, mostBytes: number): RotatingFile => {
  let fd = openSync(path, 'a', 0o600);
  if (!fstatSync(fd).isFile()) return { roomFor: () => fd, atOnce: pipeBytes, close: () => closeSync(fd) };
  const real = realpathSync(path);
  const directory = openSync(dirname(real), O_RDONLY | O_DIRECTORY);
  const at = `/proc/self/fd/${directory}/${basename(real)}`;
  /** How often it is looked at from outside; the files are larger by at most what others write meanwhile. */
  const step = smallPartOf(mostBytes);
  let size = fstatSync(fd).size;
  let looked = size;

  /** Goes on with what has the name: another run's file, or a new one. */
  const takeNext = (): void => {
    const made = openSync(at, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    const found = fstatSync(made);
    if (!found.isFile() || found.uid !== process.getuid?.() || found.nlink !== 1) {
      closeSync(made);
      throw new Error(`another’s file has the name \`${basename(real)}\` now`);
    }
    closeSync(fd);
    fd = made;
    size = looked = found.size;
  };

  const look = (bytes: number): void => {
    const held = fstatSync(fd);
    // Somebody may have cut it short.
    size = looked = held.size;
    const moved = !sameFile(held, lstatSync(at, { throwIfNoEntry: false }));
    if (moved) takeNext();
    if (size === 0 || size + bytes <= mostBytes) return;
    renameSync(at, `${at}.1`);
    takeNext();
  };

  return {
    roomFor(bytes) {
      if (size + bytes > mostBytes || size - looked >= step) look(bytes);
      size += bytes;
      return fd;
    },
    atOnce: step,
    close() {
      closeSync(fd);
      closeSync(directory);
    },
  };
};
