import { lstatSync, readdirSync, realpathSync, type Stats } from 'node:fs';
import { dirname, join } from 'node:path';

/** Whether somebody who is not root can write to it, or put something else in its place. */
const isOpen = ({ uid, gid, mode }: Stats): boolean =>
  uid !== 0 || (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== 0);

const openBelow = (path: string): string | undefined => {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return stats.uid === 0 ? undefined : path;
  if (isOpen(stats)) return path;
  if (!stats.isDirectory()) return undefined;
  for (const name of readdirSync(path)) {
    const found = openBelow(join(path, name));
    if (found !== undefined) return found;
  }
  return undefined;
};

/**
 * The first place among `trees`, or above one of them, that others than root can change; undefined where there is none. What root is to run
 * for ever must not be theirs.
 */
export const openPlace = (trees: readonly string[]): string | undefined => {
  for (const tree of trees) {
    const real = realpathSync(tree);
    for (let above = dirname(real); ; above = dirname(above)) {
      if (isOpen(lstatSync(above))) return above;
      if (above === '/') break;
    }
    const found = openBelow(real);
    if (found !== undefined) return found;
  }
  return undefined;
};
