import { spawnSync } from 'node:child_process';

/** The number of a group; undefined where the machine does not know it. */
export const groupNumber = (name: string): number | undefined => {
  const done = spawnSync('getent', ['group', '--', name], {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  });
  const number = done.status === 0 ? done.stdout.split(':')[2] : undefined;
  return number !== undefined && /^[0-9]{1,10}$/.test(number) ? Number(number) : undefined;
};
