import { isAbsolute, resolve } from 'node:path';
import { scrubEnvironment } from './environment.ts';
import { hiddenDirectories, keptOfRun, mayBeWritableForRoot, readOnlyPlaces } from './hidden-places.ts';
import { type Host, hostSeenBy, thisHost } from './host.ts';
import { isHidden, type Mount, orderMounts } from './mount-plan.ts';
import { aliases } from './mount-table.ts';
import { containedNameService } from './name-service.ts';
import { isWithin } from './path-walk.ts';
import type { ResourceLimit } from './resource-limits.ts';
import { err, ok, type Result } from './result.ts';
import { planShares } from './shares.ts';
import { planTrust } from './trust.ts';
import type { ContainedUser } from './user.ts';

/** As in `child_process.spawn`: a number is a descriptor of ours. */
export type StandardStream = 'inherit' | 'ignore' | 'pipe' | number;

/**
 * The run of a user who must gain nothing by our being root. What they name is looked at and mounted with their permissions, links that
 * are moved meanwhile included; their descriptors are in nobody's hands who has privileges; the terminal is not ours.
 */
export interface OnBehalf {
  /** Standard input is a terminal, and becomes the controlling terminal of the session that CMD leads. */
  readonly terminal: boolean;
  /** File mode creation mask of CMD. */
  readonly umask: number;
  /** Set when nothing is left that the user must not have a hand in: a limit can make a step fail half way. */
  readonly limits: readonly ResourceLimit[];
}

export interface SandboxRequest {
  /** A namespace file, such as /run/netns/NAME or /proc/PID/ns/net. */
  readonly networkNamespace: string;
  readonly user: ContainedUser;
  /** Absolute path. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute paths that CMD may see although they are hidden: files, directories, sockets, devices. */
  readonly shares: readonly string[];
  /** The whole text of /etc/resolv.conf for CMD. */
  readonly resolvConf: string;
  /** PEM of an authority that CMD is to trust beside those of the machine. Absent: none. */
  readonly authority?: string;
  /** The run's own files and directories, which must exist: hidden unless a share names them or something in them. */
  readonly hidden: readonly string[];
  /** Program and arguments; a program without a slash is looked for in PATH. */
  readonly command: readonly string[];
  /** Standard input, output and error; all inherited where absent. */
  readonly stdio?: readonly [StandardStream, StandardStream, StandardStream];
  /** Absent: who asks is root, or could be. */
  readonly onBehalf?: OnBehalf | undefined;
}

/** Everything that `startSandbox` does, as data. */
export interface SandboxSpec {
  readonly networkNamespace: string;
  readonly user: ContainedUser;
  readonly cwd: string;
  readonly command: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
  /** Names of the variables that were left out since they point at something hidden. */
  readonly removedVariables: readonly string[];
  /** In the order in which they are made. */
  readonly mounts: readonly Mount[];
  /** Real paths that shares cover: sockets in them are not masked. */
  readonly shares: readonly string[];
  /** The trees that uid 0 may write; undefined where permissions alone decide. */
  readonly writable: readonly string[] | undefined;
  /** What the operator should know, in words. */
  readonly warnings: readonly string[];
  readonly stdio: readonly [StandardStream, StandardStream, StandardStream];
  readonly onBehalf: OnBehalf | undefined;
}

function base(user: ContainedUser, host: Host): Mount[] {
  const mounts: Mount[] = [
    { kind: user.uid === 0 ? 'read-only' : 'bind', path: '/' },
    { kind: 'devices', path: '/dev' },
    { kind: 'private', path: '/dev/shm', mode: '1777' },
    { kind: 'queues', path: '/dev/mqueue' },
    { kind: 'processes', path: '/proc' },
    { kind: 'private', path: '/run/lock', mode: '1777' },
    { kind: 'link', path: '/run/shm', target: '/dev/shm' },
  ];
  for (const path of readOnlyPlaces) {
    const place = host.place(path);
    if (place.kind !== 'missing') mounts.push({ kind: 'read-only', path: place.real });
  }
  for (const path of keptOfRun) {
    if (host.place(path).kind !== 'missing') mounts.push({ kind: 'read-only', path: host.place(path).real });
  }
  return mounts;
}

/** Hidden directories under each of their names, and whole file systems that act outside. */
function privatePlaces(host: Host, needed: readonly string[], onBehalf: boolean): Mount[] {
  const mounts: Mount[] = [];
  for (const { path, mode } of hiddenDirectories) {
    const place = host.place(path);
    if (place.kind !== 'directory') continue;
    for (const name of aliases(host.mounts, place.real)) {
      if (host.place(name).real === name && host.place(name).kind === 'directory')
        mounts.push({ kind: 'private', path: name, mode });
    }
  }
  for (const { path, type } of host.mounts) {
    if (isWithin('/proc', path) || isWithin('/sys', path) || isWithin('/dev', path)) continue;
    // What its user cannot reach CMD cannot either, and nothing can be mounted there with their permissions.
    if (onBehalf && host.place(path).kind === 'missing') continue;
    // A second proc (of a chroot) shows the processes outside, with their roots, memory and descriptors.
    if (type === 'proc')
      mounts.push(
        host.place(path).kind === 'directory' ? { kind: 'private', path, mode: '0555' } : { kind: 'nothing', path },
      );
    // Looking a name up under autofs makes the machine mount it: a connection that nobody judged.
    if (type === 'autofs' && !needed.some((place) => isWithin(path, place)))
      mounts.push({ kind: 'private', path, mode: '0555' });
    if (type === 'cgroup' || type === 'cgroup2') mounts.push({ kind: 'read-only', path });
  }
  return mounts;
}

function ownFiles(host: Host, hidden: readonly string[]): Result<Mount[]> {
  const mounts: Mount[] = [];
  for (const path of hidden) {
    const place = host.place(path);
    if (place.kind === 'missing')
      return err('hidden-missing', `\`${path}\` does not exist`, 'a file must exist before it can be hidden');
    for (const name of aliases(host.mounts, place.real)) {
      const { real, kind } = host.place(name);
      if (real !== name || kind === 'missing') continue;
      mounts.push(
        kind === 'directory' ? { kind: 'private', path: name, mode: '0711' } : { kind: 'nothing', path: name },
      );
    }
  }
  return ok(mounts);
}

function nameFiles(host: Host, resolvConf: string): Result<Mount[]> {
  const resolver = host.place('/etc/resolv.conf');
  // Where the link dangles the file is made in the private directory it leads to; on the machine's disk we make none.
  const made = hiddenDirectories.some((hidden) => isWithin(hidden.path, resolver.real));
  if (resolver.kind === 'missing' && !made) {
    return err(
      'no-resolv-conf',
      `\`${resolver.real}\` does not exist`,
      'create an empty /etc/resolv.conf: CMD is given its own in its place',
    );
  }
  const mounts: Mount[] = [{ kind: 'data', path: resolver.real, content: resolvConf }];
  const names = host.place('/etc/nsswitch.conf');
  // Without the file the C library's own default is `files dns` already.
  if (names.kind !== 'missing') {
    mounts.push({
      kind: 'data',
      path: names.real,
      content: containedNameService(host.text('/etc/nsswitch.conf') ?? ''),
    });
  }
  return ok(mounts);
}

/** Where the program is, as CMD would find it; undefined where nowhere. */
function findProgram(host: Host, program: string, cwd: string, path: string | undefined): string | undefined {
  const directories = program.includes('/') ? ['.'] : (path ?? '/usr/local/bin:/usr/bin:/bin').split(':');
  const candidates = directories.map((directory) => resolve(cwd, directory, program));
  return candidates.find((candidate) => host.place(candidate).kind === 'file');
}

/** The machine, as whoever asks for the run is to know it. */
function hostFor({ user, onBehalf }: SandboxRequest): Host {
  return onBehalf === undefined ? thisHost() : hostSeenBy(user);
}

/** Plans the sandbox; nothing is changed on the machine. */
export function prepareSandbox(request: SandboxRequest, host: Host = hostFor(request)): Result<SandboxSpec> {
  const { user, cwd, onBehalf } = request;
  if (onBehalf !== undefined && user.uid === 0)
    return err('not-a-user', 'root needs nobody to act on its behalf', 'run it as root');
  const [program] = request.command;
  if (program === undefined || program === '')
    return err('no-command', 'there is no command to run', 'give a program and its arguments');
  const workplace = host.place(cwd);
  if (!isAbsolute(cwd) || workplace.kind !== 'directory') {
    return err('cwd-missing', `\`${cwd}\` is not a directory`, 'start from an existing directory');
  }
  const shares = planShares(request.shares, host);
  if (!shares.ok) return shares;
  const own = ownFiles(host, request.hidden);
  if (!own.ok) return own;
  const names = nameFiles(host, request.resolvConf);
  if (!names.ok) return names;

  const warnings: string[] = [...shares.value.warnings];
  const home = host.place(user.home);
  const places = [workplace, home].filter((place) => place.kind === 'directory').map((place) => place.real);
  const hides = privatePlaces(host, [...places, ...shares.value.paths], onBehalf !== undefined);
  const planned: Mount[] = [...base(user, host), ...hides];
  const writable: string[] = [];
  for (const place of new Set(places)) {
    // A hidden directory itself stays the empty one; what lies inside it is brought back.
    const hidden = hides.some((mount) => mount.path !== place && isWithin(mount.path, place));
    const exact = hides.some((mount) => mount.path === place);
    const opened = user.uid === 0 && !exact && mayBeWritableForRoot(place);
    if (hidden || opened) planned.push({ kind: 'bind', path: place });
    if (opened || hidden) writable.push(place);
    else if (user.uid === 0 && !exact) warnings.push(`the command runs as root: \`${place}\` is read-only to it`);
  }
  const trust = request.authority === undefined ? undefined : planTrust(request.authority, request.env, host);
  planned.push(...own.value, ...names.value, ...(trust?.mounts ?? []), ...shares.value.mounts);
  const ordered = orderMounts(planned);
  const shared = (path: string): boolean => shares.value.paths.some((share) => isWithin(share, path));
  const masks: Mount[] = [];
  for (const socket of host.sockets.flatMap((path) => aliases(host.mounts, path))) {
    if (isHidden(ordered, socket) || isWithin('/proc', socket) || host.place(socket).kind !== 'socket') continue;
    if (shared(socket)) warnings.push(`the socket \`${socket}\` is shared: what listens there can act for the command`);
    else masks.push({ kind: 'nothing', path: socket });
  }
  const mounts = orderMounts([...planned, ...masks]);
  const found = findProgram(host, program, workplace.real, request.env.PATH);
  if (found === undefined)
    return err('command-not-found', `\`${program}\` was not found`, 'name a program in PATH, or give its path');
  if (isHidden(mounts, host.place(found).real)) {
    return err(
      'command-hidden',
      `\`${found}\` is in a directory that is hidden from the command`,
      `add --share ${found}`,
    );
  }
  const scrubbed = scrubEnvironment(request.env, (path) => isHidden(mounts, host.place(path).real));
  const environment = new Map(scrubbed.variables);
  for (const [name, value] of [
    ['HOME', user.home],
    ['USER', user.name],
    ['LOGNAME', user.name],
    ['PWD', workplace.real],
  ] as const) {
    environment.set(name, value);
  }
  for (const [name, value] of trust?.variables ?? []) environment.set(name, value);
  return ok({
    networkNamespace: request.networkNamespace,
    user,
    cwd: workplace.real,
    command: request.command,
    environment,
    removedVariables: scrubbed.removed,
    mounts,
    shares: shares.value.paths,
    writable: user.uid === 0 ? [...writable, '/tmp', '/var/tmp', ...shares.value.paths] : undefined,
    warnings,
    stdio: request.stdio ?? ['inherit', 'inherit', 'inherit'],
    onBehalf,
  });
}
