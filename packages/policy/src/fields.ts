import { quote, type Result } from '@cofferdam/net';
import type { Problems } from './diagnostic.ts';
import type { DiagnosticCode } from './diagnostic-table.ts';
import { namePattern } from './schema-parts.ts';
import { child, type Tree } from './tree.ts';

/** Reads what is sound of a document. A node that did not fit its schema is as good as absent: it was reported. */
export interface Fields {
  readonly sound: ReadonlySet<Tree>;
  readonly problems: Problems;
}

/** The sound value under a key. */
export const field = ({ sound }: Fields, node: Tree | undefined, key: string): Tree | undefined => {
  const value = child(node, key);
  return value !== undefined && sound.has(value) ? value : undefined;
};

/** The sound text under a key. */
export const textField = (fields: Fields, node: Tree | undefined, key: string): string | undefined => {
  const value = field(fields, node, key);
  return value?.kind === 'scalar' && typeof value.value === 'string' ? value.value : undefined;
};

/** The sound items of the list under a key, also where another item is not sound; undefined without such a list. */
export const items = (fields: Fields, node: Tree | undefined, key: string): readonly Tree[] | undefined => {
  const value = child(node, key);
  return value?.kind === 'list' ? value.items.filter((item) => fields.sound.has(item)) : undefined;
};

/** One of the words that the schema takes; undefined where absent. */
export const wordField = <const T extends string>(
  fields: Fields,
  node: Tree | undefined,
  key: string,
  words: readonly T[],
): T | undefined => {
  const written = textField(fields, node, key);
  return words.find((each) => each === written);
};

/** The value of a text, or a report in the words of its own parser. */
export const parsed = <T>(
  fields: Fields,
  node: Tree,
  code: DiagnosticCode | ((refused: string) => DiagnosticCode),
  parse: (text: string) => Result<T>,
): T | undefined => {
  if (node.kind !== 'scalar' || node.value === null) return undefined;
  const result = parse(String(node.value));
  if (result.ok) return result.value;
  const { error } = result;
  fields.problems.report(typeof code === 'string' ? code : code(error.code), node, error.message, error.help);
  return undefined;
};

/** Values of a list's items, without those that were refused; an item that repeats another's value is reported. */
export const parsedItems = <T>(
  fields: Fields,
  nodes: readonly Tree[],
  parse: (node: Tree) => T | undefined,
  key: (value: T) => string,
): T[] => {
  const values = new Map<string, T>();
  for (const node of nodes) {
    const value = parse(node);
    if (value === undefined) continue;
    if (values.has(key(value))) {
      fields.problems.report('duplicate-item', node, `${quote(key(value))} is listed twice`, 'remove one of the two');
    }
    values.set(key(value), value);
  }
  return [...values.values()];
};

/** A text map such as labels; undefined where absent. */
export const textMap = (fields: Fields, node: Tree | undefined, key: string): Record<string, string> | undefined => {
  const map = field(fields, node, key);
  if (map?.kind !== 'map') return undefined;
  const texts = map.entries.map((entry) => [entry.key, entry.value.kind === 'scalar' ? String(entry.value.value) : '']);
  return Object.fromEntries(texts);
};

/** A name that is written where it is defined; undefined and reported where it is none. */
export const nameField = (
  fields: Fields,
  node: Tree | undefined,
  key: string,
  pattern: string = namePattern,
): string | undefined => {
  const written = textField(fields, node, key);
  if (written === undefined) return undefined;
  if (new RegExp(pattern, 'u').test(written)) return written;
  const near = written
    .toLowerCase()
    .replace(/[^a-z0-9]+/gu, '-')
    .replace(/^-+|-+$/gu, '')
    .slice(0, 63)
    .replace(/-+$/u, '');
  const help = near === '' ? 'lower-case letters, digits and hyphens' : `write \`${near}\``;
  fields.problems.report('invalid-name', field(fields, node, key)!, `${quote(written)} is not a name`, help);
  return undefined;
};
