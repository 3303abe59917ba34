import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Files } from './files.ts';
import { bulkLoad, connectLoad, handshakeLoad } from './load.ts';
import { quiet, settled, timeOfProcess } from './machine.ts';
import { place } from './place.ts';
import type { Variant } from './variant.ts';
import { setSegments } from './world.ts';

/** Measurements that everybody takes part in, round by round: each one of all variants, then the next. */

export const trafficMetrics = [
  'connections',
  'processor',
  'process',
  'failed',
  'connect',
  'connectP99',
  'answer',
  'answerP99',
  'handshakes',
  'bulk',
  'bulkOfMany',
  'wire',
] as const;
export type TrafficMetric = (typeof trafficMetrics)[number];

/** By variant and metric, a number for each round. */
export type Rounds = ReadonlyMap<string, ReadonlyMap<TrafficMetric, readonly number[]>>;

export interface RoundOptions {
  readonly rounds: number;
  /** Of each measurement. */
  readonly seconds: number;
  /** Whether to warm up in a round that does not count, and to wait until others are idle and left-over work is done. */
  readonly patient: boolean;
  readonly say: (text: string) => void;
}

/** Time that all processors have spent at work, in seconds. */
const processorTime = (): number => {
  const [, user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'ascii').split('\n')[0]!.split(/\s+/);
  return [user, nice, system, irq, softirq].reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
};

type Effort = Pick<RoundOptions, 'seconds' | 'patient'>;
type Measure = (variant: Variant, files: Files, effort: Effort) => Promise<Partial<Record<TrafficMetric, number>>>;

const concurrency = 64;

const connections: Measure = async ({ service, world, pid }, { hello }, { seconds, patient }) => {
  const before = processorTime();
  const processBefore = pid === undefined ? 0 : timeOfProcess(pid);
  const threads = availableParallelism();
  const load = { address: service, hello, seconds, concurrency, threads };
  const { done, failed, seconds: took } = await connectLoad(world.client, load);
  const processor = ((processorTime() - before) * 1e6) / done;
  // What a process of ours does for these connections is not over with the last of them.
  if (pid !== undefined && patient) await settled(pid);
  const process = pid === undefined ? 0 : ((timeOfProcess(pid) - processBefore) * 1e6) / done;
  return { connections: done / took, processor, process, failed };
};

/** One at a time, so that nothing waits for anything but its own way. */
const latency: Measure = async ({ name, service, world }, { hello }, { seconds }) => {
  const load = { address: service, hello, seconds, concurrency: 1, threads: 1 };
  const { failed, connected, answered } = await connectLoad(world.client, load);
  if (connected === null || answered === null || failed > 0)
    throw new Error(`${name}: ${failed} failed, one at a time`);
  return {
    connect: connected.median / 1000,
    connectP99: connected.p99 / 1000,
    answer: answered.median / 1000,
    answerP99: answered.p99 / 1000,
  };
};

const handshakes: Measure = async ({ service, world, pid }, { directory }, { seconds, patient }) => {
  const hosts = `${directory}/hosts`;
  writeFileSync(hosts, `127.0.0.1 localhost\n${service} ${place.name}\n`);
  const rate = await handshakeLoad(world.client, place.name, hosts, Math.max(1, Math.round(seconds)));
  if (pid !== undefined && patient) await settled(pid);
  return { handshakes: rate };
};

const bulkOf =
  (metric: TrafficMetric, streams: number): Measure =>
  async ({ service, world }, { hello }, { seconds }) => ({
    [metric]: (await bulkLoad(world.client, { address: service, hello, seconds, streams })) / 1e9,
  });

const onWire =
  (measure: Measure): Measure =>
  async (variant, files, effort) => {
    setSegments(variant.world, false);
    try {
      return await measure(variant, files, effort);
    } finally {
      setSegments(variant.world, true);
    }
  };

const measures: readonly Measure[] = [
  connections,
  latency,
  handshakes,
  bulkOf('bulk', 1),
  bulkOf('bulkOfMany', 4),
  onWire(bulkOf('wire', 4)),
];

/** Runs one alone: the others' processes are stopped. */
export const alone = async <T>(variant: Variant, work: () => Promise<T>): Promise<T> => {
  variant.wake();
  try {
    return await work();
  } finally {
    variant.rest();
  }
};

/** `noisy`: how many measurements began while others were at work. */
export const measureRounds = async (
  variants: readonly Variant[],
  files: Files,
  { rounds, seconds, patient, say }: RoundOptions,
): Promise<{ readonly all: Rounds; readonly noisy: number }> => {
  let noisy = 0;
  const all = new Map(variants.map(({ name }) => [name, new Map(trafficMetrics.map((key) => [key, [] as number[]]))]));
  // Round 0 does not count.
  for (let round = patient ? 0 : 1; round <= rounds; round++) {
    say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    const time = round === 0 ? Math.min(seconds, 0.5) : seconds;
    for (const measure of measures)
      for (let i = 0; i < variants.length; i++) {
        // Another one begins in each round.
        const variant = variants[(i + round) % variants.length]!;
        if (patient && !(await quiet())) noisy += 1;
        const found = await alone(variant, () => measure(variant, files, { seconds: time, patient }));
        if (round === 0) continue;
        for (const key of trafficMetrics)
          if (found[key] !== undefined) all.get(variant.name)!.get(key)!.push(found[key]);
      }
  }
  return { all, noisy };
};
