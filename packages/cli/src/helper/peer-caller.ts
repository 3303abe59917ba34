import { readlinkSync } from 'node:fs';
import { err, ok, type Result } from '@cofferdam/net';
import { type ContainedUser, type Peer, userById } from '@cofferdam/sandbox';

/** uid of files and processes that have none here: of another user namespace. */
const overflow = 65_534;

/** Where paths and networks mean what they mean to us. */
const places = ['net', 'mnt', 'pid', 'user'] as const;

const namespaceOf = (pid: number | 'self', kind: (typeof places)[number]): string | undefined => {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    // The process has ended.
    return undefined;
  }
};

/**
 * The user at the other end of the connection, as the kernel knows them, without the helper's group `helperGroup`: so their command may not
 * ask the helper for a way out, wherever it finds its socket.
 */
export const callerOf = (peer: Peer, helperGroup: number): Result<ContainedUser> => {
  const { uid, gid, pid } = peer;
  if (uid === 0) return err('root', 'root needs no helper', 'run it as root, or as yourself');
  if (uid === overflow)
    return err('unknown-user', 'the caller is a user of another user namespace', 'run it on the machine itself');
  if (gid !== helperGroup && !peer.groups.includes(helperGroup))
    return err('not-in-group', 'the caller is not in the group of the helper', 'ask root for `usermod -aG`');
  // The number may be another process by now; what was said above may not. This is for honest callers in containers.
  for (const kind of places) {
    if (namespaceOf(pid, kind) !== namespaceOf('self', kind))
      return err(
        'other-namespace',
        `the caller is in another ${kind} namespace than the helper`,
        'run it on the machine itself, not in a container',
      );
  }
  const known = userById(uid);
  // `newgrp cofferdam` makes the helper's group the first one.
  const first = gid === helperGroup ? known.gid : gid;
  if (first === helperGroup)
    return err(
      'group-is-primary',
      'the group of the helper is the primary group of the caller, and cannot be taken from the command',
      'ask root to make it a supplementary one: `usermod -g users -aG cofferdam NAME`',
    );
  const groups = [...new Set([first, ...peer.groups])].filter((group) => group !== helperGroup);
  return ok({ ...known, gid: first, groups });
};
