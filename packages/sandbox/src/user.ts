import { spawnSync } from 'node:child_process';
import { err, ok, type Result } from './result.ts';

/** Who CMD runs as. `groups` are the supplementary ones; none means that all are dropped. */
export interface ContainedUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly name: string;
  /** Absolute path. */
  readonly home: string;
}

function output(command: string, ...args: readonly string[]): string | undefined {
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  });
  return done.status === 0 ? done.stdout.trim() : undefined;
}

function decimal(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,10}$/.test(text) && Number(text) < 0xffffffff ? Number(text) : undefined;
}

/** A user by number, as the machine's databases know it; one that they do not know has no home and no other groups. */
export function userById(uid: number, gid?: number): ContainedUser {
  const [name, , , primary, , home] = output('getent', 'passwd', String(uid))?.split(':') ?? [];
  const group = gid ?? decimal(primary) ?? uid;
  if (name === undefined || home === undefined)
    return { uid, gid: group, groups: [group], name: String(uid), home: '/' };
  const groups = (output('id', '-G', '--', name) ?? '').split(' ').flatMap((text) => decimal(text) ?? []);
  return { uid, gid: group, groups: groups.length === 0 ? [group] : groups, name, home: home || '/' };
}

/**
 * The user who asked: of sudo, doas or pkexec where we are root by way of one, else the real uid. Only root can have set
 * these variables for a process of root, so they are believed just there.
 */
export function invokingUser(
  environment: Readonly<Record<string, string | undefined>>,
  processUid: number = process.getuid?.() ?? 0,
): Result<ContainedUser> {
  if (processUid !== 0) return ok(userById(processUid));
  const stated = environment.SUDO_UID ?? environment.PKEXEC_UID;
  if (stated === undefined) {
    const doas = environment.DOAS_USER;
    const uid = doas === undefined ? 0 : decimal(output('id', '-u', '--', doas));
    if (uid !== undefined) return ok(userById(uid));
    return err('unknown-user', `the user \`${doas}\` is not known`, 'name a user of this machine in DOAS_USER');
  }
  const uid = decimal(stated);
  if (uid === undefined)
    return err('unknown-user', `\`${stated}\` is not a user number`, 'SUDO_UID holds a decimal uid');
  return ok(userById(uid, environment.SUDO_UID === undefined ? undefined : decimal(environment.SUDO_GID)));
}
