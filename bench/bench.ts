/**
 * Measures a gateway beside plain forwarding and beside peers, in namespaces of its own.
 *
 * Usage: bench.ts [--quick] [--name NAME] [--rounds N] [--seconds N]
 * `--quick` goes the whole way once, in so short a time that its figures mean nothing.
 */
import { parseArgs } from 'node:util';
import { checkVariant } from './checks.ts';
import { compileTimes } from './compile.ts';
import { measureDns } from './dns-rounds.ts';
import { makeFiles } from './files.ts';
import { floodRows, measureFlood } from './flood-rounds.ts';
import { buildPrograms } from './load.ts';
import { busyShare, machine } from './machine.ts';
import { timeOfNftList } from './nft-load.ts';
import { changeToLarge, changeUnderLoad, memoryOf, memoryOfFlows, programTimes } from './ours.ts';
import { changeRows, dnsRows, memoryRows, programRows } from './ours-report.ts';
import { type Row, rowsTable, writeResults } from './report.ts';
import { measureRounds } from './rounds.ts';
import { trafficRows, trafficTable } from './traffic-report.ts';
import { openVariant, type Variant, variantKinds } from './variant.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    name: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
  },
});
const quick = values.quick;
const rounds = Number(values.rounds ?? (quick ? 1 : 5));
const seconds = Number(values.seconds ?? (quick ? 0.2 : 1.2));
const name = values.name ?? (quick ? 'quick' : new Date().toISOString().slice(0, 19).replaceAll(':', '-'));
const say = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

if (process.getuid?.() !== 0) {
  say('only root may make network namespaces and load kernel programs');
  process.exit(2);
}

buildPrograms();
const files = await makeFiles();
const variants: Variant[] = [];
const close = (): void => {
  for (const variant of variants) {
    variant.close();
    variant.world.close();
  }
  files.close();
};
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    close();
    process.exit(1);
  });

/** What was measured so far, by part, and what it says. A part that fails takes nothing of that with it. */
const measured: Record<string, unknown> = {};
const rows: Row[] = [];
const inOrder = (map: ReadonlyMap<string, unknown>): object => Object.fromEntries(map);
const inOrderBoth = (map: ReadonlyMap<string, ReadonlyMap<string, unknown>>): object =>
  Object.fromEntries([...map].map(([variant, metrics]) => [variant, inOrder(metrics)]));

const measure = async (): Promise<void> => {
  const busy = await busyShare(1000);
  Object.assign(measured, { machine: machine(), busy });
  print(machine());
  print(
    `before it began, others took ${Math.round(busy * 100)} % of the machine${busy > 0.1 ? ': THE FIGURES ARE NOISY' : ''}`,
  );
  for (const [i, kind] of variantKinds.entries()) {
    say(`making ${kind.name}`);
    const own = { ...files, directory: `${files.directory}/${i}` };
    const variant = await openVariant(kind, own);
    variants.push(variant);
    await checkVariant(variant, files);
  }
  const ours = variantKinds.flatMap(({ rules }, i) =>
    variants[i]!.ask === undefined ? [] : [{ rules, variant: variants[i]! }],
  );
  const ownVariants = ours.map(({ variant }) => variant);
  const [, middling, largest] = ours;
  const options = { rounds, seconds, patient: !quick, say };

  const memory = [];
  for (const { rules, variant } of ours) memory.push({ rules, memory: await memoryOf(variant) });
  measured.memory = memory;

  const { all: traffic, noisy } = await measureRounds(variants, files, options);
  measured.traffic = inOrderBoth(traffic);
  rows.push(...trafficRows(traffic));
  print(
    `\nMedians of ${rounds} rounds; ± is half the distance between quartiles; ${noisy} measurements began while others were at work\n`,
  );
  print(trafficTable(traffic));

  const floodOptions = { ...options, seconds: quick ? seconds : Math.max(3, seconds) };
  const flooded = await measureFlood([variants[0]!, middling!.variant], files, floodOptions);
  measured.flooded = inOrder(flooded);
  rows.push(...floodRows(flooded));
  say('program statistics');
  const programs = await programTimes(ownVariants, files, {
    connections: quick ? 100 : 2000,
    seconds: quick ? 0.2 : 1,
    rounds: quick ? 1 : 5,
  });
  measured.programs = inOrder(programs);
  rows.push(...programRows(programs));
  const resolving = [{ variant: variants[0]!, rules: 0 }, ...ours];
  const dns = await measureDns(resolving, files, { ...options, rounds: quick ? 1 : 5, firstNames: quick ? 10 : 100 });
  measured.dns = inOrderBoth(dns);
  rows.push(...dnsRows(dns));
  say('memory of live flows');
  const flows = await memoryOfFlows(middling!.variant, files, quick ? 500 : 10_000);
  measured.flows = flows;
  rows.push(...memoryRows(memory, flows));
  say('compiling');
  const compiling = compileTimes(20_000, 10_000, quick ? 1 : 5);
  const nftLoad = timeOfNftList(20_000, quick ? 1 : 3);
  say('changing the plan');
  const change = await changeUnderLoad(largest!.variant, files, largest!.rules, quick ? 1 : 5);
  const large = await changeToLarge(largest!.variant, 20_000, 10_000, quick ? 1 : 5);
  Object.assign(measured, { compiling, change, large });
  rows.push(...changeRows({ compiling, change, large, nftLoad, rules: largest!.rules }));
};

let failure: Error | undefined;
try {
  await measure();
} catch (e) {
  failure = e instanceof Error ? e : new Error(String(e));
  measured.failed = failure.message;
} finally {
  close();
}
if (rows.length > 0) {
  print('');
  print(rowsTable(rows.filter(({ metric }) => !metric.startsWith('nft') && !metric.startsWith('haproxy'))));
  print(`\nwritten to ${writeResults(name, rows, measured)}`);
}
if (failure !== undefined) {
  say(`not all was measured: ${failure.stack ?? failure.message}`);
  // A process that was being made when it failed may still be there.
  process.exit(1);
}
