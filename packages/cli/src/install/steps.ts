import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defaultGroup, socketPath } from '../helper/protocol.ts';
import { ownsGroup, runningUnits, socketUnit, unitFiles } from './units.ts';

/** One thing that an installation changes. Shown as it is written here, and done just like that. */
export type Step =
  | { readonly kind: 'command'; readonly words: readonly string[] }
  | { readonly kind: 'write'; readonly path: string; readonly text: string }
  | { readonly kind: 'remove'; readonly path: string };

/** What there is now, and where to. */
export interface Place {
  /** '/' is this machine; another directory is one that becomes a machine later: its services are not touched. */
  readonly root: string;
  readonly hasGroup: boolean;
  /** A root without groups is a package to be: whoever installs it makes the group. */
  readonly hasDatabase: boolean;
  /** The text of the socket unit; undefined where nothing is installed. */
  readonly socketText: string | undefined;
}

const isThisMachine = ({ root }: Place): boolean => root === '/';

/** For tools that change user databases: below another root without entering it. */
const prefix = (place: Place): readonly string[] => (isThisMachine(place) ? [] : ['--prefix', place.root]);

export const lookAtPlace = (root: string): Place => {
  const read = (path: string): string | undefined =>
    existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined;
  const groups = read('/etc/group');
  const unit = unitFiles({ program: [], ownsGroup: false })[0]!.path;
  return {
    root,
    hasGroup: groups?.split('\n').some((line) => line.startsWith(`${defaultGroup}:`)) === true,
    hasDatabase: groups !== undefined,
    socketText: read(unit),
  };
};

export const installSteps = (place: Place, program: readonly string[], members: readonly string[]): readonly Step[] => {
  const makes = place.hasDatabase && !place.hasGroup;
  const owns = place.socketText === undefined ? makes : ownsGroup(place.socketText);
  const command = (...words: readonly string[]): Step => ({ kind: 'command', words });
  return [
    ...(!makes ? [] : [command('groupadd', '--system', ...prefix(place), defaultGroup)]),
    ...members.map((name) => command('usermod', '--append', '--groups', defaultGroup, ...prefix(place), '--', name)),
    ...unitFiles({ program, ownsGroup: owns }).map(
      ({ path, text }): Step => ({ kind: 'write', path: join(place.root, path), text }),
    ),
    ...(isThisMachine(place)
      ? [
          command('systemctl', 'daemon-reload'),
          command('systemctl', 'enable', socketUnit),
          // Not `enable --now`: a second installation has to put changed words in force.
          command('systemctl', 'restart', socketUnit),
        ]
      : []),
  ];
};

/** Nothing where nothing is installed. */
export const uninstallSteps = (place: Place): readonly Step[] => {
  if (place.socketText === undefined) return [];
  const command = (...words: readonly string[]): Step => ({ kind: 'command', words });
  return [
    ...(isThisMachine(place)
      ? [command('systemctl', 'disable', '--now', socketUnit), command('systemctl', 'stop', runningUnits)]
      : []),
    ...unitFiles({ program: [], ownsGroup: false }).map(
      ({ path }): Step => ({ kind: 'remove', path: join(place.root, path) }),
    ),
    ...(isThisMachine(place)
      ? [command('systemctl', 'daemon-reload'), { kind: 'remove', path: socketPath } as const]
      : []),
    ...(place.hasGroup && ownsGroup(place.socketText) ? [command('groupdel', ...prefix(place), defaultGroup)] : []),
  ];
};

export const describeStep = (step: Step): string => {
  switch (step.kind) {
    case 'command':
      return `run    ${step.words.join(' ')}`;
    case 'write':
      return `write  ${step.path}`;
    case 'remove':
      return `remove ${step.path}`;
  }
};

/** Directories that a removal leaves empty go too, up to the first that is not. `keep`: never these. */
const removeEmpty = (directory: string, keep: string): void => {
  for (let at = directory; at !== keep && at.startsWith(keep); at = dirname(at)) {
    try {
      rmdirSync(at);
    } catch {
      // Something else is in it: then it stays, and all above.
      return;
    }
  }
};

/** Why it could not be done; undefined where it was. */
export const doStep = (step: Step, root: string): string | undefined => {
  switch (step.kind) {
    case 'command': {
      const [program, ...words] = step.words;
      const done = spawnSync(program!, words, {
        encoding: 'utf8',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      });
      if (done.error !== undefined) return `${program}: ${done.error.message}`;
      return done.status === 0 ? undefined : `${program}: ${done.stderr.trim() || `exit code ${done.status}`}`;
    }
    case 'write':
      mkdirSync(dirname(step.path), { recursive: true, mode: 0o755 });
      writeFileSync(step.path, step.text, { mode: 0o644 });
      return undefined;
    case 'remove':
      rmSync(step.path, { force: true });
      // Of this machine, directories are the business of its packages.
      if (root !== '/') removeEmpty(dirname(step.path), root);
      return undefined;
  }
};
