import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** What it ran on, since figures of different machines cannot be compared. */

export const machine = (): string => {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? 'unknown';
  return `Linux ${release()}, ${processors.length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
};

const ticks = (): { readonly idle: number; readonly all: number } => {
  const [, ...fields] = readFileSync('/proc/stat', 'ascii').split('\n')[0]!.split(/\s+/).map(Number);
  return { idle: fields[3]! + fields[4]!, all: fields.slice(0, 8).reduce((sum, one) => sum + one, 0) };
};

/** The share of the machine that others take while this process waits. */
export const busyShare = async (milliseconds: number): Promise<number> => {
  const before = ticks();
  await new Promise((done) => setTimeout(done, milliseconds));
  const after = ticks();
  return 1 - (after.idle - before.idle) / Math.max(1, after.all - before.all);
};

/** Waits until others leave the machine alone, but not for ever. False: they did not. */
export const quiet = async (): Promise<boolean> => {
  for (let i = 0; i < 20; i++) if ((await busyShare(50)) <= 0.2) return true;
  return false;
};

/** Processor seconds that a process has used. */
export const timeOfProcess = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'ascii').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

/** Waits until a process has nothing left to do, which a gateway has while flows that ended wait to be forgotten. */
export const settled = async (pid: number): Promise<void> => {
  const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));
  // Ended flows are kept for two seconds, and looked at every second.
  await pause(3200);
  for (let i = 0; i < 50; i++) {
    const before = timeOfProcess(pid);
    await pause(200);
    if (timeOfProcess(pid) - before < 0.03) return;
  }
};
