/**
 * Writes the parts of the documents that are made from something else: the tables of keys in docs/policy-language.md, between
 * `<!-- keys of KIND -->` and `<!-- end -->`, from the schemas of packages/policy; and the output of commands, in `console` blocks
 * below `<!-- run -->`, by running them. `--check` only compares.
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kindSchemas, kinds } from '@cofferdam/policy';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** All documents that people wrote, from the root of the checkout. */
export const documents = (): readonly string[] =>
  ['*.md', 'docs/**/*.md'].flatMap((pattern) => globSync(pattern, { cwd: root })).sort();

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
}

interface Row {
  readonly key: string;
  readonly value: string;
  readonly when: string;
  readonly meaning: string;
}

/** An object, or the alternatives that are objects. */
const objectsOf = (schema: Schema): readonly Schema[] =>
  schema.properties !== undefined ? [schema] : (schema.anyOf ?? []).filter((each) => each.properties !== undefined);

const shapeOf = (schema: Schema): string => {
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.anyOf !== undefined) {
    const words = schema.anyOf.every((each) => each.const !== undefined);
    return [...new Set(schema.anyOf.map(shapeOf))].join(words ? ', ' : ' or ');
  }
  if (schema.type === 'array') return `list of ${shapeOf(schema.items ?? {}).replace(/^(map|text|number)$/, '$1s')}`;
  if (schema.patternProperties !== undefined) return 'map of texts';
  return { string: 'text', integer: 'number', object: 'map' }[schema.type ?? ''] ?? 'anything';
};

const whenOf = ({ default: absent }: Schema, required: boolean): string => {
  if (required) return 'required';
  return typeof absent === 'string' || typeof absent === 'number' ? `default \`${absent}\`` : 'optional';
};

const rowsOf = (schema: Schema, prefix: string): readonly Row[] => {
  const objects = objectsOf(schema);
  return objects.flatMap((object) =>
    Object.entries(object.properties ?? {}).flatMap(([name, property]): readonly Row[] => {
      const key = `${prefix}${name}`;
      const inside = property.items === undefined ? rowsOf(property, `${key}.`) : rowsOf(property.items, `${key}[].`);
      // Of alternatives none is required, and one with a single key is described by it.
      const required = objects.length === 1 && (object.required ?? []).includes(name);
      const meaning = property.description ?? (objects.length > 1 ? object.description : undefined) ?? '';
      const each = property.items?.description;
      const more = each === undefined || inside.length > 0 ? '' : ` Each: ${each}`;
      return [{ key, value: shapeOf(property), when: whenOf(property, required), meaning: meaning + more }, ...inside];
    }),
  );
};

const cell = (text: string): string => text.replaceAll('|', '\\|');

const keyTable = (schema: Schema): string => {
  const { metadata = {}, spec = {} } = schema.properties ?? {};
  return [
    '| key | value | | meaning |',
    '|---|---|---|---|',
    ...[...rowsOf(metadata, 'metadata.'), ...rowsOf(spec, 'spec.')].map(
      ({ key, value, when, meaning }) => `| \`${key}\` | ${cell(value)} | ${when} | ${cell(meaning)} |`,
    ),
  ].join('\n');
};

const withKeyTables = (document: string): string =>
  kinds.reduce((text, kind) => {
    const mark = `<!-- keys of ${kind} -->\n`;
    const begin = text.indexOf(mark);
    if (begin === -1) return text;
    const end = text.indexOf('<!-- end -->', begin);
    return `${text.slice(0, begin)}${mark}${keyTable(kindSchemas[kind] as Schema)}\n${text.slice(end)}`;
  }, document);

/** What a command line of ours prints, without colour and in the root of the checkout. */
const outputOf = (line: string): string => {
  const words = line.replace(/^cofferdam /, '').split(' ');
  const main = join(root, 'packages/cli/src/main.ts');
  const done = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...words], {
    cwd: root,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, NO_COLOR: '1' },
  });
  return done.stdout + done.stderr;
};

const withOutputs = (document: string): string =>
  document.replaceAll(
    /(<!-- run -->\n```console\n\$ (cofferdam [^\n]*)\n)[\s\S]*?^(```)$/gm,
    (_whole, begin: string, line: string, end: string) => `${begin}${outputOf(line).trimEnd()}\n${end}`,
  );

/** A document with its generated parts written anew. */
export const generated = (document: string): string => withOutputs(withKeyTables(document));

if (import.meta.main) {
  for (const file of documents()) {
    const before = readFileSync(join(root, file), 'utf8');
    const after = generated(before);
    if (before === after) continue;
    if (process.argv.includes('--check')) {
      console.error(`${file} is stale: run \`node tools/generate-docs.ts\``);
      process.exitCode = 1;
    } else writeFileSync(join(root, file), after);
  }
}
