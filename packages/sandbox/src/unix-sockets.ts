import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type MountPoint, parseMountTable, pathsTo, placeOf } from './mount-table.ts';
import { lookAt } from './path-walk.ts';

/** A row of /proc/net/unix that has a path. The path is what the program gave to bind(2): it may be relative. */
export interface NamedSocket {
  readonly inode: string;
  readonly path: string;
}

/** Abstract sockets (shown with `@`) are left out: they belong to a network namespace and end at its border. */
export function parseUnixTable(text: string): readonly NamedSocket[] {
  const sockets: NamedSocket[] = [];
  for (const line of text.split('\n')) {
    const row = /^[0-9a-f]+: (?:[0-9A-F]+ ){5} *([0-9]+) (.+)$/i.exec(line);
    const [, inode, path] = row ?? [];
    if (inode !== undefined && path !== undefined && !path.startsWith('@')) sockets.push({ inode, path });
  }
  return sockets;
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // processes come and go while /proc is read
  }
}

/** One process of each network namespace, since /proc/PID/net/unix lists the sockets of that namespace only. */
function processPerNetwork(pids: readonly string[]): readonly string[] {
  const seen = new Map<string, string>();
  for (const pid of pids) {
    const network = attempt(() => readlinkSync(`/proc/${pid}/ns/net`));
    if (network !== undefined && !seen.has(network)) seen.set(network, pid);
  }
  return [...seen.values()];
}

function ownersOf(pids: readonly string[], inodes: ReadonlySet<string>): ReadonlyMap<string, readonly string[]> {
  const owners = new Map<string, string[]>();
  for (const pid of pids) {
    for (const descriptor of attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      const target = attempt(() => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
      const inode = target === undefined ? undefined : /^socket:\[([0-9]+)\]$/.exec(target)?.[1];
      if (inode !== undefined && inodes.has(inode)) owners.set(inode, [...(owners.get(inode) ?? []), pid]);
    }
  }
  return owners;
}

function isSocket(path: string): boolean {
  return lookAt(path)?.isSocket() === true;
}

/** The same path with the links of its directory followed: what a mount must be aimed at. */
function realSocket(path: string): string | undefined {
  const directory = attempt(() => realpathSync(dirname(path)));
  if (directory === undefined) return undefined;
  const real = join(directory, path.slice(path.lastIndexOf('/') + 1));
  return isSocket(real) ? real : undefined;
}

/** A path as process `pid` understands it (its root, its working directory, its mounts), as paths of ours. */
function seenBy(pid: string, path: string, ours: readonly MountPoint[]): readonly string[] {
  const start = attempt(() => readlinkSync(`/proc/${pid}/${path.startsWith('/') ? 'root' : 'cwd'}`));
  const table = attempt(() => readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
  if (start === undefined || table === undefined) return [];
  const theirs = join(start, path);
  const place = placeOf(parseMountTable(table), theirs);
  return [theirs, ...(place === undefined ? [] : pathsTo(ours, place))];
}

/**
 * Every Unix socket with a path that some process of this machine holds, in any network namespace, as real paths of
 * our own view of the file system. Root sees all of them; others see what /proc shows them.
 */
export function listUnixSockets(mounts: readonly MountPoint[]): readonly string[] {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  const named = new Map<string, NamedSocket>();
  for (const pid of ['self', ...processPerNetwork(pids)]) {
    const table = attempt(() => readFileSync(`/proc/${pid}/net/unix`, 'utf8')) ?? '';
    for (const socket of parseUnixTable(table)) named.set(`${socket.inode} ${socket.path}`, socket);
  }
  const found = new Set<string>();
  const unplaced: NamedSocket[] = [];
  for (const socket of named.values()) {
    const real = socket.path.startsWith('/') ? realSocket(socket.path) : undefined;
    if (real === undefined) unplaced.push(socket);
    else found.add(real);
  }
  const owners = ownersOf(pids, new Set(unplaced.map((socket) => socket.inode)));
  for (const socket of unplaced) {
    for (const pid of owners.get(socket.inode) ?? []) {
      for (const path of seenBy(pid, socket.path, mounts)) {
        const real = realSocket(path);
        if (real !== undefined) found.add(real);
      }
    }
  }
  return [...found].sort();
}
