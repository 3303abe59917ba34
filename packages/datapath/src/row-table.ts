import type { DomainName } from '@cofferdam/net';
import type { Bitmap, KernelTables, LoadedPlan, NameSetClass } from '@cofferdam/plan';
import { fixedRows, layout, row, u32 } from './layout.ts';
import { BPF_F_INNER_MAP, type KernelMap, type MapShape, MapType } from './libbpf.ts';

export type MakeMap = (shape: MapShape) => KernelMap;

/**
 * Rows kept free for names that are classified while the plan is in force. Names that match the same rules share rows. Sets of names, of which
 * there may be 8,192, match the rules of all their names together.
 */
const spareRows = { synthetic: 2048, track: 8192, own: 2048 } as const;

/** Every set of rules that a plan's tables refer to by number, and those of names behind them. */
export interface RowTable {
  readonly map: KernelMap;
  /** Rows of a name or of a set of names, made where there were none of the same rules; undefined: there is no room. */
  readonly ofName: (classes: NameSetClass) => Buffer | undefined;
}

/** Plans number their rows from 0, which is the empty one; the kernel has more fixed rows behind it. */
export const kernelRow = (planRow: number): number => (planRow === 0 ? row.empty : planRow + fixedRows - 1);

const bitmapBytes = (words: Uint32Array): Buffer => {
  const o = layout.bitmap;
  const bytes = Buffer.alloc(o.size);
  for (let w = 0; w < words.length; w++) bytes.writeUInt32LE(words[w]!, o.words + 4 * w);
  for (let w = 0; w < words.length; w += 2) {
    if ((words[w]! | (words[w + 1] ?? 0)) === 0) continue;
    const word = w / 2;
    const at = o.summary + 8 * (word >>> 6) + 4 * ((word & 63) >>> 5);
    bytes.writeUInt32LE((bytes.readUInt32LE(at) | (1 << (word & 31))) >>> 0, at);
  }
  return bytes;
};

const kinds = ['web', 'sure', 'host', 'every'] as const;

const isEmpty = (bits: Bitmap): boolean => bits.every((word) => word === 0);
const textOf = (bits: Bitmap): string => Buffer.from(bits.buffer, bits.byteOffset, bits.byteLength).toString('latin1');

/** How many different rows names need. */
const countRows = (names: readonly NameSetClass[]): number => {
  const seen = new Set<Bitmap>();
  for (const classes of names) for (const kind of kinds) seen.add(classes[kind]);
  return new Set([...seen].map(textOf)).size;
};

/** No pattern that names hosts can hold it: only any-web does. */
const noName = '\0' as DomainName;

/** `names`: those that will be asked for at once. There is room for them, and for as many more as are kept free. */
export const openRowTable = (
  loaded: LoadedPlan,
  tables: KernelTables,
  names: readonly NameSetClass[],
  make: MakeMap,
): RowTable => {
  let next = tables.rowCount + fixedRows - 1;
  const capacity = next + countRows(names) + spareRows[tables.dnsMode];
  const map = make({
    type: MapType.array,
    name: 'rows',
    keySize: 4,
    valueSize: layout.bitmap.size,
    entries: capacity,
    flags: BPF_F_INNER_MAP,
  });
  const rowWords = 2 * tables.words;
  for (let r = 1; r < tables.rowCount; r++)
    map.set(u32(kernelRow(r)), bitmapBytes(tables.rows.subarray(r * rowWords, (r + 1) * rowWords)));
  const { nameless, classify } = loaded.names;
  map.set(u32(row.noName), bitmapBytes(nameless.web));
  // A name that no pattern can hold, since it is no name: what any-web says of names.
  map.set(u32(row.unknownName), bitmapBytes(classify(noName).sure));
  const { web, permit } = loaded.properties;
  map.set(u32(row.deniesByName), bitmapBytes(web.map((word, i) => word & ~permit[i]!)));

  const known = new Map<string, number>();
  const rowOf = (bits: Bitmap): number | undefined => {
    if (isEmpty(bits)) return row.empty;
    const text = textOf(bits);
    const before = known.get(text);
    if (before !== undefined) return before;
    if (next >= capacity) return undefined;
    map.set(u32(next), bitmapBytes(bits));
    known.set(text, next);
    return next++;
  };

  return {
    map,
    ofName(classes) {
      const o = layout.name_rows;
      const bytes = Buffer.alloc(o.size);
      for (const kind of kinds) {
        const number = rowOf(classes[kind]);
        if (number === undefined) return undefined;
        bytes.writeUInt32LE(number, o[kind]);
      }
      return bytes;
    },
  };
};
