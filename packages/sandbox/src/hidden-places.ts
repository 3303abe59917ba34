import { isWithin } from './path-walk.ts';

/** A directory of the machine that CMD gets an empty one of its own for. */
export interface HiddenDirectory {
  readonly path: string;
  /** Octal mode of the empty directory, as bubblewrap wants it. */
  readonly mode: string;
  readonly why: string;
}

export const hiddenDirectories: readonly HiddenDirectory[] = [
  { path: '/run', mode: '0755', why: 'container engines, D-Bus, systemd, user managers, nscd, resolved, gpg-agent' },
  { path: '/var/run', mode: '0755', why: 'the same, where it is no link to /run' },
  { path: '/tmp', mode: '1777', why: 'tmux, ssh-agent, X11, language servers and editors' },
  { path: '/var/tmp', mode: '1777', why: 'as /tmp' },
  { path: '/var/spool/cron', mode: '0755', why: 'cron runs what it finds here, outside' },
  { path: '/var/spool/at', mode: '0755', why: 'at does the same' },
  { path: '/var/spool/atjobs', mode: '0755', why: 'at does the same' },
  { path: '/var/spool/fcron', mode: '0755', why: 'fcron does the same' },
  { path: '/var/cron', mode: '0755', why: 'cron tables of other systems' },
];

/** Seen but not writable, whoever CMD runs as: what is written here runs outside, or acts on processes outside. */
export const readOnlyPlaces: readonly string[] = [
  '/sys', // cgroup.kill and cgroup.procs of a delegated cgroup belong to the user
  '/proc/sys', // uid 0 needs no capability to write kernel.core_pattern, which the kernel runs outside
  '/proc/fs',
  '/etc/crontab',
  '/etc/anacrontab',
  '/etc/cron.d',
  '/etc/cron.hourly',
  '/etc/cron.daily',
  '/etc/cron.weekly',
  '/etc/cron.monthly',
];

/** Parts of /run that hold no sockets and that programs of some distributions cannot do without. */
export const keptOfRun: readonly string[] = ['/run/current-system', '/run/booted-system', '/run/opengl-driver'];

/** Where uid 0 finds nothing writable even as its working directory. */
const systemTrees = [
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/lib',
  '/lib32',
  '/lib64',
  '/proc',
  '/run',
  '/sbin',
  '/sys',
  '/usr',
];

/**
 * Root without capabilities still owns root's files, so for uid 0 the file system is read-only but for its own places.
 * A place that is a system directory, or holds one (`/`, `/var`), is not opened for it.
 */
export function mayBeWritableForRoot(path: string): boolean {
  if (path === '/var' || path === '/var/spool') return false;
  return !systemTrees.some((tree) => isWithin(tree, path) || isWithin(path, tree));
}
