import { closeSync, constants, openSync } from 'node:fs';
import { setForeground } from './libc.ts';
import { type ProcessStat, statOf } from './process-table.ts';
import type { RunningSandbox } from './start.ts';

/** What ends or resizes a run. SIGKILL and SIGSTOP cannot be passed on; SIGTSTP stops the whole group by itself. */
const forwarded = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** These the terminal sends to every process of its foreground group. */
const fromTerminal: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGWINCH']);

/** True where CMD got a signal of the terminal already, as a member of the foreground group that we are in too. */
export function sharesForeground(ours: ProcessStat | undefined, theirs: ProcessStat | undefined): boolean {
  if (ours === undefined || theirs === undefined || ours.terminal === 0) return false;
  return ours.foreground === ours.group && theirs.group === ours.group;
}

/** Whether what is typed at our terminal, if we have one, is ours to read. */
export function isForeground(): boolean {
  const ours = statOf('self');
  return ours !== undefined && ours.terminal !== 0 && ours.foreground === ours.group;
}

/**
 * Passes our signals on to CMD, each once. Returns how to stop doing so. A SIGINT that somebody sends to us alone while
 * we share the foreground with CMD looks like Ctrl-C and is not passed on.
 */
export function forwardSignals(running: RunningSandbox): () => void {
  const handlers = forwarded.map((signal) => {
    const handler = (): void => {
      if (fromTerminal.has(signal) && sharesForeground(statOf('self'), statOf(running.pid))) return;
      running.signal(signal);
    };
    process.on(signal, handler);
    return { signal, handler };
  });
  return () => {
    for (const { signal, handler } of handlers) process.off(signal, handler);
  };
}

/**
 * Takes the terminal back after CMD: a shell with job control leaves it to a group that is gone, since it cannot name ours
 * from inside. True where it is ours again, or always was.
 */
export function reclaimTerminal(): boolean {
  const ours = statOf('self');
  if (ours === undefined || ours.terminal === 0 || ours.foreground === ours.group) return true;
  // Only a group that ended may be replaced: a background job of a living shell must not grab its terminal.
  if (groupExists(ours.foreground)) return false;
  let terminal: number;
  try {
    terminal = openSync('/dev/tty', constants.O_RDWR | constants.O_NOCTTY);
  } catch {
    return false; // the terminal was hung up
  }
  const done = setForeground(terminal, ours.group);
  closeSync(terminal);
  return done;
}

function groupExists(group: number): boolean {
  if (group <= 0) return false;
  try {
    return process.kill(-group, 0);
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}
