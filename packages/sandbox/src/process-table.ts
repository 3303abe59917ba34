import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A field of /proc that is gone, or not for us, is undefined. */
function proc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return undefined; // the process ended
  }
}

/** What proc(5) says of a process in `stat`, as far as terminals and ancestry go. */
export interface ProcessStat {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  /** Device number of the controlling terminal, 0 for none. */
  readonly terminal: number;
  /** Foreground process group of that terminal, -1 for none. */
  readonly foreground: number;
}

/** The second field, the name, is in parentheses and may hold both spaces and parentheses. */
export function parseStat(text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent, group, , terminal, foreground] = fields;
  if (state === undefined || foreground === undefined) return undefined;
  return {
    state,
    parent: Number(parent),
    group: Number(group),
    terminal: Number(terminal),
    foreground: Number(foreground),
  };
}

export function statOf(pid: number | 'self'): ProcessStat | undefined {
  const text = proc(`${pid}/stat`);
  return text === undefined ? undefined : parseStat(text);
}

/** False once a process has ended, also while nobody has collected it. */
export function isAlive(pid: number): boolean {
  const state = statOf(pid)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

export function childrenOf(pid: number): readonly number[] {
  const listed = proc(`${pid}/task/${pid}/children`);
  if (listed !== undefined) return listed.trim().split(' ').filter(Boolean).map(Number);
  // Kernels without CONFIG_PROC_CHILDREN.
  const pids = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number);
  return pids.filter((candidate) => statOf(candidate)?.parent === pid);
}

/** A line of /proc/PID/status, without its name. */
export function statusField(pid: number, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(proc(`${pid}/status`) ?? '')?.[1];
}

export function namespaceOf(pid: number | 'self', kind: 'net' | 'mnt' | 'pid' | 'ipc'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined; // the process ended
  }
}
