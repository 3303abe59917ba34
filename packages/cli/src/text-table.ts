/** A column of a table, with a cell for each row. */
export interface TableColumn {
  readonly title: string;
  readonly cells: readonly string[];
  /** Numbers are read from their last digit. */
  readonly right?: boolean;
  /** Left out where every cell is empty. */
  readonly optional?: boolean;
}

/** Aligned lines, the titles first. */
export const tableLines = (columns: readonly TableColumn[]): readonly string[] => {
  const shown = columns.filter(({ cells, optional }) => optional !== true || cells.some((cell) => cell !== ''));
  const widths = shown.map(({ title, cells }) =>
    cells.reduce((most, cell) => Math.max(most, cell.length), title.length),
  );
  const line = (parts: readonly string[]): string =>
    parts
      .map((part, i) => (shown[i]!.right === true ? part.padStart(widths[i]!) : part.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [
    line(shown.map(({ title }) => title)),
    ...(columns[0]?.cells ?? []).map((_, row) => line(shown.map(({ cells }) => cells[row]!))),
  ];
};
