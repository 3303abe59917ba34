import {
  agentText,
  answeredText,
  deciderText,
  decisiveReason,
  destinationText,
  remarkText,
  verdictText,
} from './describe.ts';
import type { AnyRecord } from './record.ts';
import { sanitise } from './text.ts';

/** One column of a table of records. `value` is sanitised text. */
export interface Column {
  readonly key: string;
  readonly title: string;
  readonly value: (record: AnyRecord) => string;
}

/** The columns that the command line and the console show, in their order. */
export const recordColumns: readonly Column[] = [
  { key: 'time', title: 'TIME (UTC)', value: (r) => new Date(r.start).toISOString().replace('T', ' ').slice(0, 19) },
  { key: 'verdict', title: 'VERDICT', value: verdictText },
  { key: 'agent', title: 'AGENT', value: agentText },
  { key: 'kind', title: 'KIND', value: (r) => (r.kind === 'flow' ? r.protocol : r.kind) },
  { key: 'destination', title: 'DESTINATION', value: destinationText },
  { key: 'request', title: 'REQUEST', value: answeredText },
  { key: 'remark', title: 'REMARK', value: remarkText },
  { key: 'reason', title: 'REASON', value: decisiveReason },
  { key: 'rule', title: 'RULE', value: deciderText },
];

/** The gateway that wrote the record; of `run`, the run. For tables that show several. */
export const runColumn: Column = { key: 'run', title: 'RUN', value: (r) => sanitise(r.gateway) };

/** Records as aligned text, a title line first; columns that are empty in every record are left out. */
export const recordTable = (records: readonly AnyRecord[], columns: readonly Column[] = recordColumns): string => {
  const cells = columns.map((column) => ({ column, values: records.map(column.value) }));
  const shown = cells.filter(({ values }) => records.length === 0 || values.some((value) => value !== ''));
  const widths = shown.map(({ column, values }) => Math.max(column.title.length, ...values.map((v) => v.length)));
  const line = (parts: readonly string[]): string =>
    parts
      .map((part, i) => part.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [
    line(shown.map(({ column }) => column.title)),
    ...records.map((_, row) => line(shown.map((c) => c.values[row]!))),
  ].join('\n');
};
