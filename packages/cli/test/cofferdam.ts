import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runCommandLine } from '../src/command-line.ts';
import { outputOf } from '../src/output.ts';

export const root = fileURLToPath(new URL('../../..', import.meta.url));
export const program = fileURLToPath(new URL('../src/main.ts', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface How {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The command as a process of its own, with no terminal anywhere. */
export const cofferdam = (args: readonly string[], { input = '', cwd = root, env = {} }: How = {}): Ran => {
  const { NO_COLOR: _no, FORCE_COLOR: _force, NODE_OPTIONS: _options, ...rest } = process.env;
  const done = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    input,
    cwd,
    env: { ...rest, ...env },
    timeout: 60_000,
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
};

/** A command line run in this process: for many of them. Files are named by absolute paths. */
export const commandLine = async (args: readonly string[]): Promise<Ran> => {
  const out: string[] = [];
  const err: string[] = [];
  const into = (texts: string[]) =>
    outputOf({ write: (text) => texts.push(text), on: () => undefined }, { NO_COLOR: '1' });
  const code = await runCommandLine(args, into(out), into(err));
  return { code, out: out.join(''), err: err.join('') };
};

/** A directory that is gone after the tests of the file. */
export const workDirectory = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'cofferdam-cli-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
};
