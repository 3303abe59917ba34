import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Where runs keep what others may want to see of them: one directory each, with `run.json` (who it is) and `flows.jsonl` (its
 * records). It is root's, and hidden from the contained command.
 */
export const runsDirectory = '/run/cofferdam/runs';
export const flowsFile = (run: string): string => join(runsDirectory, run, 'flows.jsonl');

/** Directories of runs that ended and are kept for `cofferdam flows`. */
const keptRuns = 20;

export interface RunState {
  readonly run: string;
  readonly pid: number;
  /** Start of the process in clock ticks since boot: tells it from a later one of the same number. */
  readonly startTicks: string;
  readonly agent: string;
  readonly command: readonly string[];
  /** Milliseconds since the epoch. */
  readonly started: number;
}

/** Field 22 of /proc/PID/stat; undefined where there is no such process. */
export const startTicksOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined; // it is gone
  }
};

const readState = (run: string): RunState | undefined => {
  try {
    return JSON.parse(readFileSync(join(runsDirectory, run, 'run.json'), 'utf8')) as RunState;
  } catch {
    return undefined; // not written yet, or half of it: the run that owns it is not known
  }
};

const isRunning = (state: RunState): boolean => startTicksOf(state.pid) === state.startTicks;

/** All runs that left a directory, oldest first. */
export const listRuns = (): readonly { readonly run: string; readonly state: RunState | undefined; readonly live: boolean }[] => {
  let names: string[];
  try {
    names = readdirSync(runsDirectory);
  } catch {
    return []; // no run was ever started here
  }
  return names
    .map((run) => {
      const state = readState(run);
      return { run, state, live: state !== undefined && isRunning(state) };
    })
    .sort((a, b) => (a.state?.started ?? 0) - (b.state?.started ?? 0));
};

export const isLiveRun = (run: string): boolean => {
  const state = readState(run);
  return state !== undefined && isRunning(state);
};

/** Makes the directory of a run. Only root can. */
export const createRunDirectory = (state: RunState): string => {
  const path = join(runsDirectory, state.run);
  mkdirSync(runsDirectory, { recursive: true, mode: 0o755 });
  mkdirSync(path, { mode: 0o700 });
  writeFileSync(join(path, 'run.json'), JSON.stringify(state), { mode: 0o600 });
  return path;
};

/** Forgets the oldest runs that ended, and what has no owner for more than a minute. */
export const pruneRuns = (): void => {
  const ended = listRuns().filter(({ live }) => !live);
  const unowned = ended.filter(({ run, state }) => state === undefined && isOld(join(runsDirectory, run)));
  const old = ended.filter(({ state }) => state !== undefined).slice(0, -keptRuns);
  for (const { run } of [...unowned, ...old]) rmSync(join(runsDirectory, run), { recursive: true, force: true });
};

const isOld = (path: string): boolean => {
  try {
    return Date.now() - statSync(path).mtimeMs > 60_000;
  } catch {
    return false; // somebody else removed it
  }
};
