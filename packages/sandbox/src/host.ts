import { readFileSync } from 'node:fs';
import { asFileSystemUser } from './file-system-user.ts';
import { type MountPoint, parseMountTable } from './mount-table.ts';
import { type Place, walkPath } from './path-walk.ts';
import { listUnixSockets } from './unix-sockets.ts';
import type { ContainedUser } from './user.ts';

/** What planning asks of the machine; tests give a small one of their own. */
export interface Host {
  readonly mounts: readonly MountPoint[];
  /** Real paths of the Unix sockets that processes hold now. */
  readonly sockets: readonly string[];
  place(path: string): Place;
  /** undefined where there is no such file. */
  text(path: string): string | undefined;
}

export function thisHost(): Host {
  const mounts = parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'));
  return {
    mounts,
    sockets: listUnixSockets(mounts),
    place: walkPath,
    text(path) {
      return walkPath(path).kind === 'file' ? readFileSync(path, 'utf8') : undefined;
    },
  };
}

/** This machine as `user` sees it: what is closed to them is missing. Sockets are those of everybody, for masks. */
export function hostSeenBy(user: ContainedUser): Host {
  const host = thisHost();
  return {
    ...host,
    place: (path) => asFileSystemUser(user, () => host.place(path)),
    text: (path) => asFileSystemUser(user, () => host.text(path)),
  };
}
