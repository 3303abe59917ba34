import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AnyRecord, type Grouping, matchesFilter, type RecordFilter } from '@cofferdam/flows';
import { canonicalName, err, formatAddress, ok, parseAddress, quote, type Result } from '@cofferdam/net';
import { isReason, reasonTable } from '@cofferdam/verdict';
import type { Context, OptionValues } from '../command.ts';
import { didYouMean } from '../nearest.ts';
import { listRuns, runsDirectory } from '../run-directory.ts';
import { counted } from '../text.ts';
import { parseSince } from '../time.ts';
import type { flowsCommand } from './command.ts';
import type { LogTail } from './log-tail.ts';
import { because, Damage, openLog, takeLine, takeRest } from './read-log.ts';
import { batchPrinter, byTime, livePrinter, type RecordFormat } from './record-printer.ts';
import { groupPrinter } from './summary-printer.ts';

type Values = OptionValues<typeof flowsCommand.options>;

const pollEvery = 150;

/** A name in the form that records hold it; a leading `*.` stays. */
const canonicalWanted = (text: string): Result<string> => {
  const address = parseAddress(text);
  if (address !== undefined) return ok(formatAddress(address));
  const star = text.startsWith('*.') ? '*.' : '';
  const name = canonicalName(text.slice(star.length), { trailingDot: true });
  if (name.ok) return ok(`${star}${name.value}`);
  return err(name.error.code, name.error.message, 'write a name, an address, or `*.example.com` for every name below');
};

const filterOf = (values: Values, now: number): Result<RecordFilter> => {
  const { agent, verdict, rule, name, reason, since } = values;
  if (reason !== undefined && !isReason(reason)) {
    const codes = reasonTable.map(({ code }) => code);
    return err('reason', `no reason ${quote(reason)}`, didYouMean(reason, codes, '`cofferdam help codes` lists them'));
  }
  const from = since === undefined ? undefined : parseSince(since, now);
  if (from !== undefined && !from.ok) return from;
  const wanted = name === undefined ? undefined : canonicalWanted(name);
  if (wanted !== undefined && !wanted.ok) return wanted;
  return ok({
    ...(agent !== undefined && { agent }),
    ...(verdict !== undefined && {
      verdict: verdict as 'permit' | 'deny' | 'would-deny',
    }),
    ...(rule !== undefined && { rule }),
    ...(wanted !== undefined && { name: wanted.value }),
    ...(reason !== undefined && { reason }),
    ...(from !== undefined && { since: from.value }),
  });
};

export const flows = async (context: Context<typeof flowsCommand.options>): Promise<number> => {
  const { values, operands, out, fail } = context;
  const filter = filterOf(values, Date.now());
  if (!filter.ok) return fail(filter.error.message, filter.error.help);
  if (values.json && values.format !== undefined && values.format !== 'json') {
    return fail(`\`--json\` and \`--format ${values.format}\` exclude each other`, 'give one of them');
  }
  const last = values.last === undefined ? undefined : Number(values.last);
  if (last !== undefined && !(Number.isSafeInteger(last) && last > 0)) {
    return fail(`\`--last\` does not take ${quote(values.last!)}`, 'write a number from 1 upward');
  }
  if (values.follow && last !== undefined)
    return fail('`--last` and `--follow` exclude each other', 'give one of them');
  const unsuitable = unsuitableFor(values);
  if (unsuitable !== undefined) return fail(unsuitable, 'a summary is of all that is there: leave it out');
  const top = values.top === undefined ? 50 : Number(values.top);
  if (!(Number.isSafeInteger(top) && top > 0))
    return fail(`\`--top\` does not take ${quote(values.top!)}`, 'write a number from 1 upward');
  if (values.top !== undefined && values.by === undefined)
    return fail('`--top` is of a summary', 'say which: `--by rule`, `--by destination` or `--by agent`');
  const { follow } = values;
  const format = values.json ? 'json' : ((values.format ?? (follow ? 'compact' : 'table')) as RecordFormat);
  const damage = new Damage();
  const tails = new Map<string, LogTail>();

  const opened = openAll(context, tails, operands[0], follow);
  if (opened !== undefined) return opened;
  const matches = (record: AnyRecord): boolean => matchesFilter(filter.value, record);
  const by = values.by as Grouping | undefined;
  const printer =
    by !== undefined
      ? groupPrinter(by, format === 'json', top, matches, context)
      : follow
        ? livePrinter(format, out)
        : batchPrinter(format, out, last, tails.size < 2);
  // What several runs have written so far is shown in one order, and what they write from then on as it comes.
  let backlog: AnyRecord[] | undefined = follow && tails.size > 1 ? [] : undefined;
  let shown = 0;
  let understood = 0;
  const take = (path: string) =>
    takeLine(path, damage, (record) => {
      understood++;
      // A summary must know how a flow ended before it can say whether it is meant.
      const isMeant = matches(record);
      if (isMeant) shown++;
      if (!(isMeant || by !== undefined) || out.closed.aborted) return;
      if (backlog === undefined) printer.add(record);
      else backlog.push(record);
    });

  const readAll = (): void => {
    for (const tail of tails.values()) tail.read(take(tail.path));
  };
  readAll();
  const written = byTime(backlog ?? []);
  backlog = undefined;
  for (const record of written) printer.add(record);
  const refused = follow ? await followOn(context, tails, operands[0], readAll) : undefined;
  if (refused !== undefined) return refused;
  for (const tail of tails.values()) {
    // Without `-f`, what stands behind the last newline may be whole all the same.
    if (!follow) takeRest(tail, take(tail.path), damage);
    tail.close();
  }
  printer.finish();
  if (understood === 0 && damage.any && !follow) {
    damage.report(context.err);
    return fail('there is no flow record in it', 'name a log that `cofferdam run --log FILE` wrote', 1);
  }
  if (shown === 0 && !follow && format !== 'json') context.err.line('cofferdam: no record matches');
  damage.report(context.err);
  return 0;
};

/** What says something of single records, beside a summary. */
const unsuitableFor = ({ by, follow, last, format }: Values): string | undefined => {
  if (by === undefined) return undefined;
  const other = follow
    ? '`--follow`'
    : last !== undefined
      ? '`--last`'
      : format === 'compact'
        ? '`--format compact`'
        : '';
  return other === '' ? undefined : `${other} and \`--by\` exclude each other`;
};

const openInto = (tails: Map<string, LogTail>, path: string): NodeJS.ErrnoException | undefined => {
  const opened = openLog(path);
  if (opened instanceof Error) return opened;
  tails.set(path, opened);
  return undefined;
};

/** Opens the file, or the logs of all runs. An exit code where there is nothing to read. */
const openAll = (
  { fail, values, err: output }: Context<typeof flowsCommand.options>,
  tails: Map<string, LogTail>,
  file: string | undefined,
  follow: boolean,
): number | undefined => {
  if (file !== undefined) {
    const error = openInto(tails, file);
    if (error === undefined) return undefined;
    // A log that will be written soon is worth waiting for.
    if (follow && error.code === 'ENOENT') return undefined;
    return fail(
      `${quote(file)} cannot be read: ${because(error)}`,
      'name a log that `cofferdam run --log FILE` wrote',
      1,
    );
  }
  const directory = values.runs ?? runsDirectory;
  const listing = listRuns(directory);
  if (listing.kind === 'forbidden') {
    return fail(`${quote(directory)} may not be read`, 'use sudo, or name a log file', 1);
  }
  const errors = listing.kind === 'absent' ? [] : listing.runs.map(({ log }) => openInto(tails, log));
  const refused = errors.filter((error) => error?.code === 'EACCES').length;
  if (tails.size > 0) {
    if (refused > 0) output.line(`cofferdam: left out ${counted(refused, 'run')} of other users: sudo shows all`);
    return undefined;
  }
  if (refused > 0) return othersLogs(fail);
  if (follow) return undefined;
  return fail(
    `no run has left a log in ${quote(directory)}`,
    'start one with `sudo cofferdam run`, or name a log file',
    1,
  );
};

const othersLogs = (fail: Context<typeof flowsCommand.options>['fail']): number =>
  fail('the logs of the runs here may not be read', 'they belong to other users: use sudo', 1);

/** Until the reader goes away or somebody interrupts. An exit code where there is only what may not be read. */
const followOn = async (
  { out, err: output, values, fail }: Context<typeof flowsCommand.options>,
  tails: Map<string, LogTail>,
  file: string | undefined,
  readAll: () => void,
): Promise<number | undefined> => {
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const done = AbortSignal.any([stop.signal, out.closed]);
  if (tails.size === 0 && output.isTerminal) output.line('cofferdam: nothing is written yet: waiting (Ctrl-C ends)');
  const refused = new Set<string>();
  let code: number | undefined;
  while (!done.aborted) {
    try {
      await sleep(pollEvery, undefined, { signal: done });
    } catch {
      // The only thing that ends the sleep early is that we are done.
      break;
    }
    if (file === undefined) {
      const listing = listRuns(values.runs ?? runsDirectory);
      const runs = listing.kind === 'runs' ? listing.runs : [];
      for (const { log } of runs) {
        if (tails.has(log) || openInto(tails, log)?.code !== 'EACCES') continue;
        // A run that is just being made belongs to root alone for a moment.
        if (refused.has(log) && tails.size === 0) code = othersLogs(fail);
        refused.add(log);
      }
      if (code !== undefined) break;
    } else if (tails.size === 0 && existsSync(file)) openInto(tails, file);
    readAll();
  }
  process.off('SIGINT', interrupt);
  process.off('SIGTERM', interrupt);
  return code;
};
