/**
 * A machine of the lab: a network, a mount and a PID namespace with a first process that dies with its owner. Since
 * everything started in it is in its PID namespace, the kernel itself tears it down, whatever has crashed and however.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ExecOptions, type ExecResult, type LabProcess, onlyChild, run, sendSignal } from './process.ts';

export interface Machine {
  readonly name: string;
  /** The first process, as seen from outside. */
  readonly pid: number;
  /** What to put before an argv to run it in the machine. */
  readonly enter: readonly string[];
  readonly spawn: (argv: readonly string[], options?: ExecOptions) => LabProcess;
  readonly exec: (argv: readonly string[], options?: ExecOptions) => Promise<ExecResult>;
  readonly stop: () => Promise<void>;
}

const script = fileURLToPath(new URL('./machine.sh', import.meta.url));

/** @param files contents of files that replace those of the same name in /etc, inside the machine only */
export async function startMachine(
  name: string,
  directory: string,
  files: Readonly<Record<string, string>>,
): Promise<Machine> {
  const etc = join(directory, name, 'etc');
  await mkdir(etc, { recursive: true });
  await Promise.all(Object.entries(files).map(([file, content]) => writeFile(join(etc, file), content)));
  const unshare = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', script, etc];
  const holder = run(['setpriv', '--pdeathsig', 'KILL', ...unshare], {});
  await holder.waitFor(/^ready$/m);
  const pid = await onlyChild(holder.child.pid);
  if (pid === undefined) throw new Error(`machine ${name} has no first process`);
  const enter = ['nsenter', '--target', String(pid), '--net', '--mount', '--pid', '--'];
  const spawnIn = (argv: readonly string[], options: ExecOptions = {}): LabProcess =>
    run([...enter, 'env', `--chdir=${options.cwd ?? '/'}`, ...argv], options);
  return {
    name,
    pid,
    enter,
    spawn: spawnIn,
    async exec(argv, options = {}) {
      const started = spawnIn(argv, options);
      started.child.stdin?.end(options.input ?? '');
      let timedOut = false;
      const timer = setTimeout(() => {
        timedOut = true;
        void started.kill('SIGKILL');
      }, options.timeout ?? 30_000);
      const result = await started.ended;
      clearTimeout(timer);
      return { ...result, timedOut };
    },
    async stop() {
      sendSignal(pid, 'SIGKILL');
      await holder.ended;
    },
  };
}
