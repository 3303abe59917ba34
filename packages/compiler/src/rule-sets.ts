import { type Bitmap, bitmapOf, emptyBitmap, equalBitmaps, or, setBit } from '@cofferdam/plan';

/** Keeps equal bitmaps once, numbered in the order they came. */
export interface Interner {
  readonly intern: (bits: Bitmap) => number;
  readonly bitmaps: readonly Bitmap[];
}

export const makeInterner = (): Interner => {
  const bitmaps: Bitmap[] = [];
  const byHash = new Map<number, number[]>();
  const intern = (bits: Bitmap): number => {
    const hash = hashOf(bits);
    const alike = byHash.get(hash) ?? [];
    const found = alike.find((id) => equalBitmaps(bitmaps[id]!, bits));
    if (found !== undefined) return found;
    bitmaps.push(bits);
    byHash.set(hash, [...alike, bitmaps.length - 1]);
    return bitmaps.length - 1;
  };
  return { intern, bitmaps };
};

/** FNV-1a over words; it only has to spread. Equality is checked. */
const hashOf = (bits: Bitmap): number => {
  let hash = 0x811c9dc5;
  for (const word of bits) hash = Math.imul(hash ^ word, 0x01000193) ^ (hash >>> 15);
  return hash >>> 0;
};

/**
 * Sets of rules that grow along prefixes: what holds a prefix holds all below it. A set is made once for each pair of the set above and the
 * groups that are added, so that a thousand prefixes of one group cost one bitmap.
 */
export interface RuleSets {
  /** The set without rules. */
  readonly none: number;
  /** The set with the rules of more groups. `groups` rising, without repeats. */
  readonly extend: (set: number, groups: readonly number[]) => number;
  /** The set with the rules of `extra` too. */
  readonly join: (set: number, extra: Bitmap) => Bitmap;
  readonly bitmap: (set: number) => Bitmap;
}

export const makeRuleSets = (words: number, rulesOfGroup: readonly (readonly number[])[]): RuleSets => {
  const interner = makeInterner();
  const extended = new Map<string, number>();
  const none = interner.intern(emptyBitmap(words));
  const extend = (set: number, groups: readonly number[]): number => {
    if (groups.length === 0) return set;
    const key = `${set}|${groups.join()}`;
    const before = extended.get(key);
    if (before !== undefined) return before;
    const bits = interner.bitmaps[set]!.slice();
    for (const group of groups) for (const rule of rulesOfGroup[group]!) setBit(bits, rule);
    const made = interner.intern(bits);
    extended.set(key, made);
    return made;
  };
  const bitmap = (set: number): Bitmap => interner.bitmaps[set]!;
  return { none, extend, bitmap, join: (set, extra) => or(bitmap(set), extra) };
};

/** Bitmap of the places of a list at which something holds. */
export const bitmapWhere = <T>(words: number, items: readonly T[], holds: (item: T) => boolean): Bitmap =>
  bitmapOf(
    words,
    items.flatMap((item, i) => (holds(item) ? [i] : [])),
  );
