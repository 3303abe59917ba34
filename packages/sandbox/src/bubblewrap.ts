import { isForCommandOnly } from './environment.ts';
import type { Mount } from './mount-plan.ts';
import type { SandboxSpec } from './prepare.ts';
import { limitWord } from './resource-limits.ts';
import { err, ok, type Result } from './result.ts';
import type { Tools } from './tools.ts';
import type { ContainedUser } from './user.ts';

/** Descriptors as bubblewrap gets them. What a shell names has one digit, since it knows no others. */
export const descriptors = { gate: 3, status: 4, options: 5, seccomp: 6 } as const;

/**
 * Where CMD's standard streams are until CMD begins. On behalf of a user they are not those of the steps before it: what a descriptor does
 * when it is written to may depend on who writes.
 */
export const firstStream = ({ onBehalf }: SandboxSpec): number => (onBehalf === undefined ? 0 : 7);

/** The first of the descriptors of texts. */
const firstData = ({ onBehalf }: SandboxSpec): number => (onBehalf === undefined ? 7 : 10);

/** bubblewrap reads no more words than this from its options descriptor. */
const maximumOptions = 9000;

/** What bubblewrap is told, and the texts, in the order of their descriptors. */
export interface BubblewrapOptions {
  readonly words: readonly string[];
  readonly data: readonly string[];
}

function mountWords(mount: Mount, data: string[], first: number): readonly string[] {
  switch (mount.kind) {
    case 'bind':
      return ['--bind', mount.path, mount.path];
    case 'read-only':
      return ['--ro-bind', mount.path, mount.path];
    case 'device-bind':
      return ['--dev-bind', mount.path, mount.path];
    case 'private':
      return ['--perms', mount.mode, '--tmpfs', mount.path];
    case 'directory':
      return ['--perms', mount.mode, '--dir', mount.path];
    case 'nothing':
      // A device file without the right to open devices: neither readable nor something to connect to.
      return ['--ro-bind', '/dev/null', mount.path];
    case 'devices':
      return ['--dev', mount.path];
    case 'processes':
      return ['--proc', mount.path];
    case 'queues':
      return ['--mqueue', mount.path];
    case 'link':
      return ['--symlink', mount.target, mount.path];
    case 'data':
      data.push(mount.content);
      return ['--perms', '0644', '--ro-bind-data', String(first + data.length - 1), mount.path];
  }
}

/**
 * The options travel over a descriptor, so that the values of variables are in no command line. Variables that CMD alone
 * may have are not among them.
 */
export function bubblewrapOptions(spec: SandboxSpec): Result<BubblewrapOptions> {
  const data: string[] = [];
  const words = [
    '--unshare-pid',
    '--unshare-ipc',
    '--unshare-uts',
    '--unshare-cgroup-try',
    '--die-with-parent',
    '--clearenv',
  ];
  for (const mount of spec.mounts) words.push(...mountWords(mount, data, firstData(spec)));
  for (const [name, value] of spec.environment) if (!isForCommandOnly(name)) words.push('--setenv', name, value);
  words.push(
    '--chdir',
    spec.cwd,
    '--seccomp',
    String(descriptors.seccomp),
    '--json-status-fd',
    String(descriptors.status),
  );
  if (words.length > maximumOptions) {
    return err(
      'too-many-mounts',
      `the sandbox needs ${words.length} options`,
      `bubblewrap takes ${maximumOptions}; fewer sockets or variables`,
    );
  }
  return ok({ words, data });
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Waits inside the finished sandbox, as root or on behalf of a user as that user, for the words that come before CMD; then becomes CMD. An
 * end of file instead (we died, or we found the sandbox wanting) ends it. `$1` is the line that ends the words. `streams`: what makes the
 * standard streams those of CMD.
 */
const gate = (streams: string): string => `end=$1; shift; words=
while IFS= read -r line <&3; do
  if [ "$line" = "$end" ]; then eval "exec $words \\"\\$@\\" 3<&-${streams}"; fi
  words="$words\${words:+
}$line"
done
exit 125`;

export const gateScript = gate('');
const gateScriptOnBehalf = gate(' <&7 >&8 2>&9 7<&- 8>&- 9>&-');
export const gateScriptOf = ({ onBehalf }: SandboxSpec): string =>
  onBehalf === undefined ? gateScript : gateScriptOnBehalf;

/** Ignored by the outer steps, for a terminal sends them to the whole process group and CMD may want to survive them. */
export const groupSignals = 'HUP,INT,QUIT,TERM,USR1,USR2';

const groupWords = ({ groups }: ContainedUser): string =>
  groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`;

/**
 * What comes before bubblewrap on behalf of a user. With the real uid of the user and the effective one of root it takes itself for a
 * program with the setuid bit that the user started: it makes files, follows links and mounts with the permissions of the user, so that a
 * link that is moved under its hands leads nowhere new, and drops all privileges at the end.
 */
export function userWords({ user, onBehalf }: SandboxSpec, tools: Tools): readonly string[] {
  if (onBehalf === undefined) return [];
  return [tools.setpriv, `--ruid=${user.uid}`, '--euid=0', `--regid=${user.gid}`, groupWords(user), '--'];
}

/**
 * The words for the gate: drop everything, undo the ignored signals, set what CMD alone may have. They pass a pipe and
 * are in a command line only for the moment between two steps.
 */
export function dropWords(spec: SandboxSpec, tools: Tools): string {
  const { user, onBehalf } = spec;
  const variables = [...spec.environment]
    .filter(([name]) => isForCommandOnly(name))
    .map(([name, value]) => `${name}=${value}`);
  const drop = [
    tools.setpriv,
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    groupWords(user),
    '--inh-caps=-all',
    '--ambient-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
    '--',
  ];
  // Dropped already, by bubblewrap. A session of its own, for the one around it is not the user's.
  const session = [tools.setsid, ...(onBehalf?.terminal === true ? ['--ctty'] : []), '--'];
  const limits = onBehalf?.limits.map(limitWord) ?? [];
  const lead = [...session, ...(limits.length === 0 ? [] : [tools.prlimit, ...limits, '--'])];
  const words = [
    ...(onBehalf === undefined ? drop : lead),
    tools.env,
    `--default-signal=${groupSignals}`,
    '--',
    ...variables,
  ];
  // env would take a program with `=` in its name for a variable.
  if (spec.command[0]?.includes('=') === true) words.push(tools.sh, '-c', 'exec "$@"', 'sh');
  return words.map(quoted).join(' ');
}
