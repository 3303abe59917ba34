import { type DiagnosticCode, diagnosticEntry, type Severity } from './diagnostic-table.ts';
import { lineText, positionOf, type Source } from './source.ts';
import { pathOf, type Tree } from './tree.ts';

/** One finding about one place. Lines and columns count from 1; the end is exclusive; a column counts UTF-16 code units. */
export interface Diagnostic {
  readonly severity: Severity;
  readonly code: DiagnosticCode;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
  /** JSON path in its document; empty where the place is not in a document. */
  readonly path: string;
  /** What was written there, as it is in the file; at most 200 characters. */
  readonly text: string;
  readonly message: string;
  /** What would be accepted, or what to do. */
  readonly help: string;
  /** The whole first line, for showing; at most 1000 characters, beginning at `sourceColumn`. */
  readonly sourceLine: string;
  readonly sourceColumn: number;
}

/** A place in a file; a {@link Tree} is one. */
export interface Span {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

const longestText = 200;
const longestLine = 1000;

/** Collects findings; nothing is thrown and nothing stops at the first. */
export class Problems {
  readonly #found: Diagnostic[] = [];
  readonly #limit: number;
  #errors = 0;
  #leftOut: Span | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get hasErrors(): boolean {
    return this.#errors > 0;
  }

  /** `help` may be a function where it is costly to find, such as a suggestion. */
  report(code: DiagnosticCode, where: Span | Tree, message: string, help: string | (() => string)): void {
    const { severity } = diagnosticEntry(code);
    if (severity === 'error') this.#errors++;
    if (this.#found.length >= this.#limit) {
      this.#leftOut ??= where;
      return;
    }
    const path = 'kind' in where ? pathOf(where) : '';
    this.#found.push(diagnostic(code, where, path, message, typeof help === 'string' ? help : help()));
  }

  /** Everything found, by file and position. */
  sorted(): readonly Diagnostic[] {
    const all = [...this.#found];
    if (this.#leftOut !== undefined) {
      const message = `more than ${this.#limit} problems; the rest is left out`;
      all.push(diagnostic('too-many-problems', this.#leftOut, '', message, 'correct these first'));
    }
    return all.sort(byPlace);
  }
}

const diagnostic = (
  code: DiagnosticCode,
  { source, start, end }: Span,
  path: string,
  message: string,
  help: string,
): Diagnostic => {
  const from = positionOf(source, start);
  const until = positionOf(source, Math.max(start, end));
  const sourceColumn = Math.max(1, from.column - longestLine / 2);
  return {
    severity: diagnosticEntry(code).severity,
    code,
    file: source.file,
    line: from.line,
    column: from.column,
    endLine: until.line,
    endColumn: until.column,
    path,
    text: source.text.slice(start, Math.min(end, start + longestText)),
    message,
    help,
    sourceLine: lineText(source, from.line).slice(sourceColumn - 1, sourceColumn - 1 + longestLine),
    sourceColumn,
  };
};

const order = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0);

const byPlace = (a: Diagnostic, b: Diagnostic): number =>
  order(a.file, b.file) || order(a.line, b.line) || order(a.column, b.column) || order(a.code, b.code);
