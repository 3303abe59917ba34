import { quote } from '@cofferdam/net';
import type { Problems } from './diagnostic.ts';
import { listed, nearest, suggestion } from './suggest.ts';
import type { Tree, TreeMap, TreeScalar } from './tree.ts';

/** The part of JSON Schema that the schemas of this package use. A TypeBox schema is one. */
export interface StructureSchema {
  readonly [keyword: string]: unknown;
  readonly type?: string | undefined;
  readonly const?: unknown | undefined;
  readonly anyOf?: readonly StructureSchema[] | undefined;
  readonly properties?: Readonly<Record<string, StructureSchema>> | undefined;
  readonly patternProperties?: Readonly<Record<string, StructureSchema>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly minProperties?: number | undefined;
  readonly items?: StructureSchema | undefined;
  readonly minItems?: number | undefined;
  readonly uniqueItems?: boolean | undefined;
  readonly minLength?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
}

/**
 * Checks a tree against a schema and reports every misfit where it is written. Returns the nodes that fit, so that what
 * is sound of a document is looked at further though another part of it is not. `pattern` is left to the value parsers,
 * which say more than "does not match".
 */
export const checkStructure = (root: Tree, schema: StructureSchema, problems: Problems): ReadonlySet<Tree> => {
  const sound = new Set<Tree>();

  const check = (node: Tree, wanted: StructureSchema): boolean => {
    const fits = fitsSchema(node, wanted);
    if (fits) sound.add(node);
    return fits;
  };

  const fitsSchema = (node: Tree, wanted: StructureSchema): boolean => {
    if (node.kind === 'unreadable') return false;
    if (wanted.anyOf !== undefined) return checkUnion(node, wanted.anyOf);
    if (wanted.const !== undefined) return checkWord(node, [wanted.const]);
    switch (wanted.type) {
      case 'object':
        return node.kind === 'map' ? checkMap(node, wanted) : wrongType(node, 'a map', problems);
      case 'array':
        return node.kind === 'list' ? checkList(node, wanted) : wrongType(node, listHelp(node), problems);
      default:
        return node.kind === 'scalar'
          ? checkScalar(node, wanted, problems)
          : wrongType(node, typeName(wanted), problems);
    }
  };

  const checkWord = (node: Tree, words: readonly unknown[]): boolean => {
    if (node.kind !== 'scalar') return wrongType(node, `one of ${listed(words.map(String))}`, problems);
    if (words.includes(node.value)) return true;
    const key = keyName(node);
    const written = String(node.value);
    const message = node.value === null ? `${key} has no value` : `${quote(written)} is not accepted for ${key}`;
    problems.report('wrong-value', node, message, () => {
      const meant = otherWords[written.toLowerCase()];
      return meant !== undefined && words.includes(meant)
        ? `write \`${meant}\``
        : suggestion(written, words.map(String));
    });
    return false;
  };

  const checkUnion = (node: Tree, members: readonly StructureSchema[]): boolean => {
    if (members.every((member) => member.const !== undefined)) {
      return checkWord(
        node,
        members.map((member) => member.const),
      );
    }
    const maps = members.filter((member) => member.type === 'object');
    if (maps.length > 0) {
      return node.kind === 'map' ? checkMapUnion(node, maps) : wrongType(node, 'a map', problems);
    }
    // Scalars: the member of the type that is written.
    const member = members.find((each) => node.kind === 'scalar' && hasType(node.value, each));
    if (member === undefined) return wrongType(node, members.map(typeName).join(' or '), problems);
    return fitsSchema(node, member);
  };

  /** Members are told apart by their keys; a key belongs to one member. */
  const checkMapUnion = (node: TreeMap, members: readonly StructureSchema[]): boolean => {
    const known = members.flatMap((member) => Object.keys(member.properties ?? {}));
    let fits = reportUnknownKeys(node, known);
    const memberOf = (key: string) => members.find((member) => Object.hasOwn(member.properties ?? {}, key));
    const chosen = node.entries.map((entry) => memberOf(entry.key)).find((member) => member !== undefined);
    if (chosen === undefined) {
      if (fits && !node.lossy)
        problems.report('empty-map', node, `${keyName(node)} has no keys`, `write one of ${listed(known)}`);
      return false;
    }
    const first = node.entries.find((entry) => memberOf(entry.key) === chosen)!;
    for (const entry of node.entries) {
      const other = memberOf(entry.key);
      if (other === undefined || other === chosen) continue;
      const message = `\`${entry.key}\` and \`${first.key}\` exclude each other in one item`;
      problems.report('conflicting-keys', entry.keyPlace, message, 'write two items of the list');
      fits = false;
    }
    return checkEntries(node, chosen) && fits;
  };

  const checkMap = (node: TreeMap, wanted: StructureSchema): boolean => {
    if ((wanted.minProperties ?? 0) > node.entries.length) {
      if (node.lossy) return false;
      const accepted = Object.keys(wanted.properties ?? {});
      const help = accepted.length > 0 ? `write one of ${listed(accepted)}` : 'write at least one key, or leave it out';
      problems.report('empty-map', node, `${keyName(node)} has no keys`, help);
      return false;
    }
    const free = wanted.patternProperties !== undefined;
    const fits = free || reportUnknownKeys(node, Object.keys(wanted.properties ?? {}));
    return checkEntries(node, wanted) && fits;
  };

  const reportUnknownKeys = (node: TreeMap, known: readonly string[]): boolean => {
    let fits = true;
    for (const entry of node.entries) {
      if (known.includes(entry.key)) continue;
      fits = false;
      const unused = unusedKeys(node, known);
      problems.report('unknown-key', entry.keyPlace, `unknown key ${quote(entry.key)}`, () => {
        const near = nearest(entry.key, unused) ?? nearest(entry.key, known);
        return near === undefined ? `accepted: ${listed(known, 24)}` : `did you mean \`${near}\`?`;
      });
    }
    return fits;
  };

  const checkEntries = (node: TreeMap, wanted: StructureSchema): boolean => {
    let fits = true;
    const anyValue = Object.values(wanted.patternProperties ?? {})[0];
    for (const entry of node.entries) {
      const schemaOfKey = Object.hasOwn(wanted.properties ?? {}, entry.key) ? wanted.properties?.[entry.key] : anyValue;
      if (schemaOfKey !== undefined && !check(entry.value, schemaOfKey)) fits = false;
    }
    const missing = (wanted.required ?? []).filter((key) => !node.entries.some((entry) => entry.key === key));
    const misspelt = misspeltKeys(node, Object.keys(wanted.properties ?? {}));
    for (const key of missing) {
      fits = false;
      if (misspelt.has(key)) continue;
      const message = `${ownerName(node)} has no \`${key}\``;
      problems.report('missing-key', firstLineOf(node), message, () => addHelp(key, wanted.properties?.[key]));
    }
    return fits;
  };

  const checkList = (node: Tree & { kind: 'list' }, wanted: StructureSchema): boolean => {
    if (node.items.length < (wanted.minItems ?? 0)) {
      const help = 'an empty list never means everything: name at least one item, or leave the key out';
      problems.report('empty-list', node, `${keyName(node)} is an empty list`, help);
      return false;
    }
    let fits = true;
    const seen = new Set<unknown>();
    for (const item of node.items) {
      if (wanted.items !== undefined && !check(item, wanted.items)) fits = false;
      if (wanted.uniqueItems !== true || item.kind !== 'scalar' || item.value === null) continue;
      if (seen.has(item.value)) {
        problems.report(
          'duplicate-item',
          item,
          `${quote(String(item.value))} is listed twice`,
          'remove one of the two',
        );
        // Not looked at further: what reads the values would report it again.
        sound.delete(item);
        fits = false;
      }
      seen.add(item.value);
    }
    return fits;
  };

  check(root, schema);
  return sound;
};

const unusedKeys = (node: TreeMap, known: readonly string[]): readonly string[] =>
  known.filter((key) => !node.entries.some((entry) => entry.key === key));

/** Keys that an unknown key was probably meant to be: one typo is one error. */
const misspeltKeys = (node: TreeMap, known: readonly string[]): ReadonlySet<string | undefined> => {
  if (known.length === 0) return new Set();
  const unused = unusedKeys(node, known);
  return new Set(node.entries.flatMap(({ key }) => (known.includes(key) ? [] : [nearest(key, unused)])));
};

/** A missing key with what it takes, where that is one of a few words. */
const addHelp = (key: string, schema: StructureSchema | undefined): string => {
  const words = schema?.anyOf?.every((each) => each.const !== undefined)
    ? schema.anyOf.map((each) => String(each.const))
    : schema?.const === undefined
      ? []
      : [String(schema.const)];
  if (words.length === 0) return `add \`${key}\``;
  return words.length === 1 ? `add \`${key}: ${words[0]}\`` : `add \`${key}\`: ${listed(words)}`;
};

/** An item of a list by its own name, which a reader finds sooner than its place. */
const ownerName = (node: TreeMap): string => {
  const named = node.entries.find((entry) => entry.key === 'name')?.value;
  const isItem = typeof node.key === 'number' && typeof node.parent?.key === 'string';
  if (!isItem || named?.kind !== 'scalar' || typeof named.value !== 'string') return keyName(node);
  return `${node.parent?.key === 'rules' ? 'rule' : 'item'} ${quote(named.value)}`;
};

/** What other languages call our words. */
const otherWords: Readonly<Record<string, string>> = {
  allow: 'permit',
  accept: 'permit',
  pass: 'permit',
  block: 'deny',
  refuse: 'deny',
  forbid: 'deny',
  off: 'disabled',
  audit: 'monitor',
  log: 'monitor',
  on: 'enforce',
  enabled: 'enforce',
  all: 'any',
  true: 'required',
  false: 'absent',
};

const hasType = (value: TreeScalar['value'], { type }: StructureSchema): boolean =>
  type === 'integer' || type === 'number' ? typeof value === 'number' : typeof value === type;

const typeName = ({ type }: StructureSchema): string =>
  ({
    string: 'text',
    integer: 'a whole number',
    number: 'a number',
    boolean: '`true` or `false`',
    object: 'a map',
    array: 'a list',
  })[type ?? ''] ?? 'another value';

const checkScalar = (node: TreeScalar, wanted: StructureSchema, problems: Problems): boolean => {
  const { value } = node;
  if (!hasType(value, wanted)) return wrongType(node, typeName(wanted), problems);
  if (typeof value === 'number') {
    const low = wanted.minimum ?? Number.MIN_SAFE_INTEGER;
    const high = wanted.maximum ?? Number.MAX_SAFE_INTEGER;
    if (Number.isInteger(value) && value >= low && value <= high) return true;
    problems.report('out-of-range', node, `\`${value}\` is out of range`, `a whole number from ${low} to ${high}`);
    return false;
  }
  if (typeof value !== 'string') return true;
  if ((wanted.minLength ?? 0) > 0 && value.trim() === '') {
    problems.report('empty-text', node, `${keyName(node)} is empty`, 'write a value, or leave the key out');
    return false;
  }
  if (value.length > (wanted.maxLength ?? Number.POSITIVE_INFINITY)) {
    problems.report('out-of-range', node, `${quote(value)} is too long`, `at most ${wanted.maxLength} characters`);
    return false;
  }
  return true;
};

const wrongType = (node: Tree, wanted: string, problems: Problems): false => {
  const message =
    node.kind === 'scalar' && node.value === null
      ? `${keyName(node)} has no value`
      : `${keyName(node)} is ${kindName(node)}`;
  const help =
    wanted === 'text' && node.kind === 'scalar' && node.value !== null ? 'write it in quotes' : `write ${wanted}`;
  problems.report('wrong-type', node.kind === 'scalar' ? node : firstLineOf(node), message, help);
  return false;
};

const kindName = (node: Tree): string => {
  if (node.kind !== 'scalar') return `a ${node.kind}`;
  if (typeof node.value === 'string') return 'text';
  return typeof node.value === 'number' ? 'a number' : `\`${node.value}\``;
};

/** A list of what is written alone, where that is a word or number: `443` is meant as `[443]`. */
const listHelp = (node: Tree): string =>
  node.kind === 'scalar' && /^[\w./:-]{1,60}$/.test(String(node.value ?? '')) ? `\`[${node.value}]\`` : 'a list';

/** What the node is the value of, for messages. */
const keyName = (node: Tree): string => {
  if (typeof node.key === 'string') return `\`${node.key}\``;
  if (typeof node.key !== 'number') return 'the document';
  return typeof node.parent?.key === 'string' ? `an item of \`${node.parent.key}\`` : 'an item';
};

/** A place that shows well: the first line of a map or list, not all of it. */
const firstLineOf = <T extends Tree>(node: T): T => {
  const newline = node.source.text.indexOf('\n', node.start);
  return newline === -1 || newline >= node.end ? node : { ...node, end: newline };
};
