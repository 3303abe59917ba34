import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Files } from './files.ts';
import type { GatewayAnswer, GatewayMemory, GatewayRequest, ProgramStatistics } from './gateway-messages.ts';
import { insideOf } from './inside.ts';
import { bulkLoad, connectLoad, program } from './load.ts';
import { settled } from './machine.ts';
import { alone } from './rounds.ts';
import type { Variant } from './variant.ts';

/** What only ours has: the time of its programs, its memory, the change of its plan. */

type AnswerOf<K extends GatewayAnswer['kind']> = Extract<GatewayAnswer, { kind: K }>;

const asked = async <K extends GatewayAnswer['kind']>(
  { ask, name }: Variant,
  request: GatewayRequest,
  kind: K,
): Promise<AnswerOf<K>> => {
  const answer = await ask?.(request);
  if (answer?.kind !== kind) throw new Error(`${name} did not answer \`${request.ask}\``);
  return answer as AnswerOf<K>;
};

/** Connections that are opened, say their hello and end, a step at each call. */
interface Held {
  readonly step: () => Promise<void>;
  readonly end: () => void;
}

const hold = ({ world, service }: Variant, { hello }: Files, count: number): Held => {
  const [command, ...words] = insideOf(world.client, [program('hold'), service, hello, String(count)]);
  const child = spawn(command!, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    async step() {
      child.stdin.write('\n');
      if ((await lines.next()).done) throw new Error('connections could not be held');
      // What is under way arrives.
      await new Promise((done) => setTimeout(done, 200));
    },
    end: () => void child.stdin.end(),
  };
};

/** Nanoseconds. */
export interface ProgramTimes {
  /** Of a new connection, all its packets up to and with the one that ends its hello. */
  readonly untilVerdict: number;
  /** Of these, those of SYN, SYN-ACK and ACK. */
  readonly handshake: number;
  /** Of one packet of a flow that was decided: of the agent, and to it. */
  readonly fromAgent: number;
  readonly toAgent: number;
}

const statisticsSetting = '/proc/sys/kernel/bpf_stats_enabled';

const minus = (after: ProgramStatistics, before: ProgramStatistics): ProgramStatistics => ({
  nanoseconds: after.nanoseconds - before.nanoseconds,
  runs: after.runs - before.runs,
});

const meanOf = ({ nanoseconds, runs }: ProgramStatistics): number => nanoseconds / runs;

/** By the kernel's own statistics, which cost so much that they are on only here. */
export const programTimes = async (
  variants: readonly Variant[],
  files: Files,
  options: { readonly connections: number; readonly seconds: number; readonly rounds: number },
): Promise<ReadonlyMap<string, readonly ProgramTimes[]>> => {
  const before = readFileSync(statisticsSetting, 'ascii');
  const all = new Map(variants.map(({ name }) => [name, [] as ProgramTimes[]]));
  writeFileSync(statisticsSetting, '1');
  try {
    for (let round = 0; round < options.rounds; round++)
      for (const variant of variants)
        all.get(variant.name)!.push(await alone(variant, () => programTimesOf(variant, files, options)));
    return all;
  } finally {
    writeFileSync(statisticsSetting, before);
  }
};

const programTimesOf = async (
  variant: Variant,
  files: Files,
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<ProgramTimes> => {
  const look = () => asked(variant, { ask: 'statistics' }, 'statistics');
  // Warm, so that the first of them are not all that is measured.
  await connectLoad(variant.world.client, {
    address: variant.service,
    hello: files.hello,
    seconds: 0.2,
    concurrency: 1,
    threads: 1,
  });
  const held = hold(variant, files, connections);
  const start = await look();
  await held.step();
  const opened = await look();
  await held.step();
  const said = await look();
  await held.step();
  held.end();
  const [handshakeFrom, handshakeTo] = [minus(opened.fromAgent, start.fromAgent), minus(opened.toAgent, start.toAgent)];
  const hellos = minus(said.fromAgent, opened.fromAgent);
  if (hellos.runs < connections) throw new Error(`${variant.name}: ${hellos.runs} hellos of ${connections}`);
  const handshake = (handshakeFrom.nanoseconds + handshakeTo.nanoseconds) / connections;
  const settled = await look();
  await bulkLoad(variant.world.client, { address: variant.service, hello: files.hello, seconds, streams: 1 });
  const moved = await look();
  return {
    handshake,
    untilVerdict: handshake + hellos.nanoseconds / connections,
    fromAgent: meanOf(minus(moved.fromAgent, settled.fromAgent)),
    toAgent: meanOf(minus(moved.toAgent, settled.toAgent)),
  };
};

export const memoryOf = (variant: Variant): Promise<GatewayMemory> =>
  alone(variant, async () => (await asked(variant, { ask: 'memory' }, 'memory')).memory);

/** Before, and with so many flows of which the log has its records. */
export const memoryOfFlows = (
  variant: Variant,
  files: Files,
  count: number,
): Promise<{ readonly before: GatewayMemory; readonly during: GatewayMemory; readonly flows: number }> =>
  alone(variant, async () => {
    const look = async () => (await asked(variant, { ask: 'memory' }, 'memory')).memory;
    await settled(variant.pid!);
    const rest = (await asked(variant, { ask: 'flows' }, 'flows')).count;
    const before = await look();
    const held = hold(variant, files, count);
    await held.step();
    await held.step();
    await new Promise((done) => setTimeout(done, 2000));
    const flows = (await asked(variant, { ask: 'flows' }, 'flows')).count - rest;
    const during = await look();
    await held.step();
    held.end();
    if (flows < count) throw new Error(`${variant.name}: ${flows} live flows of ${count}`);
    return { before, during, flows };
  });

export interface Change {
  /** Milliseconds: of compiling and loading, of building the tables beside those in force and switching, and of switching alone. */
  readonly compiled: readonly number[];
  readonly renewed: readonly number[];
  readonly switched: readonly number[];
}

const renew = async (variant: Variant, rules: number, times: number, groups?: number): Promise<Change> => {
  const compiled: number[] = [];
  const renewed: number[] = [];
  const switched: number[] = [];
  for (let i = 0; i < times; i++) {
    const request = { ask: 'renew', rules, ...(groups === undefined ? {} : { groups }) } as const;
    const done = await asked(variant, request, 'renewed');
    compiled.push(done.compiled);
    renewed.push(done.renewed);
    switched.push(done.switched);
  }
  return { compiled, renewed, switched };
};

/** The same rules under a new revision, again and again, while connections are made: each of them is judged again. */
export const changeUnderLoad = (variant: Variant, files: Files, rules: number, times: number) =>
  alone(variant, async () => {
    const load = { address: variant.service, hello: files.hello, concurrency: 8, threads: 1 };
    const seconds = rules > 5000 ? times * 3 : times;
    const loaded = connectLoad(variant.world.client, { ...load, seconds });
    const change = await renew(variant, rules, times);
    const { done, failed, answered } = await loaded;
    return { change, done, failed, slowest: (answered?.most ?? 0) / 1e6 };
  });

/** The large policy. Its agents are others, so nothing is permitted behind it. */
export const changeToLarge = (variant: Variant, rules: number, groups: number, times: number): Promise<Change> =>
  alone(variant, () => renew(variant, rules, times, groups));
