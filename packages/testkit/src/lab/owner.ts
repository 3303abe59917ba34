/**
 * Whose lab a folder is, and the removal of folders whose owner is gone. Processes and namespaces need no removal: the
 * kernel ends them with their owner (machine.ts).
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Not below /tmp: what runs in a sandbox with a /tmp of its own still finds the CA and the ssh key. */
const root = '/var/lib/cofferdam-lab';
let started = 0;

/** A folder whose name says the owner's process id and start time, so that a reused id is not mistaken for the owner. */
export async function claimDirectory(): Promise<string> {
  await mkdir(root, { recursive: true, mode: 0o755 });
  await removeLeftovers();
  started += 1;
  const directory = join(root, `${process.pid}-${await startTime(process.pid)}-${started}`);
  await mkdir(directory, { mode: 0o755 });
  return directory;
}

/** @returns the folders that were removed */
export async function removeLeftovers(): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of await readdir(root)) {
    const [pid, start] = name.split('-');
    if ((await startTime(Number(pid))) === start) continue;
    await rm(join(root, name), { recursive: true, force: true });
    removed.push(join(root, name));
  }
  return removed;
}

/** In clock ticks since boot (proc_pid_stat(5), field 22); undefined when there is no such process. */
async function startTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in parentheses, may hold anything: fields are counted behind its last one.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
