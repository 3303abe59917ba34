import type { Diagnostic } from './diagnostic.ts';

const widest = 120;

/**
 * `file:line:column: error[code]: message`, the line with what was found underlined, and the help:
 *
 *     policy.yaml:4:9: error[unknown-key]: unknown key `tire`
 *       4 |   tire: agent
 *         |   ^^^^
 *     help: did you mean `tier`?
 */
export const formatText = (diagnostics: readonly Diagnostic[], color: boolean): string => {
  if (diagnostics.length === 0) return '';
  const paint = (code: string, text: string) => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
  const blocks = diagnostics.map((diagnostic) => {
    const { severity, code, file, line, column, message, help } = diagnostic;
    const tone = severity === 'error' ? '31' : '33';
    const head = `${printable(file)}:${line}:${column}: ${paint(`1;${tone}`, `${severity}[${code}]`)}: ${printable(message)}`;
    const { shown, before, marked } = excerpt(diagnostic);
    const margin = ' '.repeat(String(line).length);
    const lines = [head];
    if (shown.trim() !== '') {
      lines.push(
        `  ${line} | ${shown}`,
        `  ${margin} | ${' '.repeat(before)}${paint(`1;${tone}`, '^'.repeat(marked))}`,
      );
    }
    if (help !== '') lines.push(`${paint('1', 'help')}: ${printable(help)}`);
    return `${lines.join('\n')}\n`;
  });
  const count = (severity: string) => diagnostics.filter((each) => each.severity === severity).length;
  const sums = [
    [count('error'), 'error'],
    [count('warning'), 'warning'],
  ] as const;
  const summary = sums
    .filter(([number]) => number > 0)
    .map(([number, word]) => `${number} ${word}${number === 1 ? '' : 's'}`);
  return `${blocks.join('\n')}\n${summary.join(', ')}\n`;
};

/** The part of the line around what was found, with how many columns to skip and to underline. */
const excerpt = ({ sourceLine, sourceColumn, line, column, endLine, endColumn }: Diagnostic) => {
  const offset = column - sourceColumn;
  const cut = Math.max(0, Math.min(offset - widest / 3, sourceLine.length - widest));
  const tail = sourceLine.length > cut + widest ? '…' : '';
  const headText = cut > 0 ? '…' : '';
  const visible = printable(sourceLine.slice(cut, cut + widest));
  const before = headText.length + printable(sourceLine.slice(cut, offset)).length;
  const until = endLine === line ? endColumn - sourceColumn : sourceLine.trimEnd().length;
  const marked = printable(sourceLine.slice(offset, Math.min(until, cut + widest))).length;
  return { shown: `${headText}${visible}${tail}`, before, marked: Math.max(1, marked) };
};

/**
 * Text from a policy file must not steer the terminal it is shown on. One column per UTF-16 code unit, but for wide
 * characters, which only move the underline. A tab is shown as an arrow, since its look is what misleads.
 */
const printable = (text: string): string =>
  text.replace(/\t/g, '→').replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\ufffd');
