/** A finding that only shows once policy meets inventory. What can be said of the files alone, validation has said before. */
export interface CompileDiagnostic {
  readonly severity: 'error' | 'warning';
  readonly code:
    | 'group-empty'
    | 'group-no-agents'
    | 'group-unknown'
    | 'feed-not-loaded'
    | 'agent-shadowed'
    | 'horizon-shortened';
  /** Lower case, no final period, names in backticks. */
  readonly message: string;
  readonly help: string;
  /** Where the group was written; absent where the finding is not about one. */
  readonly location?: { readonly file: string; readonly line: number; readonly column: number };
}
