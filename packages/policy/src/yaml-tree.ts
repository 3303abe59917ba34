import { isAlias, isMap, isScalar, isSeq } from 'yaml';
import type { Problems } from './diagnostic.ts';
import type { Source } from './source.ts';
import type { Tree, TreeEntry, TreeScalar } from './tree.ts';

/**
 * A composed YAML node as a {@link Tree}. Keys that are not text and keys that are written twice are reported and left
 * out; the first of two is kept. Depth is bounded before.
 */
export const treeOf = (source: Source, root: unknown, problems: Problems): Tree => {
  const build = (node: unknown, parent: Tree | undefined, key: string | number | undefined, fallback: number): Tree => {
    const place = { source, ...rangeOf(node, fallback), parent, key };
    if (isMap(node)) {
      const entries: TreeEntry[] = [];
      const lossy = node.items.some(
        ({ key: each }) => !isScalar(each) || typeof each.value !== 'string' || each.value === '<<',
      );
      const map: Tree = { kind: 'map', ...place, entries, lossy };
      const seen = new Set<string>();
      for (const pair of node.items) {
        const keyPlace = keyOf(source, pair.key, map, place.start);
        if (typeof keyPlace.value !== 'string') {
          problems.report('key-not-text', keyPlace, 'key is not text', 'quote the key');
          continue;
        }
        if (keyPlace.value === '<<') continue;
        if (seen.has(keyPlace.value)) {
          problems.report(
            'duplicate-key',
            keyPlace,
            `key \`${keyPlace.value}\` is written twice`,
            'remove one of the two',
          );
          continue;
        }
        seen.add(keyPlace.value);
        entries.push({ key: keyPlace.value, keyPlace, value: build(pair.value, map, keyPlace.value, keyPlace.end) });
      }
      return map;
    }
    if (isSeq(node)) {
      const items: Tree[] = [];
      const list: Tree = { kind: 'list', ...place, items };
      for (const item of node.items) items.push(build(item, list, items.length, place.start));
      return list;
    }
    if (isScalar(node)) {
      const { value } = node;
      if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
        return { kind: 'scalar', ...place, value };
      }
    }
    if (node === null || node === undefined) return { kind: 'scalar', ...place, value: null };
    // An alias, or a node whose tag was refused.
    return { kind: 'unreadable', ...place };
  };
  return build(root, undefined, undefined, 0);
};

const rangeOf = (node: unknown, fallback: number): { start: number; end: number } => {
  if (isMap(node) || isSeq(node) || isScalar(node) || isAlias(node)) {
    if (node.range) return { start: node.range[0], end: node.range[1] };
  }
  return { start: fallback, end: fallback };
};

const keyOf = (source: Source, key: unknown, map: Tree, fallback: number): TreeScalar => {
  const value = isScalar(key) && typeof key.value === 'string' ? key.value : null;
  return { kind: 'scalar', source, ...rangeOf(key, fallback), parent: map, key: value ?? undefined, value };
};
