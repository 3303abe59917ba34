import { Composer, type Document, Parser, type YAMLError } from 'yaml';
import type { Problems } from './diagnostic.ts';
import type { Limits } from './limits.ts';
import type { Source } from './source.ts';
import type { Tree } from './tree.ts';
import { surveyTokens } from './yaml-survey.ts';
import { treeOf } from './yaml-tree.ts';

/** One document of a file. `wellFormed` is false after a syntax error: what was read of it is a guess. */
export interface YamlDocument {
  readonly root: Tree;
  readonly wellFormed: boolean;
}

export interface YamlFile {
  readonly documents: readonly YamlDocument[];
  /** False where something of the file could not be read, so that names it defines may be missing. */
  readonly complete: boolean;
}

/** Reads a file of any number of YAML documents. Empty documents are skipped. */
export const readDocuments = (source: Source, limits: Limits, problems: Problems): YamlFile => {
  if (source.text.length > limits.fileLength) {
    const message = `${source.text.length} characters, which is more than ${limits.fileLength}`;
    problems.report('file-too-large', { source, start: 0, end: 0 }, message, 'split the file');
    return { documents: [], complete: false };
  }
  reportInvisible(source, problems);
  const tokens = [...new Parser().parse(source.text)];
  if (!surveyTokens(source, tokens, limits, problems)) return { documents: [], complete: false };

  // Keys are compared in `treeOf`: the library compares each with each.
  const composer = new Composer({ version: '1.2', schema: 'core', merge: false, uniqueKeys: false });
  const documents: YamlDocument[] = [];
  let complete = true;
  for (const document of composer.compose(
    tokens.filter((token) => token.type !== 'directive'),
    true,
    source.text.length,
  )) {
    const errors = document.errors.filter((error) => !isRefusedAlready(error));
    // Those behind the first are echoes of it: one slip is one error.
    const first = errors.reduce<YAMLError | undefined>((a, b) => (a && a.pos[0] <= b.pos[0] ? a : b), undefined);
    if (first !== undefined) reportSyntax(source, first, problems);
    if (errors.length > 0) complete = false;
    if (isEmpty(document)) continue;
    documents.push({ root: treeOf(source, document.contents, problems), wellFormed: errors.length === 0 });
  }
  if (documents.length === 0 && complete) {
    problems.report('empty-file', { source, start: 0, end: 0 }, 'no document in this file', 'remove it from the set');
  }
  return { documents, complete };
};

const isEmpty = ({ contents }: Document.Parsed): boolean =>
  contents === null || ('value' in contents && contents.value === null && contents.range[0] === contents.range[1]);

/** Tags and aliases have diagnostics of their own; the library complains of unknown ones too. */
const isRefusedAlready = ({ code }: YAMLError): boolean => code === 'TAG_RESOLVE_FAILED' || code === 'BAD_ALIAS';

/** The tab in the indentation of the line that an offset lies in. */
const tabBefore = (source: Source, offset: number): number | undefined => {
  const line = source.text.lastIndexOf('\n', offset - 1) + 1;
  const indentation = /^[ \t]*/.exec(source.text.slice(line))?.[0] ?? '';
  const tab = indentation.indexOf('\t');
  return tab === -1 ? undefined : line + tab;
};

const reportSyntax = (source: Source, error: YAMLError, problems: Problems): void => {
  const tab = tabBefore(source, error.pos[0]);
  if (error.code === 'TAB_AS_INDENT' || tab !== undefined) {
    const start = tab ?? error.pos[0];
    const message = 'a tab, where YAML indents with spaces';
    problems.report('yaml-syntax', { source, start, end: start + 1 }, message, 'replace the tab by spaces');
    return;
  }
  const text = error.message.replace(/ at line \d+, column \d+:[\s\S]*$/, '').replace(/\.$/, '');
  const message = `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
  const help = 'check indentation, quotes and brackets; quote text that begins with a special character';
  problems.report('yaml-syntax', { source, start: error.pos[0], end: error.pos[1] }, message, help);
};

/**
 * Characters that make a file read otherwise than it is: controls, zero-width characters and bidirectional marks
 * (Trojan Source), lone surrogates. A byte order mark at the start is let through.
 */
const invisible = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu;
const letThrough = new Set(['\t', '\n', '\r']);

const reportInvisible = (source: Source, problems: Problems): void => {
  for (const { 0: character, index } of source.text.matchAll(invisible)) {
    if (letThrough.has(character) || (index === 0 && character === '\ufeff')) continue;
    const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
    const where = { source, start: index, end: index + character.length };
    problems.report('invisible-character', where, `character U+${code} does not show`, 'delete it');
  }
};
