import { closeSync, constants, openSync } from 'node:fs';
import koffi from 'koffi';
import { once } from './libc.ts';

const TCSADRAIN = 1;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;

const libc = once(() => {
  const library = koffi.load('libc.so.6');
  return {
    unlockpt: library.func('int unlockpt(int fd)'),
    ptsname: library.func('int ptsname_r(int fd, _Out_ char *name, size_t length)'),
    tcgetattr: library.func('int tcgetattr(int fd, void *settings)'),
    tcsetattr: library.func('int tcsetattr(int fd, int when, const void *settings)'),
    cfmakeraw: library.func('void cfmakeraw(void *settings)'),
    ioctl: library.func('int ioctl(int fd, unsigned long request, ...)'),
    openpty: library.func('int posix_openpt(int flags)'),
  };
});

/** A terminal of our own: what is written to one side is read from the other. */
export interface PseudoTerminal {
  /** The side of whoever plays the terminal. */
  readonly master: number;
  /** The side of the program, for which it is a terminal. */
  readonly slave: number;
}

/** Settings and size are those of `like`, a descriptor of a terminal. Both sides are ours to close. */
export function openPseudoTerminal(like: number): PseudoTerminal {
  const { O_RDWR, O_NOCTTY } = constants;
  const master: number = libc().openpty(O_RDWR | O_NOCTTY | 0o2000000);
  if (master < 0) throw new Error(`no pseudo-terminal is to be had (error ${koffi.errno()})`);
  try {
    const name = Buffer.alloc(64);
    if (libc().unlockpt(master) !== 0 || libc().ptsname(master, name, name.length) !== 0)
      throw new Error(`the pseudo-terminal cannot be opened (error ${koffi.errno()})`);
    const slave = openSync(name.toString('utf8', 0, name.indexOf(0)), O_RDWR | O_NOCTTY);
    const settings = Buffer.alloc(256);
    if (libc().tcgetattr(like, settings) === 0) libc().tcsetattr(slave, TCSADRAIN, settings);
    copyWindowSize(like, master);
    return { master, slave };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

/** What runs at the other side is told by SIGWINCH where the size changed. */
export function copyWindowSize(from: number, to: number): void {
  const size = Buffer.alloc(8);
  if (libc().ioctl(from, TIOCGWINSZ, 'void *', size) === 0) libc().ioctl(to, TIOCSWINSZ, 'void *', size);
}

/**
 * Every byte passes as it is typed and as it is written: what keys and newlines mean is for another terminal to say. Returns what sets the
 * terminal back; undefined where the descriptor is none. Calling that twice does no harm.
 */
export function makeRaw(terminal: number): (() => void) | undefined {
  const before = Buffer.alloc(256);
  if (libc().tcgetattr(terminal, before) !== 0) return undefined;
  const raw = Buffer.from(before);
  libc().cfmakeraw(raw);
  if (libc().tcsetattr(terminal, TCSADRAIN, raw) !== 0) return undefined;
  let done = false;
  return () => {
    if (!done) libc().tcsetattr(terminal, TCSADRAIN, before);
    done = true;
  };
}
