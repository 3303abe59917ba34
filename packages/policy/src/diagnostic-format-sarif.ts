import type { Diagnostic } from './diagnostic.ts';
import { type DiagnosticCode, diagnosticEntry } from './diagnostic-table.ts';

/** SARIF 2.1.0 (OASIS), one run. Columns of SARIF count UTF-16 code units here, as `columnKind` says. */
export const formatSarif = (diagnostics: readonly Diagnostic[]): string => {
  const codes = [...new Set(diagnostics.map((each) => each.code))].sort();
  const log = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'cofferdam', rules: codes.map(ruleOf) } },
        columnKind: 'utf16CodeUnits',
        results: diagnostics.map((each) => resultOf(each, codes.indexOf(each.code))),
      },
    ],
  };
  return `${JSON.stringify(log, null, 2)}\n`;
};

const ruleOf = (code: DiagnosticCode) => {
  const { title, explanation, fix, severity } = diagnosticEntry(code);
  return {
    id: code,
    shortDescription: { text: title },
    fullDescription: { text: explanation },
    help: { text: fix },
    defaultConfiguration: { level: severity },
  };
};

const resultOf = (diagnostic: Diagnostic, ruleIndex: number) => {
  const { code, severity, file, line, column, endLine, endColumn, path, message, help } = diagnostic;
  return {
    ruleId: code,
    ruleIndex,
    level: severity,
    message: { text: help === '' ? message : `${message}; help: ${help}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: uriOf(file) },
          region: { startLine: line, startColumn: column, endLine, endColumn },
        },
        ...(path !== '' && { logicalLocations: [{ fullyQualifiedName: path }] }),
      },
    ],
  };
};

/** A path as a URI reference: relative stays relative. A first segment with a colon would read as a scheme. */
const uriOf = (file: string): string => {
  const encoded = file.replaceAll('\\', '/').toWellFormed().split('/').map(encodeURIComponent).join('/');
  return file.startsWith('/') ? `file://${encoded}` : encoded;
};
