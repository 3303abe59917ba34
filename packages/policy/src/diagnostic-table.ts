import type { DiagnosticEntry } from './diagnostic-entry.ts';
import { errorEntries } from './diagnostic-errors.ts';
import { warningEntries } from './diagnostic-warnings.ts';

export type ErrorCode = (typeof errorEntries)[number]['code'];
export type WarningCode = (typeof warningEntries)[number]['code'];
export type DiagnosticCode = ErrorCode | WarningCode;
export type Severity = 'error' | 'warning';

export interface DiagnosticTableEntry extends DiagnosticEntry<DiagnosticCode> {
  readonly severity: Severity;
}

/** Every code that validation can give, errors first. The command line's help and the documentation are made from it. */
export const diagnosticTable: readonly DiagnosticTableEntry[] = [
  ...errorEntries.map((entry) => ({ ...entry, severity: 'error' as const })),
  ...warningEntries.map((entry) => ({ ...entry, severity: 'warning' as const })),
];

const byCode = new Map<string, DiagnosticTableEntry>(diagnosticTable.map((entry) => [entry.code, entry]));

export const isDiagnosticCode = (code: string): code is DiagnosticCode => byCode.has(code);

/** The entry of a code. Total over {@link DiagnosticCode}. */
export const diagnosticEntry = (code: DiagnosticCode): DiagnosticTableEntry => byCode.get(code)!;
