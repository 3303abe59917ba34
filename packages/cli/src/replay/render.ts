import { encodeRecord, ruleText } from '@cofferdam/flows';
import type { Cause, Change, ChangeRow, Tally } from '@cofferdam/replay';
import type { Output } from '../output.ts';
import type { Style } from '../style.ts';
import { counted, paragraph } from '../text.ts';
import { type TableColumn, tableLines } from '../text-table.ts';

export interface Replayed {
  readonly promoted: readonly string[];
  /** Connections, requests and questions, each counted once. */
  readonly seen: { readonly flow: number; readonly request: number; readonly dns: number; readonly suppressed: number };
  /** Milliseconds since the epoch; absent where there is no record. */
  readonly from?: number;
  readonly to?: number;
  readonly tally: Tally;
  readonly early: number;
}

const causes: Readonly<Record<Cause, string>> = {
  unread: 'not read then',
  address: 'other addresses',
  hostname: 'hostname',
  agent: 'another agent',
  gateway: 'denied before',
  ech: 'ech not recorded',
  suppressed: 'not recorded',
};

/** What is said below the table, of the causes that are in it. */
const meanings: Readonly<Record<Cause, string>> = {
  unread: 'not read then: the rule asks for something that was never read of the connection',
  address: 'other addresses: the name may stand for an address that the log does not have',
  hostname: 'hostname: what a `hostname` of the policy stood for then is not known',
  agent: 'another agent: inventory gives the address to another agent than the record',
  gateway: 'denied before: a quota, a time limit or how its bytes came denied it before a rule did',
  ech: 'ech not recorded: the rule refuses Encrypted ClientHello, which records do not tell of',
  suppressed: 'not recorded: denials that came too fast to be written one by one',
};

const words: Readonly<Record<Change, string>> = {
  'newly-denied': 'newly denied',
  'newly-permitted': 'newly permitted',
  unknown: 'unknown',
  same: 'same',
};

const order: readonly Change[] = ['newly-denied', 'newly-permitted', 'unknown', 'same'];

const minute = (at: number): string => new Date(at).toISOString().slice(0, 16).replace('T', ' ');

const paint = ({ red, green, yellow }: Style, change: Change): ((text: string) => string) =>
  change === 'newly-denied'
    ? red
    : change === 'newly-permitted'
      ? green
      : change === 'unknown'
        ? yellow
        : (text) => text;

const kindOf = ({ kind, example }: ChangeRow): string =>
  kind === 'flow' && example.kind === 'flow'
    ? example.protocol
    : kind === 'request'
      ? 'http'
      : kind === 'dns'
        ? 'dns'
        : '';

const changeColumns = (rows: readonly ChangeRow[]): readonly TableColumn[] => [
  { title: 'CHANGE', cells: rows.map(({ change }) => words[change]) },
  { title: 'AGENT', cells: rows.map(({ agent }) => agent) },
  { title: 'KIND', cells: rows.map(kindOf) },
  { title: 'DESTINATION', cells: rows.map(({ destination }) => destination) },
  { title: 'TIMES', cells: rows.map(({ count }) => String(count)), right: true },
  { title: 'DECIDED', cells: rows.map(({ before }) => before), optional: true },
  { title: 'WOULD DECIDE', cells: rows.map(({ after }) => after) },
  { title: 'BECAUSE', cells: rows.map(({ reason, cause }) => reason ?? causes[cause!]) },
];

const ruleColumns = (rules: ReturnType<Tally['rules']>): readonly TableColumn[] => {
  const number = (title: string, of: (rule: (typeof rules)[number]) => number): TableColumn => ({
    title,
    cells: rules.map((rule) => String(of(rule))),
    right: true,
  });
  return [
    { title: 'RULE', cells: rules.map(({ rule }) => ruleText(rule)) },
    number('PERMITS', ({ permitted }) => permitted),
    number('NEWLY', ({ newlyPermitted }) => newlyPermitted),
    number('DENIES', ({ denied }) => denied),
    number('NEWLY', ({ newlyDenied }) => newlyDenied),
    number('UNKNOWN', ({ unknown }) => unknown),
  ];
};

const seenText = ({ seen, from, to }: Replayed): string => {
  const parts = [
    counted(seen.flow, 'connection'),
    ...(seen.request > 0 ? [counted(seen.request, 'request')] : []),
    ...(seen.dns > 0 ? [counted(seen.dns, 'DNS question')] : []),
    ...(seen.suppressed > 0 ? [`${counted(seen.suppressed, 'denial')} that were only counted`] : []),
  ];
  const time = from === undefined || to === undefined ? '' : `, ${minute(from)} to ${minute(to)} UTC`;
  return `${parts.join(', ')}${time}`;
};

export const replayText = (result: Replayed, { style, width }: Output, top: number): string => {
  const { tally, promoted, early } = result;
  const lines = [seenText(result)];
  if (promoted.length > 0) lines.push(`as if enforced: ${promoted.join(', ')}`);
  const counts = tally.counts();
  lines.push('', ...order.map((change) => `${paint(style, change)(words[change].padEnd(15))}  ${counts[change]}`));
  const rank = new Map(order.map((change, i) => [change, i]));
  const rows = [...tally.rows()].sort((a, b) => rank.get(a.change)! - rank.get(b.change)!);
  const shown = rows.slice(0, top);
  if (shown.length > 0) {
    const [title = '', ...body] = tableLines(changeColumns(shown));
    lines.push('', style.bold(title));
    body.forEach((line, i) => {
      const { change } = shown[i]!;
      lines.push(line.replace(words[change], paint(style, change)));
    });
    const left = rows.length - shown.length;
    if (left > 0) lines.push(style.dim(`and ${counted(left, 'line')} more: \`--top ${rows.length}\` shows them`));
    if (tally.withoutRow() > 0)
      lines.push(style.dim(`and ${counted(tally.withoutRow(), 'record')} to more places than are kept apart`));
  }
  const rules = tally.rules();
  if (rules.length > 0) {
    const [title = '', ...body] = tableLines(ruleColumns(rules));
    lines.push('', style.bold(title), ...body);
  }
  const met = new Set(shown.flatMap(({ cause }) => cause ?? []));
  const notes = (Object.keys(meanings) as Cause[]).filter((cause) => met.has(cause)).map((cause) => meanings[cause]);
  if (early > 0)
    notes.push(
      `${counted(early, 'connection')} were judged by their start, since too many were open at once, and may be counted twice`,
    );
  const text = notes.map((note) => style.dim(paragraph(note, width)));
  return `${lines.join('\n')}\n${text.length > 0 ? '\n' : ''}${text.join('')}`;
};

const rowData = ({ example, ...row }: ChangeRow) => ({ ...row, example: JSON.parse(encodeRecord(example)) as unknown });

export const replayData = (result: Replayed) => {
  const { promoted, seen, from, to, tally, early } = result;
  return {
    promoted,
    records: { flows: seen.flow, requests: seen.request, queries: seen.dns, suppressed: seen.suppressed },
    ...(from !== undefined && { from: new Date(from).toISOString() }),
    ...(to !== undefined && { to: new Date(to).toISOString() }),
    counts: tally.counts(),
    rules: tally.rules().map(({ rule, ...counts }) => ({ rule: rule ?? 'default', ...counts })),
    changes: tally.rows().map(rowData),
    withoutRow: tally.withoutRow(),
    judgedByStart: early,
  };
};
