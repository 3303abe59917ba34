/**
 * Runs the tests: those of packages and tools two files at a time, then the end-to-end files one after another, since
 * they share the machine's kernel. The last line is always `N passed, N failed, N skipped`.
 *
 * Usage: test.ts [FILTER…] [--only packages|e2e] [--timeout SECONDS]
 * A filter is a part of a file's path. The time-out is for each file; default 300. Generated cases are the same in every run, and others with
 * another `COFFERDAM_SEED`; `make soak` goes through many.
 */
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { run } from 'node:test';
import { inspect, parseArgs } from 'node:util';
import { type FileOutcome, FileTally, Totals } from './tally.ts';

const groups = {
  packages: { patterns: ['packages/*/test/**/*.test.ts', 'tools/**/*.test.ts'], concurrency: 2 },
  e2e: { patterns: ['e2e/**/*.test.ts'], concurrency: 1 },
} as const;
type GroupName = keyof typeof groups;

const root = resolve(import.meta.dirname, '..');
const { values, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, timeout: { type: 'string', default: '300' } },
});
const { only } = values;
const seconds = Number(values.timeout);
if (only !== undefined && !Object.hasOwn(groups, only)) refuse(`\`--only ${only}\``, '`packages` or `e2e`');
if (!(seconds > 0)) refuse(`\`--timeout ${values.timeout}\``, 'a number of seconds');

function refuse(what: string, accepted: string): never {
  process.stderr.write(`${what} is not understood\nhelp: it takes ${accepted}\n`);
  process.exit(2);
}

// What fails here fails again; each run of one file alone draws anew.
process.env.COFFERDAM_SEED ??= '20261';

const totals = new Totals();
for (const name of Object.keys(groups) as GroupName[]) {
  if (only === undefined || only === name) await runGroup(name);
}
finish();

async function runGroup(name: GroupName): Promise<void> {
  const { patterns, concurrency } = groups[name];
  const waiting = globSync([...patterns], { cwd: root, exclude: ['**/node_modules/**'] })
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .sort();
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) show(await runFile(file));
  };
  await Promise.all(Array.from({ length: concurrency }, work));
}

/** One run for each file: the runner's own time-out is for single tests, and a signal ends all files of its run. */
async function runFile(file: string): Promise<FileOutcome> {
  const path = `${root}/${file}`;
  const started = performance.now();
  const tally = new FileTally(file, path);
  const signal = AbortSignal.timeout(seconds * 1000);
  for await (const { type, data } of run({ files: [path], signal, isolation: 'process', cwd: root })) {
    if (type === 'test:pass' || type === 'test:fail') tally.count(type === 'test:pass', data);
    else if (type === 'test:stdout' || type === 'test:stderr') tally.keepOutput(data.message);
  }
  const outcome = tally.outcome(performance.now() - started);
  totals.add(outcome);
  return outcome;
}

function show({ file, passed, failed, skips, milliseconds, failures, output }: FileOutcome): void {
  const counts = `${passed} passed${failed > 0 ? `, ${failed} failed` : ''}${skips.length > 0 ? `, ${skips.length} skipped` : ''}`;
  process.stdout.write(`${failed > 0 ? 'FAIL' : 'ok  '} ${file}: ${counts} (${(milliseconds / 1000).toFixed(1)} s)\n`);
  for (const { test, error } of failures) {
    const text =
      typeof error === 'string' ? error : inspect(error, { depth: 8, maxStringLength: null, maxArrayLength: 200 });
    process.stdout.write(`\n  ✖ ${test}\n${text.replaceAll(/^/gm, '    ')}\n\n`);
  }
  if (failed > 0 && output !== '')
    process.stdout.write(`  it wrote:\n${output.trimEnd().replaceAll(/^/gm, '    ')}\n\n`);
}

function finish(): void {
  const { passed, failed, skipped, reasons } = totals;
  if (reasons.size > 0) process.stdout.write('\nskipped:\n');
  for (const [reason, tests] of reasons) {
    const first = tests.slice(0, 3).map((test) => `\`${test}\``);
    process.stdout.write(
      `  ${reason}: ${first.join(', ')}${tests.length > 3 ? ` and ${tests.length - 3} more` : ''}\n`,
    );
  }
  const ran = passed + failed > 0;
  if (!ran) process.stdout.write('\nno test ran, which counts as a failure\n');
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  process.exitCode = ran && failed === 0 ? 0 : 1;
}
