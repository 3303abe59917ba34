import { existsSync } from 'node:fs';
import { err, ok, type Result } from './result.ts';

/** Programs that the sandbox is made with, and the package of Debian that each is in. */
const packages = {
  env: 'coreutils',
  nsenter: 'util-linux',
  bwrap: 'bubblewrap',
  setpriv: 'util-linux',
  setsid: 'util-linux',
  prlimit: 'util-linux',
  sh: 'dash',
} as const;

export type Tools = Readonly<Record<keyof typeof packages, string>>;

/** Not from PATH, which is the user's. */
export const toolDirectories = ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/run/current-system/sw/bin'] as const;

/** The path of each tool. */
export function findTools(exists: (path: string) => boolean = existsSync): Result<Tools> {
  const found = { env: '', nsenter: '', bwrap: '', setpriv: '', setsid: '', prlimit: '', sh: '' };
  for (const tool of Object.keys(packages) as (keyof typeof packages)[]) {
    const path = toolDirectories.map((directory) => `${directory}/${tool}`).find(exists);
    if (path === undefined)
      return err('tool-missing', `\`${tool}\` is not installed`, `install the package ${packages[tool]}`);
    found[tool] = path;
  }
  return ok(found);
}
