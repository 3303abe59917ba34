/**
 * Sets of rules as bits: bit i of word i / 32 is rule i. All bitmaps of one plan have the same, even number of words, so that two of
 * them are one 64-bit word of the kernel on a little-endian machine.
 */
export type Bitmap = Uint32Array;

/** Words of a bitmap over so many rules: even, and never none. */
export const wordsFor = (rules: number): number => Math.max(2, 2 * Math.ceil(rules / 64));

export const emptyBitmap = (words: number): Bitmap => new Uint32Array(words);

export const bitmapOf = (words: number, indices: Iterable<number>): Bitmap => {
  const bits = new Uint32Array(words);
  for (const i of indices) setBit(bits, i);
  return bits;
};

export const setBit = (bits: Bitmap, i: number): void => {
  bits[i >>> 5]! |= 1 << (i & 31);
};

export const clearBit = (bits: Bitmap, i: number): void => {
  bits[i >>> 5]! &= ~(1 << (i & 31));
};

export const hasBit = (bits: Bitmap, i: number): boolean => ((bits[i >>> 5]! >>> (i & 31)) & 1) === 1;

/** Lowest set bit of a word that is not zero. */
export const lowestBit = (word: number): number => 31 - Math.clz32(word & -word);

/** Place of the first set bit; -1 where there is none. */
export const firstBit = (bits: Bitmap): number => {
  for (let w = 0; w < bits.length; w++) if (bits[w] !== 0) return 32 * w + lowestBit(bits[w]!);
  return -1;
};

const combine = (a: Bitmap, b: Bitmap, word: (x: number, y: number) => number): Bitmap => {
  const bits = new Uint32Array(a.length);
  for (let w = 0; w < bits.length; w++) bits[w] = word(a[w]!, b[w]!);
  return bits;
};

export const and = (a: Bitmap, b: Bitmap): Bitmap => combine(a, b, (x, y) => x & y);
export const or = (a: Bitmap, b: Bitmap): Bitmap => combine(a, b, (x, y) => x | y);
export const andNot = (a: Bitmap, b: Bitmap): Bitmap => combine(a, b, (x, y) => x & ~y);

/** Whether all the bitmaps have a bit in common. */
export const intersects = (...sets: readonly Bitmap[]): boolean => {
  const [first, ...others] = sets;
  if (first === undefined) return false;
  for (let w = 0; w < first.length; w++) {
    let word = first[w]!;
    for (const other of others) word &= other[w]!;
    if (word !== 0) return true;
  }
  return false;
};

export const equalBitmaps = (a: Bitmap, b: Bitmap): boolean => {
  if (a.length !== b.length) return false;
  for (let w = 0; w < a.length; w++) if (a[w] !== b[w]) return false;
  return true;
};

/** Places of the set bits, rising. */
export const bitIndices = (bits: Bitmap): number[] => {
  const indices: number[] = [];
  for (let w = 0; w < bits.length; w++) {
    for (let word = bits[w]!; word !== 0; word &= word - 1) indices.push(32 * w + lowestBit(word));
  }
  return indices;
};

/**
 * A bitmap as text: runs of set bits, `0-3,7,9-12`, or, where that is longer, a star and the words in base64, each little-endian. Most
 * classes of a large policy hold few rules, and readable text makes plans that can be reviewed; the other form bounds the size.
 */
export type EncodedBitmap = string;

export const encodeBitmap = (bits: Bitmap): EncodedBitmap => {
  const longest = 1 + Math.ceil((bits.length * 4) / 3) * 4;
  let text = '';
  for (let w = 0; w < bits.length; w++) {
    for (let word = bits[w]!; word !== 0; ) {
      const first = 32 * w + lowestBit(word);
      const last = endOfRun(bits, first);
      text += `${text === '' ? '' : ','}${first === last ? first : `${first}-${last}`}`;
      if (text.length >= longest) return `*${base64(bits)}`;
      w = (last + 1) >>> 5;
      word = w < bits.length ? bits[w]! & (-1 << ((last + 1) & 31)) : 0;
    }
  }
  return text;
};

const endOfRun = (bits: Bitmap, first: number): number => {
  let w = first >>> 5;
  let clear = ~bits[w]! & (-1 << (first & 31));
  while (clear === 0) {
    if (++w === bits.length) return 32 * w - 1;
    clear = ~bits[w]!;
  }
  return 32 * w + lowestBit(clear) - 1;
};

const base64 = (bits: Bitmap): string => {
  let binary = '';
  for (const word of bits)
    binary += String.fromCharCode(word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24);
  return btoa(binary);
};

/** The bitmap of a text over so many rules; undefined where the text is none, or has a bit at or past `rules`. */
export const decodeBitmap = (text: EncodedBitmap, rules: number): Bitmap | undefined => {
  const words = wordsFor(rules);
  return text.startsWith('*') ? decodeWords(text.slice(1), words, rules) : decodeRuns(text, words, rules);
};

const decodeWords = (text: string, words: number, rules: number): Bitmap | undefined => {
  if (text.length !== Math.ceil((words * 4) / 3) * 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const binary = atob(text);
  if (binary.length !== words * 4) return undefined;
  const bits = new Uint32Array(words);
  for (let i = 0; i < binary.length; i++) bits[i >>> 2]! |= binary.charCodeAt(i) << (8 * (i & 3));
  for (let i = rules; i < 32 * words; i++) if (hasBit(bits, i)) return undefined;
  return bits;
};

const decodeRuns = (text: string, words: number, rules: number): Bitmap | undefined => {
  const bits = new Uint32Array(words);
  if (text === '') return bits;
  let next = 0;
  for (const run of text.split(',')) {
    const ends = /^(0|[1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?$/.exec(run);
    if (ends === null) return undefined;
    const first = Number(ends[1]);
    const last = ends[2] === undefined ? first : Number(ends[2]);
    if (first < next || last < first || last >= rules) return undefined;
    for (let i = first; i <= last; i++) setBit(bits, i);
    next = last + 1;
  }
  return bits;
};
