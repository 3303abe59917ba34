/**
 * Writes the tables of keys in docs/policy-language.md from the schemas of packages/policy, between the marks
 * `<!-- keys of KIND -->` and `<!-- end -->`. `--check` only compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Kind, kindSchemas, kinds } from '@cofferdam/policy';

const file = fileURLToPath(new URL('../docs/policy-language.md', import.meta.url));

/** The parts of JSON Schema that the schemas of policy use. */
interface Schema {
  readonly type?: string;
  readonly const?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly pattern?: string;
}

interface Row {
  readonly key: string;
  readonly value: string;
  readonly when: string;
  readonly meaning: string;
}

const isObject = (schema: Schema): boolean => schema.properties !== undefined;

const wordsOf = ({ anyOf }: Schema): readonly string[] | undefined => {
  const words = anyOf?.flatMap((each) => (each.const === undefined ? [] : [each.const]));
  return words === undefined || words.length < (anyOf?.length ?? 0) ? undefined : words;
};

const valueOf = (schema: Schema): string => {
  if (schema.const !== undefined) return `\`${schema.const}\``;
  const words = wordsOf(schema);
  if (words !== undefined) return words.map((each) => `\`${each}\``).join(', ');
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(valueOf))].join(' or ');
  if (schema.type === 'array') return `list of ${valueOf(schema.items ?? {})}`;
  if (schema.patternProperties !== undefined) return 'map of text';
  return { string: 'text', integer: 'number', object: 'map' }[schema.type ?? ''] ?? 'anything';
};

/** Alternatives of an object are told one after another; a key that several have is told once. */
const objectsOf = (schema: Schema): readonly Schema[] =>
  isObject(schema) ? [schema] : (schema.anyOf ?? []).filter(isObject);

const whenOf = (schema: Schema, required: boolean): string => {
  if (required) return 'required';
  const { default: absent } = schema;
  return typeof absent === 'string' || typeof absent === 'number' ? `default \`${absent}\`` : 'optional';
};

const rowsOf = (schema: Schema, prefix: string): readonly Row[] =>
  objectsOf(schema).flatMap((object) => {
    const alternatives = objectsOf(schema).length > 1;
    return Object.entries(object.properties ?? {}).flatMap(([name, property]): readonly Row[] => {
      const key = `${prefix}${name}`;
      const items = property.type === 'array' ? property.items : undefined;
      const inside = items === undefined ? rowsOf(property, `${key}.`) : rowsOf(items, `${key}[].`);
      const required = !alternatives && (object.required ?? []).includes(name);
      const meaning = [property.description ?? '', items?.description ?? ''].filter((text) => text !== '').join(' ');
      return [{ key, value: valueOf(property), when: whenOf(property, required), meaning }, ...inside];
    });
  });

const cell = (text: string): string => text.replaceAll('|', '\\|');

export const keyTable = (kind: Kind): string => {
  const { properties = {} } = kindSchemas[kind] as Schema;
  const rows = [...rowsOf(properties.metadata ?? {}, 'metadata.'), ...rowsOf(properties.spec ?? {}, 'spec.')];
  return [
    '| key | value | | meaning |',
    '|---|---|---|---|',
    ...rows.map(({ key, value, when, meaning }) => `| \`${key}\` | ${cell(value)} | ${when} | ${cell(meaning)} |`),
  ].join('\n');
};

/** The document with its tables written anew. */
export const withKeyTables = (document: string): string =>
  kinds.reduce((text, kind) => {
    const [from, to] = [`<!-- keys of ${kind} -->`, '<!-- end -->'];
    const begin = text.indexOf(from);
    const end = text.indexOf(to, begin);
    if (begin === -1 || end === -1) throw new Error(`docs/policy-language.md has no place for the keys of ${kind}`);
    return `${text.slice(0, begin)}${from}\n${keyTable(kind)}\n${text.slice(end)}`;
  }, document);

if (import.meta.main) {
  const before = readFileSync(file, 'utf8');
  const after = withKeyTables(before);
  if (!process.argv.includes('--check')) writeFileSync(file, after);
  else if (before !== after) {
    console.error('docs/policy-language.md is stale: run `node tools/generate-policy-language.ts`');
    process.exitCode = 1;
  }
}
