import { type Diagnostic, formatDiagnostics } from '@cofferdam/policy';
import { type FileProblem, type FileProblemCode, fileProblemTable } from './file-problem.ts';
import type { Style } from './style.ts';
import { version } from './version.ts';

/** Everything that is wrong with a set of policy files: with the files themselves, and with what is in them. */
export interface Findings {
  readonly problems: readonly FileProblem[];
  readonly diagnostics: readonly Diagnostic[];
}

export const errorsIn = ({ problems, diagnostics }: Findings): number =>
  problems.length + diagnostics.filter(({ severity }) => severity === 'error').length;

export const warningsIn = ({ diagnostics }: Findings): number =>
  diagnostics.filter(({ severity }) => severity === 'warning').length;

/** For people; empty where nothing was found. The sums are the caller's to give. */
export const findingsText = ({ problems, diagnostics }: Findings, style: Style): string => {
  const blocks = problems.map(
    ({ code, file, message, help }) =>
      `${printable(file)}: ${style.bold(style.red(`error[${code}]`))}: ${message}\n${style.bold('help')}: ${help}\n`,
  );
  const text = formatDiagnostics(diagnostics, { format: 'text', color: style.enabled });
  // Its last paragraph is a sum of its own, which would leave the files out.
  if (text !== '') blocks.push(text.slice(0, text.lastIndexOf('\n\n') + 1));
  return blocks.join('\n');
};

const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\ufffd');

/** For programs: the keys of a diagnostic, with the first character of the file as the place of a file's own problem. */
export const findingsData = ({ problems, diagnostics }: Findings): readonly object[] => [
  ...problems.map(({ code, file, message, help }) => ({
    severity: 'error',
    code,
    file,
    line: 1,
    column: 1,
    endLine: 1,
    endColumn: 1,
    path: '',
    text: '',
    message,
    help,
  })),
  ...(JSON.parse(formatDiagnostics(diagnostics, { format: 'json' })) as readonly object[]),
];

/** The part of SARIF 2.1.0 that is added to here. */
interface Sarif {
  readonly runs: readonly [
    { readonly tool: { readonly driver: { version?: string; readonly rules: object[] } }; readonly results: object[] },
  ];
}

export const findingsSarif = ({ problems, diagnostics }: Findings): string => {
  const log = JSON.parse(formatDiagnostics(diagnostics, { format: 'sarif' })) as Sarif;
  const [{ tool, results }] = log.runs;
  tool.driver.version = version;
  const places = new Map<FileProblemCode, number>();
  for (const { code, file, message, help } of problems) {
    let ruleIndex = places.get(code);
    if (ruleIndex === undefined) {
      const { title, explanation, fix } = fileProblemTable.find((entry) => entry.code === code)!;
      ruleIndex = tool.driver.rules.length;
      places.set(code, ruleIndex);
      tool.driver.rules.push({
        id: code,
        shortDescription: { text: title },
        fullDescription: { text: explanation },
        help: { text: fix },
        defaultConfiguration: { level: 'error' },
      });
    }
    results.push({
      ruleId: code,
      ruleIndex,
      level: 'error',
      message: { text: `${message}; help: ${help}` },
      locations: [{ physicalLocation: { artifactLocation: { uri: uriOf(file) } } }],
    });
  }
  return `${JSON.stringify(log, null, 2)}\n`;
};

const uriOf = (file: string): string => {
  const encoded = file.toWellFormed().split('/').map(encodeURIComponent).join('/');
  return file.startsWith('/') ? `file://${encoded}` : encoded;
};
