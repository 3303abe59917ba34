import { lstatSync, readlinkSync, type Stats } from 'node:fs';

export type PlaceKind = 'directory' | 'file' | 'socket' | 'device' | 'fifo' | 'missing';

/** A symbolic link that was followed on the way, and the uid that owns it (and could have aimed it anywhere). */
export interface FollowedLink {
  readonly path: string;
  readonly owner: number;
}

/** Where a path really leads. `real` holds no link; with kind `missing` it is where the file would be. */
export interface Place {
  readonly real: string;
  readonly kind: PlaceKind;
  readonly links: readonly FollowedLink[];
}

/** The kernel's own limit (MAXSYMLINKS). */
const maximumLinks = 40;

export function kindOf(stats: Stats): PlaceKind {
  if (stats.isDirectory()) return 'directory';
  if (stats.isSocket()) return 'socket';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isBlockDevice() || stats.isCharacterDevice()) return 'device';
  return 'file';
}

/** The entry itself, links not followed; undefined where there is none or it cannot be looked at. */
export function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // EACCES, ELOOP or a stale network mount: nothing here that could be named to the kernel either
  }
}

/**
 * Follows an absolute path one component at a time. Unlike realpath it reports each link with its owner, and it goes
 * on where the end is missing: `/etc/resolv.conf` may point into a directory that exists only later, inside the sandbox.
 */
export function walkPath(path: string): Place {
  const links: FollowedLink[] = [];
  const rest = path.split('/').filter((part) => part !== '' && part !== '.');
  let real: string[] = [];
  let kind: PlaceKind = 'directory';
  while (rest.length > 0) {
    const part = rest.shift()!;
    if (part === '..') {
      real.pop();
      continue;
    }
    const here = `/${[...real, part].join('/')}`;
    const stats = lookAt(here);
    if (stats?.isSymbolicLink() === true) {
      if (links.length >= maximumLinks) return { real: here, kind: 'missing', links };
      links.push({ path: here, owner: stats.uid });
      const target = readlinkSync(here);
      if (target.startsWith('/')) real = [];
      rest.unshift(...target.split('/').filter((step) => step !== '' && step !== '.'));
      continue;
    }
    real.push(part);
    kind = stats === undefined ? 'missing' : kindOf(stats);
  }
  return { real: `/${real.join('/')}`, kind: real.length === 0 ? 'directory' : kind, links };
}

/** True where `path` is `tree` or lies below it. */
export function isWithin(tree: string, path: string): boolean {
  return tree === '/' || path === tree || path.startsWith(`${tree}/`);
}
