import type { ChildProcess } from 'node:child_process';
import { defaultQuotas } from '@cofferdam/gateway';
import type { Files } from './files.ts';
import { startInside } from './inside.ts';
import { bulkLoad, type Connected, connectLoad, program } from './load.ts';
import { quiet, settled } from './machine.ts';
import { place } from './place.ts';
import { type Bound, figure, judged, type Row, told } from './report.ts';
import { alone, type RoundOptions } from './rounds.ts';
import { ratio } from './statistics.ts';
import { base } from './traffic-report.ts';
import type { Variant } from './variant.ts';

/** What an agent has while another one of its subnet sends what it likes. */

/** Packets a second of all sorts: what one program sends without taking a processor for itself. */
export const floodRate = 20_000;

/**
 * Connections a second of the agent that is measured, one at a time: half of what an agent may open, so that its own quota never refuses one.
 * An ended flow is kept for at most three seconds (two, and a look each second): 1,500 live ones, of the 4,096 that an agent may have.
 */
export const pace = defaultQuotas.flowRate / 2;

const attacker = '10.11.1.66';

/** Without the flood, and beside it: a number for each round. */
interface Pair {
  readonly calm: number[];
  readonly flooded: number[];
}

export interface Flooded {
  /** Microseconds, the median of a round. */
  readonly connect: Pair;
  /** Gb/s. */
  readonly bulk: Pair;
  /** Milliseconds: the slowest connection of a round. */
  readonly slowest: Pair;
  /** Connections that failed beside the flood; where one fails without it, nothing is measured. */
  readonly failed: number[];
}

const startFlood = ({ world, service, denied, resolver }: Variant, seconds: number): Promise<ChildProcess> => {
  const targets = [service, denied?.address ?? place.otherService, resolver ?? place.gateway];
  const words = [program('flood'), attacker, ...targets, String(floodRate), String(seconds)];
  return startInside(world.client, words, { word: 'begun' });
};

const beside = async <T>(variant: Variant, seconds: number, work: () => Promise<T>): Promise<T> => {
  const flood = await startFlood(variant, seconds + 30);
  const ended = new Promise((done) => flood.once('exit', done));
  try {
    // What one agent may have of what all share is taken by then.
    await new Promise((done) => setTimeout(done, 500));
    const found = await work();
    if (flood.exitCode !== null) throw new Error(`${variant.name}: the flood ended before what was measured beside it`);
    return found;
  } finally {
    flood.kill();
    await ended;
  }
};

type Options = Pick<RoundOptions, 'seconds' | 'patient' | 'say'>;

const connectRound = async (
  variant: Variant,
  { hello }: Files,
  { seconds }: Options,
  found: Flooded,
): Promise<void> => {
  const { name, service, world } = variant;
  const load = { address: service, hello, seconds, concurrency: 1, threads: 1, rate: pace };
  const measure = async (to: 'calm' | 'flooded'): Promise<Connected> => {
    const all = await connectLoad(world.client, load);
    // Where nothing connects, it took at least all the time there was.
    const { median, most } = all.connected ?? { median: seconds * 1e9, most: seconds * 1e9 };
    found.connect[to].push(median / 1e3);
    found.slowest[to].push(most / 1e6);
    return all;
  };
  const { done, failed } = await measure('calm');
  if (failed > 0)
    throw new Error(`${name}: without a flood ${failed} of ${done + failed} connections failed, at ${pace} a second`);
  found.failed.push((await beside(variant, seconds, () => measure('flooded'))).failed);
};

const bulkRound = async (
  variant: Variant,
  { hello }: Files,
  { seconds, say }: Options,
  found: Flooded,
): Promise<void> => {
  const { name, service, world } = variant;
  const measure = async (): Promise<number> =>
    (await bulkLoad(world.client, { address: service, hello, seconds, streams: 1 })) / 1e9;
  const failed = (e: Error): number => {
    say(`${name}, beside a flood: ${e.message}`);
    found.failed.push(1);
    return 0;
  };
  found.bulk.calm.push(await measure());
  found.bulk.flooded.push(await beside(variant, seconds, () => measure().catch(failed)));
};

/** Round by round, one variant after the other: first each measure without the flood, then beside it. */
export const measureFlood = async (
  variants: readonly Variant[],
  files: Files,
  { rounds, ...options }: RoundOptions,
): Promise<ReadonlyMap<string, Flooded>> => {
  const none = (): Pair => ({ calm: [], flooded: [] });
  const all = new Map(
    variants.map((variant): [Variant, Flooded] => [
      variant,
      { connect: none(), bulk: none(), slowest: none(), failed: [] },
    ]),
  );
  for (let round = 1; round <= rounds; round++) {
    options.say(`beside a flood, round ${round} of ${rounds}`);
    for (const [variant, found] of all)
      await alone(variant, async () => {
        // Flows of what was measured before are live for the quota until they are forgotten, which nothing does while it rests.
        if (variant.pid !== undefined) await settled(variant.pid);
        await variant.ask?.({ ask: 'quotas', on: true });
        try {
          for (const measure of [connectRound, bulkRound]) {
            if (options.patient) await quiet();
            await measure(variant, files, options, found);
          }
        } finally {
          await variant.ask?.({ ask: 'quotas', on: false });
        }
      });
  }
  return new Map([...all].map(([{ name }, found]) => [name, found]));
};

/** Ours must stay within a tenth, and nothing may fail. What forwarding loses is what the sender itself takes from the machine. */
export const floodRows = (flooded: ReadonlyMap<string, Flooded>): readonly Row[] => {
  const hostile = `beside ${floodRate.toLocaleString('en')} hostile packets a second`;
  const share = (one: Flooded, key: 'connect' | 'bulk') => ratio(one[key].flooded, one[key].calm);
  const lost = ({ failed }: Flooded): number => failed.reduce((sum, one) => sum + one, 0);
  const slowest = ({ slowest }: Flooded): number => Math.max(...slowest.flooded);
  const theirs = flooded.get(base);
  return [...flooded].flatMap(([variant, one]): readonly Row[] => {
    const row = (what: string, unit: string, of: (one: Flooded) => number): Row =>
      told(
        `${variant}: ${what}`,
        unit,
        of(one),
        variant === base || theirs === undefined ? undefined : `${base}: ${figure(of(theirs))}`,
      );
    const within = (row: Row, bound: Bound): Row => (variant === base ? row : judged(row, bound));
    const against = (key: 'connect' | 'bulk', what: string, bound: Bound): Row => {
      const { low, high } = share(one, key);
      const compared = row(`${what} ${hostile}, against without`, '×', (one) => share(one, key).value);
      return within({ ...compared, interval: [low, high] }, bound);
    };
    return [
      against('connect', 'median time to connect', { atMost: 1.1 }),
      against('bulk', 'bulk throughput', { atLeast: 0.9 }),
      within(row(`connections that failed ${hostile}, all rounds`, '', lost), { atMost: 0 }),
      row(`slowest connection ${hostile}`, 'ms', slowest),
    ];
  });
};
