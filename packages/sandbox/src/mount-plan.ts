import { isWithin } from './path-walk.ts';

/** One mount of the sandbox. All but `data` and `link` sit at real paths. */
export type Mount =
  | { readonly kind: 'bind' | 'read-only' | 'device-bind'; readonly path: string }
  | { readonly kind: 'private' | 'directory'; readonly path: string; readonly mode: string }
  | { readonly kind: 'nothing'; readonly path: string }
  | { readonly kind: 'devices' | 'processes' | 'queues'; readonly path: string }
  | { readonly kind: 'data'; readonly path: string; readonly content: string }
  | { readonly kind: 'link'; readonly path: string; readonly target: string };

/** Higher wins where two mounts name one path. */
const precedence: Readonly<Record<Mount['kind'], number>> = {
  directory: 0,
  link: 0,
  'read-only': 1,
  devices: 1,
  processes: 1,
  queues: 1,
  private: 2,
  nothing: 3,
  data: 3,
  bind: 4,
  'device-bind': 4,
};

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

function depth(path: string): number {
  return path === '/' ? 0 : path.split('/').length - 1;
}

function decidingMount(mounts: readonly Mount[], path: string): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts) {
    if (isWithin(mount.path, path) && (best === undefined || depth(mount.path) >= depth(best.path))) best = mount;
  }
  return best;
}

/** The directories on the way to what is brought back into an empty one: bubblewrap alone would make them for root only. */
function waysBack(mounts: readonly Mount[]): readonly Mount[] {
  const ways: Mount[] = [];
  for (const { path } of mounts) {
    for (let way = parentOf(path); way !== '/'; way = parentOf(way)) {
      const around = decidingMount(mounts, way);
      if (around?.kind !== 'private' || around.path === way) break;
      ways.push({ kind: 'directory', path: way, mode: '0755' });
    }
  }
  return ways;
}

/**
 * One mount a path, parents before children. So the deeper path has the last word: a share inside a hidden directory is
 * seen, a hidden socket inside a share's directory needs the planner to leave its mask out.
 */
export function orderMounts(mounts: readonly Mount[]): readonly Mount[] {
  const byPath = new Map<string, Mount>();
  for (const mount of [...waysBack(mounts), ...mounts]) {
    const rival = byPath.get(mount.path);
    if (rival === undefined || precedence[mount.kind] >= precedence[rival.kind]) byPath.set(mount.path, mount);
  }
  return [...byPath.values()].sort((a, b) => depth(a.path) - depth(b.path) || (a.path < b.path ? -1 : 1));
}

/** What bubblewrap puts into the new /dev. */
const keptDevices =
  /^\/dev\/(null|zero|full|random|urandom|tty|console|fd|stdin|stdout|stderr|core|pts|ptmx|shm|mqueue)(\/|$)/;

/** True where CMD would not find at `path` what is there outside. The empty directory put there does count as seen. */
export function isHidden(mounts: readonly Mount[], path: string): boolean {
  const mount = decidingMount(mounts, path);
  if (mount === undefined || mount.path === path) return mount?.kind === 'nothing';
  if (mount.kind === 'devices') return !keptDevices.test(path);
  return mount.kind === 'private' || mount.kind === 'directory' || mount.kind === 'nothing';
}
