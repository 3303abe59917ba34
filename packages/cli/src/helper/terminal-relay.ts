import { closeSync, read, write } from 'node:fs';
import { copyWindowSize, isForeground, makeRaw, openPseudoTerminal } from '@cofferdam/sandbox';

/**
 * The caller's terminal and one of the command's own, joined: what is typed goes there, what is written there is shown. So keys such as
 * Ctrl-C, job control and `/dev/tty` are the command's, which is in another session than we are.
 */
export interface TerminalRelay {
  /** For the command; `release` once the helper has it. */
  readonly slave: number;
  readonly release: () => void;
  /** The command begins: keys are its own from now on. */
  readonly start: () => void;
  /** Whether lines have to be ended by a carriage return too. */
  readonly isRaw: () => boolean;
  /** Shows what is left, and gives the terminal back. */
  readonly finish: () => Promise<void>;
}

/** Milliseconds between looks at whether the shell has brought us to the foreground. */
const watchEvery = 300;
/** Milliseconds for what the command wrote last. */
const patience = 2000;

const input = process.stdin;
const output = process.stdout;

/** A copy for the terminal. One that is not raw ends lines by itself, as the command's own has done already. */
const shownAs = (bytes: Buffer, isRaw: boolean): Buffer =>
  isRaw ? Buffer.from(bytes) : Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');

/** Of standard input and output, which are the same terminal. */
export const openTerminalRelay = (): TerminalRelay => {
  const { master, slave } = openPseudoTerminal(0);
  let held = true;
  let restore: (() => void) | undefined;
  let watch: NodeJS.Timeout | undefined;
  let over = false;

  const typed: Buffer[] = [];
  let writing = false;
  const pump = (): void => {
    const next = typed[0];
    if (writing || next === undefined || over) return;
    writing = true;
    // May wait, since a program need not read: so not on this thread.
    write(master, next, (error, written) => {
      writing = false;
      if (error !== null) return void typed.splice(0);
      if (written < next.length) typed[0] = next.subarray(written);
      else typed.shift();
      if (typed.length < 16) input.resume();
      pump();
    });
  };
  const onKeys = (keys: Buffer): void => {
    typed.push(keys);
    if (typed.length >= 16) input.pause();
    pump();
  };

  const chunk = Buffer.alloc(65_536);
  const shown = new Promise<void>((settle) => {
    const next = (): void => {
      read(master, chunk, 0, chunk.length, null, (error, count) => {
        // EIO: the other side is closed, by everybody who had it.
        if (error !== null || count === 0) return settle();
        if (output.write(shownAs(chunk.subarray(0, count), restore !== undefined))) next();
        else output.once('drain', next);
      });
    };
    next();
  });

  const takeKeys = (): void => {
    if (restore !== undefined || over || !isForeground()) return;
    restore = makeRaw(0);
    copyWindowSize(0, master);
    input.on('data', onKeys);
    input.resume();
  };
  const leaveKeys = (): void => {
    input.off('data', onKeys);
    input.pause();
    restore?.();
    restore = undefined;
  };
  // The terminal was hung up: the signal that says so goes to the command.
  const onHangUp = (): void => void input.off('data', onKeys);
  const onResize = (): void => copyWindowSize(0, master);
  const onStop = (): void => {
    leaveKeys();
    process.kill(process.pid, 'SIGSTOP');
  };
  const onExit = (): void => restore?.();

  return {
    slave,
    release() {
      if (held) closeSync(slave);
      held = false;
    },
    start() {
      input.on('error', onHangUp);
      process.on('SIGWINCH', onResize);
      process.on('SIGTSTP', onStop);
      process.on('SIGCONT', takeKeys);
      process.on('exit', onExit);
      takeKeys();
      // A shell that brings a running job to the foreground tells it nothing.
      watch = setInterval(takeKeys, watchEvery);
      watch.unref();
    },
    isRaw: () => restore !== undefined,
    async finish() {
      this.release();
      clearInterval(watch);
      let late: NodeJS.Timeout | undefined;
      await Promise.race([shown, new Promise((settle) => (late = setTimeout(settle, patience)))]);
      clearTimeout(late);
      over = true;
      leaveKeys();
      input.unref();
      process.off('SIGWINCH', onResize);
      process.off('SIGTSTP', onStop);
      process.off('SIGCONT', takeKeys);
      process.off('exit', onExit);
    },
  };
};
