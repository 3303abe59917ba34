import type { Source } from './source.ts';

/**
 * A YAML document as the rest of the package sees it: maps, lists and scalars that know where they were written.
 * It has no aliases, tags or non-text keys, and no key twice.
 */
export type Tree = TreeMap | TreeList | TreeScalar | TreeUnreadable;

interface Place {
  readonly source: Source;
  /** Offsets into the source; `end` is exclusive. */
  readonly start: number;
  readonly end: number;
  /** Absent for the root of a document. */
  readonly parent: Tree | undefined;
  /** The key or index in the parent. */
  readonly key: string | number | undefined;
}

export interface TreeMap extends Place {
  readonly kind: 'map';
  readonly entries: readonly TreeEntry[];
  /** Keys were left out, each with a report of its own. */
  readonly lossy: boolean;
}

export interface TreeEntry {
  readonly key: string;
  /** Where the key itself is written. */
  readonly keyPlace: TreeScalar;
  readonly value: Tree;
}

export interface TreeList extends Place {
  readonly kind: 'list';
  readonly items: readonly Tree[];
}

export interface TreeScalar extends Place {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
}

/** Something that was refused when it was read; the refusal is already reported. */
export interface TreeUnreadable extends Place {
  readonly kind: 'unreadable';
}

/** The value under a key; undefined where the node is no map or has no such key. */
export const child = (node: Tree | undefined, key: string): Tree | undefined =>
  node?.kind === 'map' ? node.entries.find((entry) => entry.key === key)?.value : undefined;

/** The text of a scalar; undefined for anything else. */
export const textOf = (node: Tree | undefined): string | undefined =>
  node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;

/** JSON path from the root of the document, such as `$.spec.rules[0].ports[1]`. */
export const pathOf = (node: Tree): string => {
  const parts: string[] = [];
  for (let at: Tree | undefined = node; at?.key !== undefined; at = at.parent) {
    if (typeof at.key === 'number') parts.push(`[${at.key}]`);
    else parts.push(/^[A-Za-z_][\w-]*$/.test(at.key) ? `.${at.key}` : `[${JSON.stringify(at.key)}]`);
  }
  return `$${parts.reverse().join('')}`;
};

/** The node as plain JSON data, for schema checkers and tests. */
export const plainValue = (node: Tree): unknown => {
  switch (node.kind) {
    case 'map':
      return Object.fromEntries(node.entries.map((entry) => [entry.key, plainValue(entry.value)]));
    case 'list':
      return node.items.map(plainValue);
    case 'scalar':
      return node.value;
    case 'unreadable':
      return undefined;
  }
};
