import type { Diagnostic } from './diagnostic.ts';
import { formatSarif } from './diagnostic-format-sarif.ts';
import { formatText } from './diagnostic-format-text.ts';

export interface FormatOptions {
  /** `text` for people, `json` for programs, `sarif` (2.1.0) for code scanning. */
  readonly format: 'text' | 'json' | 'sarif';
  /** Terminal colours, in `text` only. Absent: none. */
  readonly color?: boolean;
}

/** Diagnostics as one text that ends in a newline; empty text where there is nothing to show as `text`. */
export const formatDiagnostics = (
  diagnostics: readonly Diagnostic[],
  { format, color = false }: FormatOptions,
): string => {
  switch (format) {
    case 'text':
      return formatText(diagnostics, color);
    case 'json':
      return `${JSON.stringify(diagnostics.map(withoutSource), null, 2)}\n`;
    case 'sarif':
      return formatSarif(diagnostics);
  }
};

/** The source line is for showing; programs have the file. */
const withoutSource = ({ sourceLine, sourceColumn, ...rest }: Diagnostic) => rest;
