import {
  type AnyRecord,
  type GroupedFlows,
  type Grouping,
  type GroupSummary,
  groupFlows,
  mostKeys,
  settling,
} from '@cofferdam/flows';
import { bytesText } from '../bytes-text.ts';
import type { Context } from '../command.ts';
import { tableLines } from '../text-table.ts';
import type { RecordPrinter } from './record-printer.ts';

const titles: Readonly<Record<Grouping, string>> = { rule: 'RULE', destination: 'DESTINATION', agent: 'AGENT' };

/** Of what has no rule, or was only counted. */
const nothing: Readonly<Record<Grouping, string>> = {
  rule: '(no rule)',
  destination: '(not recorded)',
  agent: '(unknown)',
};

const minute = (at: number): string => new Date(at).toISOString().replace('T', ' ').slice(0, 19);

type Row = Omit<GroupSummary, 'key'>;

const table = (by: Grouping, { rows, rest, incomplete }: GroupedFlows): readonly string[] => {
  const all: readonly (readonly [string, Row])[] = [
    ...rows.map((row) => [row.key === '' ? nothing[by] : row.key, row] as const),
    ...(rest === undefined ? [] : [[incomplete ? '… all others' : `… ${rest.keys} more`, rest] as const]),
  ];
  const number = (value: (row: Row) => number): readonly string[] => all.map(([, row]) => String(value(row)));
  const wouldDeny = number((row) => row.wouldDeny);
  return tableLines([
    { title: titles[by], cells: all.map(([key]) => key) },
    { title: 'COUNT', cells: number((row) => row.count), right: true },
    { title: 'DENIED', cells: number((row) => row.denied), right: true },
    ...(wouldDeny.every((cell) => cell === '0') ? [] : [{ title: 'WOULD DENY', cells: wouldDeny, right: true }]),
    { title: 'BYTES', cells: all.map(([, row]) => bytesText(row.bytes)), right: true },
    { title: 'FIRST (UTC)', cells: all.map(([, row]) => minute(row.first)) },
    { title: 'LAST (UTC)', cells: all.map(([, row]) => minute(row.last)) },
  ]);
};

const data = ({ first, last, bytes, ...counts }: Row & { readonly key?: string; readonly keys?: number }) => ({
  ...counts,
  bytes: Number(bytes),
  first: new Date(first).toISOString(),
  last: new Date(last).toISOString(),
});

/** Everything is summed up, then shown. `matches`: asked of each flow as it ended. */
export const groupPrinter = (
  by: Grouping,
  json: boolean,
  top: number,
  matches: (record: AnyRecord) => boolean,
  { out, err }: Pick<Context, 'out' | 'err'>,
): RecordPrinter => {
  const groups = groupFlows(by);
  const flows = settling((record) => {
    if (matches(record)) groups.add(record);
  });
  return {
    add: flows.add,
    finish() {
      flows.finish();
      const grouped = groups.finish(top);
      const { rows, rest, incomplete } = grouped;
      if (json) {
        out.line(
          JSON.stringify(
            { by, rows: rows.map(data), ...(rest === undefined ? {} : { rest: data(rest) }), incomplete },
            null,
            2,
          ),
        );
        return;
      }
      if (rows.length === 0) return;
      const [title = '', ...lines] = table(by, grouped);
      out.line(out.style.bold(title));
      for (const line of lines) out.line(line);
      if (incomplete)
        err.line(
          `cofferdam: there are more than ${mostKeys} ${by}s: what is seldom is in the last row alone, and others may have been more often than it says`,
        );
    },
  };
};
