import type { ChildProcess } from 'node:child_process';
import type { Files } from './files.ts';
import { startInside } from './inside.ts';
import { bulkLoad, connectLoad, program } from './load.ts';
import { quiet } from './machine.ts';
import { place } from './place.ts';
import { judged, type Row, told } from './report.ts';
import { alone, type RoundOptions } from './rounds.ts';
import { ratio } from './statistics.ts';
import { base } from './traffic-report.ts';
import type { Variant } from './variant.ts';

/** What an agent has while another one of its subnet sends what it likes. */

/** Packets a second of all sorts: what one program sends without taking a processor for itself. */
export const floodRate = 20_000;

const attacker = '10.11.1.66';

/** By round: without the flood, and beside it. */
export interface Flooded {
  readonly connect: { readonly calm: number[]; readonly flooded: number[] };
  readonly bulk: { readonly calm: number[]; readonly flooded: number[] };
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
    return await work();
  } finally {
    flood.kill();
    await ended;
  }
};

/** Round by round, one variant after the other: first each measure without the flood, then beside it. */
export const measureFlood = async (
  variants: readonly Variant[],
  { hello }: Files,
  { rounds, seconds, patient, say }: RoundOptions,
): Promise<ReadonlyMap<string, Flooded>> => {
  const all = new Map(
    variants.map(({ name }): [string, Flooded] => [
      name,
      { connect: { calm: [], flooded: [] }, bulk: { calm: [], flooded: [] } },
    ]),
  );
  for (let round = 1; round <= rounds; round++) {
    say(`beside a flood, round ${round} of ${rounds}`);
    for (const variant of variants)
      await alone(variant, async () => {
        const { name, service, world, ask } = variant;
        const connect = async (): Promise<number> => {
          const load = { address: service, hello, seconds, concurrency: 1, threads: 1 };
          const { connected, failed } = await connectLoad(world.client, load);
          if (connected === null || failed > 0) throw new Error(`${name}: ${failed} failed, one at a time`);
          return connected.median / 1000;
        };
        const bulk = async (): Promise<number> =>
          (await bulkLoad(world.client, { address: service, hello, seconds, streams: 1 })) / 1e9;
        const found = all.get(name)!;
        await ask?.({ ask: 'quotas', on: true });
        try {
          for (const [measure, to] of [
            [connect, found.connect],
            [bulk, found.bulk],
          ] as const) {
            if (patient) await quiet();
            to.calm.push(await measure());
            to.flooded.push(await beside(variant, seconds, measure));
          }
        } finally {
          await ask?.({ ask: 'quotas', on: false });
        }
      });
  }
  return all;
};

/** Ours must stay within a tenth. What forwarding loses is what the sender itself takes from the machine. */
export const floodRows = (flooded: ReadonlyMap<string, Flooded>): readonly Row[] => {
  const at = `beside ${floodRate.toLocaleString('en')} hostile packets a second, against without`;
  const of = (one: Flooded, key: keyof Flooded) => ratio(one[key].flooded, one[key].calm);
  const theirs = flooded.get(base);
  return [...flooded].flatMap(([variant, one]): readonly Row[] =>
    (
      [
        ['connect', 'median time to connect', { atMost: 1.1 }],
        ['bulk', 'bulk throughput', { atLeast: 0.9 }],
      ] as const
    ).map(([key, what, bound]) => {
      const { value, low, high } = of(one, key);
      const metric = `${variant}: ${what} ${at}`;
      if (variant === base || theirs === undefined) return { ...told(metric, '×', value), interval: [low, high] };
      const comparedWith = `${base}: ${of(theirs, key).value.toFixed(2)}`;
      return judged({ metric, unit: '×', value, interval: [low, high], comparedWith }, bound);
    }),
  );
};
