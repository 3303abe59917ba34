import { spawnSync } from 'node:child_process';
import { isWithin, lookAt, walkPath } from './path-walk.ts';
import type { ContainedUser } from './user.ts';

/** The file, what it is reached through, and what each of these is. */
function chain(path: string): readonly string[] {
  const place = walkPath(path);
  const ends = [place.real, ...place.links.map((link) => link.path)];
  const parts = new Set<string>();
  for (const end of ends) {
    for (let at = end; at !== '/' && at !== ''; at = at.slice(0, at.lastIndexOf('/'))) parts.add(at);
    parts.add('/');
  }
  return [...parts].sort((a, b) => b.length - a.length);
}

/** Asks the kernel, as that user and without capabilities: so ACLs, groups and read-only mounts count as they do for CMD. */
function writableTo(user: ContainedUser, paths: readonly string[]): ReadonlySet<string> {
  const groups = user.groups.length === 0 ? ['--clear-groups'] : ['--groups', user.groups.join(',')];
  const drop = [
    '--reuid',
    String(user.uid),
    '--regid',
    String(user.gid),
    ...groups,
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
  ];
  const script = 'for path; do if /usr/bin/test -w "$path"; then printf "%s\\0" "$path"; fi; done';
  const command = ['/bin/sh', '-c', script, 'sh', ...paths];
  const asRoot = process.getuid?.() === 0;
  const done = asRoot
    ? spawnSync('setpriv', [...drop, '--', ...command], {
        encoding: 'utf8',
        cwd: '/',
        env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' },
      })
    : spawnSync('/bin/sh', command.slice(1), { encoding: 'utf8', cwd: '/', env: {} });
  // Where the question cannot be asked, the cautious answer is yes.
  return new Set(done.status === 0 ? done.stdout.split('\0') : paths);
}

/**
 * Why `user` could change what is read at `path` (an absolute path), in words; undefined where they cannot. `within` lists
 * the trees that CMD can write at all (`SandboxSpec.writable`); absent, all of them.
 */
export function writableBy(user: ContainedUser, path: string, within: readonly string[] = ['/']): string | undefined {
  const parts = chain(path);
  const writable = writableTo(user, parts);
  const places = new Map(parts.map((part) => [part, lookAt(part)]));
  for (const part of parts) {
    if (!within.some((tree) => isWithin(tree, part))) continue;
    const stats = places.get(part);
    if (stats === undefined) continue;
    if (stats.isSymbolicLink()) continue; // changed by way of its directory only
    // Owning is enough: the owner can give back to himself the permission that the mode withholds.
    if (stats.uid === user.uid) return `\`${part}\` belongs to user ${user.uid}`;
    if (!writable.has(part)) continue;
    if (!stats.isDirectory()) return `\`${part}\` is writable by user ${user.uid}`;
    // In a sticky directory only owners replace entries, and an owner was found already.
    const sticky = (stats.mode & 0o1000) !== 0;
    const entries = parts.filter((other) => other !== part && other.slice(0, other.lastIndexOf('/') || 1) === part);
    const own = entries.find((entry) => places.get(entry)?.uid === user.uid);
    if (sticky && own === undefined) continue;
    return sticky
      ? `\`${own}\` in \`${part}\` belongs to user ${user.uid}`
      : `the directory \`${part}\` is writable by user ${user.uid}, so what is in it can be replaced`;
  }
  return undefined;
}
