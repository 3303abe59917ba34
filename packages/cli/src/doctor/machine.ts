import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import { arch, release } from 'node:os';

/** What `doctor` looks at. A test gives a machine of its own. */
export interface Machine {
  readonly architecture: string;
  readonly kernel: string;
  readonly uid: number;
  /** Text of a file; undefined where it is not there or may not be read. */
  readText(path: string): string | undefined;
  exists(path: string): boolean;
  /** Names in a directory; empty where there is none. */
  list(path: string): readonly string[];
  /** Where PATH or the usual directories have a program. */
  program(name: string): string | undefined;
  /** Runs a program and gives what it printed; undefined where it is not there or failed. */
  output(program: string, args: readonly string[]): string | undefined;
}

const directories = (): readonly string[] => [
  ...new Set([...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin']),
];

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Not there or not for us: the next directory may have it.
    return false;
  }
};

export const thisMachine = (): Machine => ({
  architecture: arch(),
  kernel: release(),
  uid: process.getuid?.() ?? -1,
  readText(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      // Absent and unreadable are one: nothing is known.
      return undefined;
    }
  },
  exists: (path) => statSync(path, { throwIfNoEntry: false }) !== undefined,
  list(path) {
    try {
      return readdirSync(path);
    } catch {
      // As above.
      return [];
    }
  },
  program: (name) =>
    directories()
      .filter((directory) => directory.startsWith('/'))
      .map((directory) => `${directory}/${name}`)
      .find(isProgram),
  output(program, args) {
    const done = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000, stdio: ['ignore', 'pipe', 'ignore'] });
    return done.status === 0 ? done.stdout : undefined;
  },
});
