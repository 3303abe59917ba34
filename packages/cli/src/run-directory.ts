import {
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';

/**
 * Where every run keeps what others may look at: `RUNS/ID/run.json`, who it is; and `RUNS/ID/flows.jsonl`, its records, one on a line.
 * Both stay when the run ends, so that `cofferdam flows` can be asked afterwards; they are in memory (`/run`) and later runs take old ones
 * away. Root owns them; whoever called sudo may read those of their own runs.
 */
export const runsDirectory = '/run/cofferdam/runs';

export const runDirectory = (run: string, runs = runsDirectory): string => `${runs}/${run}`;
export const flowsFile = (run: string, runs = runsDirectory): string => `${runDirectory(run, runs)}/flows.jsonl`;
/** Where a live run tells of itself. */
export const runStatusSocket = (run: string, runs = runsDirectory): string => `${runDirectory(run, runs)}/status.sock`;
const descriptionFile = (run: string, runs: string): string => `${runDirectory(run, runs)}/run.json`;

export interface RunState {
  /** Hexadecimal; names the directory, the link and the tables of the run. */
  readonly run: string;
  readonly pid: number;
  /** When the process began, in clock ticks after boot: process numbers are used again. */
  readonly startTicks: string;
  readonly agent: string;
  readonly command: readonly string[];
  /** Milliseconds since the epoch. */
  readonly started: number;
}

const readOr = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Not there, or not for us to see: the caller cannot tell either, and need not.
    return undefined;
  }
};

/** When a process began; undefined where there is none of that number. Its name, in brackets, may hold spaces and brackets. */
export const startTicksOf = (pid: number): string | undefined => {
  const stat = readOr(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
};

/** A directory that is there already is taken over: a gateway has the same one at each start. */
/** `reader`: the group that may read the records, beside root. */
export const createRunDirectory = (
  description: RunState,
  runs = runsDirectory,
  reader = Number(process.env.SUDO_GID),
): void => {
  mkdirSync(runs, { recursive: true, mode: 0o755 });
  const { run } = description;
  const directory = runDirectory(run, runs);
  mkdirSync(directory, { mode: 0o750, recursive: true });
  writeFileSync(descriptionFile(run, runs), `${JSON.stringify(description)}\n`, { mode: 0o640 });
  closeSync(openSync(flowsFile(run, runs), 'a', 0o640));
  if (process.getuid?.() !== 0 || !Number.isInteger(reader) || reader <= 0) return;
  for (const path of [directory, descriptionFile(run, runs), flowsFile(run, runs)]) chownSync(path, 0, reader);
};

const isText = (value: unknown): value is string => typeof value === 'string';

const describe = (text: string | undefined): RunState | undefined => {
  try {
    const d = JSON.parse(text ?? '') as Partial<Record<keyof RunState, unknown>>;
    const { run, pid, startTicks, agent, command, started } = d;
    if (
      !isText(run) ||
      !isText(startTicks) ||
      !isText(agent) ||
      typeof pid !== 'number' ||
      typeof started !== 'number'
    ) {
      return undefined;
    }
    return { run, pid, startTicks, agent, command: Array.isArray(command) ? command.filter(isText) : [], started };
  } catch {
    // Cut short by a crash, or not ours.
    return undefined;
  }
};

export const readRun = (run: string, runs = runsDirectory): RunState | undefined =>
  describe(readOr(descriptionFile(run, runs)));

/** Whether the process of a run is there. */
export const isLiveRun = (run: string, runs = runsDirectory): boolean => {
  const description = readRun(run, runs);
  return description !== undefined && startTicksOf(description.pid) === description.startTicks;
};

export interface RunEntry {
  readonly run: string;
  readonly log: string;
  readonly live: boolean;
}

export type RunsListing =
  | { readonly kind: 'runs'; readonly runs: readonly RunEntry[] }
  /** No run has been here since the machine started. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'forbidden' };

export const listRuns = (runs = runsDirectory): RunsListing => {
  try {
    const names = readdirSync(runs, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
    return { kind: 'runs', runs: names.map((run) => ({ run, log: flowsFile(run, runs), live: isLiveRun(run, runs) })) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { kind: code === 'EACCES' || code === 'EPERM' ? 'forbidden' : 'absent' };
  }
};

const keptRuns = 20;
const keptBytes = 64 * 1024 * 1024;

/** Takes away the oldest ended runs, beyond the last 20 or 64 MiB of records. Live ones stay. */
export const pruneRuns = (runs = runsDirectory): void => {
  const listing = listRuns(runs);
  if (listing.kind !== 'runs') return;
  const ended = listing.runs
    .filter(({ live }) => !live)
    .map(({ run, log }) => {
      // A process that was killed leaves its socket.
      rmSync(runStatusSocket(run, runs), { force: true });
      const stat = statSync(log, { throwIfNoEntry: false });
      // A run that is just beginning has no log yet: its directory is as young as it is.
      const own = statSync(runDirectory(run, runs), { throwIfNoEntry: false });
      return { run, bytes: stat?.size ?? 0, last: stat?.mtimeMs ?? own?.mtimeMs ?? 0 };
    })
    .sort((a, b) => b.last - a.last);
  let bytes = 0;
  for (const [i, one] of ended.entries()) {
    bytes += one.bytes;
    if (i >= keptRuns || bytes > keptBytes) rmSync(runDirectory(one.run, runs), { recursive: true, force: true });
  }
};
