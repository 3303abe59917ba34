/** What a diagnostic code means; shown by `cofferdam help CODE` and in the documentation. */
export interface DiagnosticEntry<Code extends string = string> {
  /** Kebab-case and stable: a code keeps its meaning, a retired one is not used again. */
  readonly code: Code;
  readonly title: string;
  /** One or more sentences: what is wrong and why it matters. */
  readonly explanation: string;
  /** What to write instead: an example, or what to do. */
  readonly fix: string;
}

export const entry = <const Code extends string>(
  code: Code,
  title: string,
  explanation: string,
  fix: string,
): DiagnosticEntry<Code> => ({ code, title, explanation, fix });
