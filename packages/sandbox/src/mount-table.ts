/** One line of /proc/PID/mountinfo (proc(5)): which part of which file system is seen at which path. */
export interface MountPoint {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The directory of that file system that is shown, `/` for all of it. */
  readonly root: string;
  readonly path: string;
  /** File system type, such as `ext4`, `proc`, `autofs`. */
  readonly type: string;
}

/** A place named by file system rather than by path, so that two paths to the same file compare equal. */
export interface FileSystemPlace {
  readonly device: string;
  readonly inner: string;
}

/** mountinfo writes space, tab, newline and backslash as octal escapes. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Lines that do not have the fields of proc(5) are left out. */
export function parseMountTable(text: string): readonly MountPoint[] {
  const mounts: MountPoint[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    const [, , device, root, path] = fields;
    const type = separator < 0 ? undefined : fields[separator + 1];
    if (device === undefined || root === undefined || path === undefined || type === undefined) continue;
    mounts.push({ device, root: unescapeField(root), path: unescapeField(path), type });
  }
  return mounts;
}

function below(tree: string, path: string): string | undefined {
  if (tree === '/') return path === '/' ? '' : path;
  if (path === tree) return '';
  return path.startsWith(`${tree}/`) ? path.slice(tree.length) : undefined;
}

function join(tree: string, rest: string): string {
  const joined = tree === '/' ? rest : tree + rest;
  return joined === '' ? '/' : joined;
}

/** `path` must hold no symbolic links. The last of several mounts on one path is the one that is seen. */
export function placeOf(mounts: readonly MountPoint[], path: string): FileSystemPlace | undefined {
  let best: MountPoint | undefined;
  for (const mount of mounts) {
    if (below(mount.path, path) === undefined) continue;
    if (best === undefined || mount.path.length >= best.path.length) best = mount;
  }
  if (best === undefined) return undefined;
  return { device: best.device, inner: join(best.root, below(best.path, path)!) };
}

/**
 * Every path under which `place` may be seen. A mask covers one path only: the same directory reached over a second
 * bind mount would show what the mask hides. Some of the paths may be covered by a later mount; the caller looks.
 */
export function pathsTo(mounts: readonly MountPoint[], place: FileSystemPlace): readonly string[] {
  const paths = new Set<string>();
  for (const mount of mounts) {
    if (mount.device !== place.device) continue;
    const rest = below(mount.root, place.inner);
    if (rest !== undefined) paths.add(join(mount.path, rest));
  }
  return [...paths];
}

/** The path itself and its other names. */
export function aliases(mounts: readonly MountPoint[], path: string): readonly string[] {
  const place = placeOf(mounts, path);
  return place === undefined ? [path] : [...new Set([path, ...pathsTo(mounts, place)])];
}
