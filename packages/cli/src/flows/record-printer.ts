import {
  type AnyRecord,
  encodeRecord,
  recordColumns,
  recordLine,
  recordTable,
  remarkText,
  runColumn,
  verdictText,
} from '@cofferdam/flows';
import { deniedAddress } from '../denied-address.ts';
import type { Output } from '../output.ts';
import type { Style } from '../style.ts';

export type RecordFormat = 'table' | 'json' | 'compact';

export interface RecordPrinter {
  add(record: AnyRecord): void;
  /** Shows what was held back. */
  finish(): void;
}

const remark = (record: AnyRecord): string => {
  const address = deniedAddress(record);
  return [remarkText(record), ...(address === undefined ? [] : [`address ${address}`])]
    .filter((part) => part !== '')
    .join(', ');
};

const ours: Readonly<Record<string, (record: AnyRecord) => string>> = { remark };
const columns = recordColumns.map((column) => ({ ...column, value: ours[column.key] ?? column.value }));

const paint = (style: Style, record: AnyRecord, line: string): string => {
  const word = verdictText(record);
  const color = word === 'deny' ? style.red : word === 'would-deny' ? style.yellow : style.green;
  return line.replace(word, color(word));
};

/** A flow is written at its start and at its end under one id; the later record stands for it. */
const keyOf = ({ gateway, id }: AnyRecord): string => `${gateway}\n${id}`;

const timeOf = ({ start, end }: AnyRecord): number => end ?? start;

/** Oldest first. Stable: what was written first stays first. */
export const byTime = (records: Iterable<AnyRecord>): AnyRecord[] => [...records].sort((a, b) => timeOf(a) - timeOf(b));

/** With the run where there are several. */
const columnsFor = (records: readonly AnyRecord[]) =>
  new Set(records.map(({ gateway }) => gateway)).size > 1 ? [runColumn, ...columns] : columns;

/**
 * Everything is read, then shown, oldest first. `ordered`: the records come in their order, so that those that a program reads need not
 * be held back.
 */
export const batchPrinter = (
  format: RecordFormat,
  out: Output,
  last: number | undefined,
  ordered: boolean,
): RecordPrinter => {
  let flat: AnyRecord[] = [];
  const byKey = new Map<string, AnyRecord>();
  const limit = last ?? Number.POSITIVE_INFINITY;
  return {
    add(record) {
      if (format === 'json') {
        if (last === undefined && ordered) out.line(encodeRecord(record));
        else {
          flat.push(record);
          if (flat.length > 2 * limit + 64) flat = (ordered ? flat : byTime(flat)).slice(-limit);
        }
        return;
      }
      const key = keyOf(record);
      const before = byKey.get(key);
      if (before !== undefined && before.end !== undefined && record.end === undefined) return;
      byKey.set(key, record);
      // The logs of several runs come one after the other: the oldest need not have come first.
      if (byKey.size > 2 * limit + 64)
        for (const old of byTime(byKey.values()).slice(0, -limit)) byKey.delete(keyOf(old));
    },
    finish() {
      if (format === 'json') {
        for (const record of ordered ? flat.slice(-limit) : byTime(flat).slice(-limit)) out.line(encodeRecord(record));
        return;
      }
      const records = byTime(byKey.values());
      const shown = limit === Number.POSITIVE_INFINITY ? records : records.slice(-limit);
      if (format === 'compact') for (const record of shown) out.line(paint(out.style, record, recordLine(record)));
      else if (shown.length > 0) {
        const [title = '', ...lines] = recordTable(shown, columnsFor(shown)).split('\n');
        out.line(out.style.bold(title));
        for (const [i, line] of lines.entries()) out.line(paint(out.style, shown[i]!, line));
      }
    },
  };
};

const mostRemembered = 50_000;

/**
 * Records are shown as they come: a flow at its start, and again at its end only where something else is to be said of it. The table has
 * fixed columns then, since nobody knows what will come.
 */
export const livePrinter = (format: RecordFormat, out: Output): RecordPrinter => {
  const seen = new Map<string, string>();
  const repeats = (record: AnyRecord): boolean => {
    const said = `${verdictText(record)} ${record.reason} ${record.rule?.name ?? ''} ${remarkText(record)}`;
    const key = keyOf(record);
    const same = seen.get(key) === said;
    seen.delete(key);
    if (record.end === undefined) seen.set(key, said);
    if (seen.size > mostRemembered) seen.delete(seen.keys().next().value!);
    return same;
  };
  return {
    add(record) {
      if (format === 'json') out.line(encodeRecord(record));
      else if (!repeats(record)) out.line(paint(out.style, record, recordLine(record)));
    },
    finish: () => undefined,
  };
};
