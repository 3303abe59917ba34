import { type Address, addressBits, comparePrefixes, type Family, type Prefix } from '@cofferdam/net';

/** Answers which value the longest prefix that holds an address has; `missing` where none holds it. */
export interface Lpm {
  readonly lookup: (address: Address) => number;
}

/**
 * Longest-prefix match as a sorted list of disjoint ranges: a lookup is one binary search, and there is nothing to balance. IPv4 starts
 * are kept as numbers, since comparing numbers is several times faster than comparing bigints.
 */
export const buildLpm = (
  entries: readonly { readonly prefix: Prefix; readonly value: number }[],
  missing: number,
): Lpm => {
  const four = flatten(entries, 4, missing);
  const six = flatten(entries, 6, missing);
  const starts4 = Uint32Array.from(four.starts, Number);
  return {
    lookup: (address) =>
      address.family === 4
        ? four.values[lastAtMost(starts4, Number(address.value))]!
        : six.values[lastAtMost(six.starts, address.value)]!,
  };
};

/** The last place whose start is not past `value`. The first start is zero. */
const lastAtMost = <T extends number | bigint>(starts: ArrayLike<T>, value: T): number => {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (starts[middle]! <= value) low = middle;
    else high = middle;
  }
  return low;
};

interface Ranges {
  readonly starts: bigint[];
  readonly values: number[];
}

const flatten = (
  entries: readonly { readonly prefix: Prefix; readonly value: number }[],
  family: Family,
  missing: number,
): Ranges => {
  const bits = addressBits(family);
  const sorted = entries
    .filter(({ prefix }) => prefix.address.family === family)
    .sort((a, b) => comparePrefixes(a.prefix, b.prefix));
  const ranges: Ranges = { starts: [0n], values: [missing] };
  /** The prefixes that hold the current place, outermost first; `end` is exclusive. */
  const open: { end: bigint; value: number }[] = [];
  const begin = (start: bigint, value: number): void => {
    if (ranges.starts.at(-1) === start) {
      ranges.starts.pop();
      ranges.values.pop();
    }
    if (ranges.values.at(-1) === value) return;
    ranges.starts.push(start);
    ranges.values.push(value);
  };
  const closeUntil = (place: bigint): void => {
    for (let top = open.at(-1); top !== undefined && top.end <= place; top = open.at(-1)) {
      open.pop();
      if (top.end < 1n << BigInt(bits)) begin(top.end, open.at(-1)?.value ?? missing);
    }
  };
  for (const { prefix, value } of sorted) {
    closeUntil(prefix.address.value);
    open.push({ end: prefix.address.value + (1n << BigInt(bits - prefix.length)), value });
    begin(prefix.address.value, value);
  }
  closeUntil(1n << BigInt(bits));
  return ranges;
};
