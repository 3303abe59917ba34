import { isForCommandOnly } from './environment.ts';
import type { Mount } from './mount-plan.ts';
import type { SandboxSpec } from './prepare.ts';
import { err, ok, type Result } from './result.ts';
import type { Tools } from './tools.ts';

/** Descriptors as bubblewrap gets them. The gate is read by a shell, which knows only single digits. */
export const descriptors = { gate: 3, status: 4, options: 5, seccomp: 6, firstData: 7 } as const;

/** bubblewrap reads no more words than this from its options descriptor. */
const maximumOptions = 9000;

/** What bubblewrap is told, and the texts for descriptors from `descriptors.firstData` on. */
export interface BubblewrapOptions {
  readonly words: readonly string[];
  readonly data: readonly string[];
}

function mountWords(mount: Mount, data: string[]): readonly string[] {
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
      return ['--perms', '0644', '--ro-bind-data', String(descriptors.firstData + data.length - 1), mount.path];
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
  for (const mount of spec.mounts) words.push(...mountWords(mount, data));
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
 * Waits, as root inside the finished sandbox, for the words that the drop to the user takes; then becomes CMD. An end of
 * file instead (we died, or we found the sandbox wanting) ends it. `$1` is the line that ends the words.
 */
export const gateScript = `end=$1; shift; words=
while IFS= read -r line <&3; do
  if [ "$line" = "$end" ]; then eval "exec $words \\"\\$@\\" 3<&-"; fi
  words="$words\${words:+
}$line"
done
exit 125`;

/** Ignored by the outer steps, for a terminal sends them to the whole process group and CMD may want to survive them. */
export const groupSignals = 'HUP,INT,QUIT,TERM,USR1,USR2';

/**
 * The words for the gate: drop everything, undo the ignored signals, set what CMD alone may have. They pass a pipe and
 * are in a command line only for the moment between two steps.
 */
export function dropWords(spec: SandboxSpec, tools: Tools): string {
  const { user } = spec;
  const groups = user.groups.length === 0 ? '--clear-groups' : `--groups=${user.groups.join(',')}`;
  const variables = [...spec.environment]
    .filter(([name]) => isForCommandOnly(name))
    .map(([name, value]) => `${name}=${value}`);
  const words = [
    tools.setpriv,
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    groups,
    '--inh-caps=-all',
    '--ambient-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
    '--',
    tools.env,
    `--default-signal=${groupSignals}`,
    '--',
    ...variables,
  ];
  // env would take a program with `=` in its name for a variable.
  if (spec.command[0]?.includes('=') === true) words.push(tools.sh, '-c', 'exec "$@"', 'sh');
  return words.map(quoted).join(' ');
}
