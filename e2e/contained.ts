import { existsSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AnyRecord, parseRecord } from '@cofferdam/flows';
import { type ExecResult, type Lab, type LabProcess, labUnavailable } from '@cofferdam/testkit/lab';

/** `cofferdam run` on the lab's host, as a user would type it. */
export const cofferdam = fileURLToPath(new URL('../cofferdam', import.meta.url));
const objectFile = fileURLToPath(new URL('../build/cofferdam.bpf.o', import.meta.url));

/** A checkout below a directory that is private to commands has to be shown to those that run its scripts. */
const root = fileURLToPath(new URL('..', import.meta.url));
const isPrivate = ['/tmp/', '/var/tmp/', '/run/'].some((place) => root.startsWith(place));
const shared: readonly string[] = isPrivate ? ['--share', root] : [];

/** Why contained runs cannot be tested here, or `false`. */
export const containedUnavailable = (): string | false => {
  const lab = labUnavailable();
  if (lab !== undefined) return lab;
  if (!existsSync(objectFile)) return 'the kernel program was not built: `make build`';
  return existsSync('/usr/bin/bwrap') ? false : 'bubblewrap is not installed; `make setup` installs it';
};

export interface ContainedOptions {
  /** YAML text. */
  readonly policy: string;
  readonly command: readonly string[];
  /** More words for `cofferdam run`, before the `--`. */
  readonly options?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** Milliseconds until SIGKILL, default 30,000. */
  readonly timeout?: number;
  /** Who the command runs as; root where absent. Its group has the same number. */
  readonly user?: number;
}

export interface ContainedResult extends ExecResult {
  /** Flow records of the run in the order they were written. */
  readonly records: readonly AnyRecord[];
}

/** A run that is still going on. */
export interface ContainedRun extends LabProcess {
  readonly logFile: string;
  readonly records: () => Promise<readonly AnyRecord[]>;
}

interface Prepared {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logFile: string;
}

const prepare = async (lab: Lab, options: ContainedOptions): Promise<Prepared> => {
  const directory = await mkdtemp(join(lab.directory, 'run-'));
  const policyFile = join(directory, 'policy.yaml');
  const logFile = join(directory, 'flows.jsonl');
  await writeFile(policyFile, options.policy);
  const user = options.user === undefined ? undefined : String(options.user);
  return {
    argv: [
      cofferdam,
      'run',
      '--policy',
      policyFile,
      '--log',
      logFile,
      ...shared,
      ...(options.options ?? []),
      '--',
      ...options.command,
    ],
    env: { ...lab.ca.environment, SUDO_UID: user, SUDO_GID: user, SUDO_USER: undefined, ...options.env },
    logFile,
  };
};

/** Records of a log; a line that is still being written is left for the next time. */
export const readRecords = async (file: string): Promise<readonly AnyRecord[]> => {
  if (!existsSync(file)) return [];
  const text = await readFile(file, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const record = parseRecord(line);
      if (!record.ok) throw new Error(`${record.error.message}: ${line}`);
      return record.value;
    });
};

/** Runs a command contained to its end. */
export const runContained = async (lab: Lab, options: ContainedOptions): Promise<ContainedResult> => {
  const { argv, env, logFile } = await prepare(lab, options);
  const result = await lab.exec('host', argv, {
    env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.input === undefined ? {} : { input: options.input }),
    timeout: options.timeout ?? 30_000,
  });
  return { ...result, records: await readRecords(logFile) };
};

/** Starts a command contained and leaves it running; what it reads on its input is the caller's to write. */
export const startContained = async (lab: Lab, options: ContainedOptions): Promise<ContainedRun> => {
  const { argv, env, logFile } = await prepare(lab, options);
  const started = lab.spawn('host', argv, { env, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) });
  return { ...started, logFile, records: () => readRecords(logFile) };
};
