/** What the parser is ready to read. Policy may come from people who are not trusted with the machine that validates it. */
export interface Limits {
  /** UTF-16 code units of one file, and of all files together. */
  readonly fileLength: number;
  readonly setLength: number;
  /** Nesting of maps and lists in one document. */
  readonly depth: number;
  /** Maps, lists and scalars in one file. */
  readonly nodes: number;
  /** Diagnostics that are collected before the rest is left out. */
  readonly diagnostics: number;
  /** Pairs of rules that the search for shadowed rules compares. */
  readonly comparisons: number;
}

export const defaultLimits: Limits = {
  fileLength: 1024 * 1024,
  setLength: 16 * 1024 * 1024,
  depth: 32,
  nodes: 250_000,
  diagnostics: 1000,
  comparisons: 20_000_000,
};
