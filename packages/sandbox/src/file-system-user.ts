import koffi from 'koffi';
import { once } from './libc.ts';
import type { ContainedUser } from './user.ts';

const libc = once(() => {
  const library = koffi.load('libc.so.6');
  return {
    setfsuid: library.func('int setfsuid(uint32_t uid)'),
    setfsgid: library.func('int setfsgid(uint32_t gid)'),
    syscall: library.func('long syscall(long number, ...)'),
  };
});

/** Asked for, they change nothing and give back what is set. */
const nobody = 0xffffffff;

/** The C library's own function changes all threads of the process; the system call only this one. */
const SYS_setgroups = process.arch === 'arm64' ? 159 : 116;

function setGroups(groups: readonly number[]): boolean {
  const list = Uint32Array.from(groups);
  return libc().syscall(SYS_setgroups, 'size_t', list.length, 'uint32_t *', list) === 0;
}

/**
 * Does what `look` does with files, by calls that do not wait (`…Sync`), as `user`: what the user cannot reach is not there. Of these calls
 * `accessSync` and `existsSync` ask for the real user, and are of no use here. Looking as
 * root on behalf of somebody tells them what lies behind directories that are closed to them. Where we are that user already, or are not
 * root, nothing is changed.
 */
export function asFileSystemUser<T>(user: ContainedUser, look: () => T): T {
  if (process.getuid?.() !== 0 || user.uid === 0) return look();
  const groups = process.getgroups?.() ?? [];
  const before = { uid: libc().setfsuid(nobody) as number, gid: libc().setfsgid(nobody) as number };
  try {
    if (!setGroups(user.groups)) throw new Error('the groups of the user cannot be taken on');
    libc().setfsgid(user.gid);
    libc().setfsuid(user.uid);
    // Neither call tells whether it worked.
    if (libc().setfsgid(nobody) !== user.gid || libc().setfsuid(nobody) !== user.uid)
      throw new Error('the user cannot be taken on');
    return look();
  } finally {
    libc().setfsuid(before.uid);
    libc().setfsgid(before.gid);
    setGroups(groups);
  }
}
