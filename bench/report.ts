import { mkdirSync, writeFileSync } from 'node:fs';

/** What is printed, and what is written. */

export interface Result {
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
  /** Null: there is none, so that nothing can hold. */
  readonly budget: number | null;
  readonly holds: boolean | null;
  readonly comparedWith: string | null;
}

/** A result with what is said of it only in print. */
export interface Row extends Result {
  /** How sure it is. */
  readonly interval?: readonly [low: number, high: number] | undefined;
}

export type Bound = { readonly atLeast: number } | { readonly atMost: number };

/** A row under a budget. */
export const judged = (
  row: Pick<Row, 'metric' | 'unit' | 'value' | 'interval'> & { readonly comparedWith?: string | null },
  bound: Bound,
): Row => ({
  comparedWith: null,
  ...row,
  budget: 'atLeast' in bound ? bound.atLeast : bound.atMost,
  holds: 'atLeast' in bound ? row.value >= bound.atLeast : row.value <= bound.atMost,
});

export const told = (metric: string, unit: string, value: number, comparedWith?: string): Row => ({
  metric,
  unit,
  value,
  budget: null,
  holds: null,
  comparedWith: comparedWith ?? null,
});

/** Three figures that count, and no more than are known. */
export const figure = (value: number): string => {
  if (value === 0) return '0';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toPrecision(3);
};

/** Columns as wide as what is in them; all but the first to the right. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd();
  return [head, widths.map((width) => '─'.repeat(width)), ...rows].map(line).join('\n');
};

const intervalOf = ({ interval }: Row): string =>
  interval === undefined ? '' : `${figure(interval[0])} to ${figure(interval[1])}`;

const holdsOf = ({ holds, budget, interval }: Row): string => {
  if (holds === null || budget === null) return '';
  const unsure = interval !== undefined && interval[0] < budget && interval[1] > budget;
  return `${holds ? 'yes' : 'NO'}${unsure ? ', unsure' : ''}`;
};

export const rowsTable = (rows: readonly Row[]): string =>
  table(
    ['metric', 'value', 'unit', '95 % interval', 'budget', 'holds', 'compared with'],
    rows.map((row) => [
      row.metric,
      figure(row.value),
      row.unit,
      intervalOf(row),
      row.budget === null ? '' : figure(row.budget),
      holdsOf(row),
      row.comparedWith ?? '',
    ]),
  );

const results = new URL('results/', import.meta.url).pathname;

/** Writes the results, and beside them what every round measured. Returns the file. */
export const writeResults = (name: string, rows: readonly Row[], rounds: object): string => {
  mkdirSync(`${results}rounds`, { recursive: true });
  const plain = rows.map(({ metric, unit, value, budget, holds, comparedWith }): Result => {
    if (!Number.isFinite(value)) throw new Error(`${metric} is ${value}`);
    return { metric, unit, value, budget, holds, comparedWith };
  });
  const file = `${results}${name}.json`;
  writeFileSync(file, `${JSON.stringify(plain, undefined, 2)}\n`);
  writeFileSync(`${results}rounds/${name}.json`, `${JSON.stringify(rounds)}\n`);
  return file;
};
