import { CST } from 'yaml';
import type { Problems } from './diagnostic.ts';
import type { Limits } from './limits.ts';
import type { Source } from './source.ts';

/**
 * Looks over a file's tokens before anything is composed from them. The token parser keeps its own stack, so nesting of
 * any depth is safe here and not later; and tags, anchors, aliases, merge keys and directives are refused as written,
 * before their meaning could play a part.
 *
 * Returns whether the file may be composed at all.
 */
export const surveyTokens = (
  source: Source,
  tokens: readonly CST.Token[],
  limits: Limits,
  problems: Problems,
): boolean => {
  const pending: { token: CST.Token; depth: number }[] = [];
  for (const token of tokens.toReversed()) pending.push({ token, depth: 0 });
  let nodes = 0;
  let deep: CST.Token | undefined;

  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { token, depth } = next;
    refuse(source, token, problems);
    if (token.type === 'document') {
      for (const mark of token.start) refuse(source, mark, problems);
      if (token.value !== undefined) pending.push({ token: token.value, depth });
      continue;
    }
    if (depth > 0 || CST.isCollection(token) || CST.isScalar(token)) nodes++;
    if (token.type === 'block-scalar') for (const mark of token.props) refuse(source, mark, problems);
    if (!CST.isCollection(token)) continue;
    if (depth >= limits.depth) {
      if (deep === undefined || token.offset < deep.offset) deep = token;
      continue;
    }
    for (const item of token.items) {
      for (const mark of [...item.start, ...(item.sep ?? [])]) refuse(source, mark, problems);
      if (item.key) {
        if (item.key.type === 'scalar' && item.key.source === '<<') {
          const help = 'write the keys out';
          problems.report('yaml-merge-key', span(source, item.key), 'merge key `<<`', help);
        }
        pending.push({ token: item.key, depth: depth + 1 });
      }
      if (item.value) pending.push({ token: item.value, depth: depth + 1 });
    }
  }

  if (deep !== undefined) {
    const where = { source, start: deep.offset, end: deep.offset + 1 };
    problems.report('too-deep', where, `nested more than ${limits.depth} levels deep`, 'check for stray brackets');
  }
  if (nodes > limits.nodes) {
    const message = `${nodes} values in one file, which is more than ${limits.nodes}`;
    problems.report('too-many-nodes', { source, start: 0, end: 0 }, message, 'split the file');
  }
  return deep === undefined && nodes <= limits.nodes;
};

const span = (source: Source, token: { offset: number; source: string }) => ({
  source,
  start: token.offset,
  end: token.offset + token.source.length,
});

const refuse = (source: Source, token: CST.Token, problems: Problems): void => {
  switch (token.type) {
    case 'tag':
      problems.report(
        'yaml-tag',
        span(source, token),
        `tag \`${token.source}\``,
        'remove it; quote a value to make it text',
      );
      break;
    case 'anchor':
      problems.report(
        'yaml-alias',
        span(source, token),
        `anchor \`${token.source}\``,
        'write the value out where it is needed',
      );
      break;
    case 'alias':
      problems.report(
        'yaml-alias',
        span(source, token),
        `\`${token.source}\` is read as an alias`,
        `write the value out; a pattern is quoted, such as \`"${token.source}"\``,
      );
      break;
    case 'directive':
      problems.report('yaml-directive', span(source, token), `directive \`${token.source}\``, 'remove the line');
      break;
    default:
  }
};
