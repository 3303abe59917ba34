import { type Address, addressBits, comparePrefixes, type Family, type Prefix } from '@cofferdam/net';

/** A group that holds a prefix. `cidr`: by a selector that names the prefix itself, which alone reaches into reserved ranges. */
export interface Mark {
  readonly prefix: Prefix;
  readonly group: number;
  readonly cidr: boolean;
}

/** What a prefix is, apart from the groups that hold it. An absent key changes nothing. */
export interface Zone {
  readonly prefix: Prefix;
  readonly kind?: 'reserved' | 'gateway';
  /** No address of it is of the public internet. */
  readonly notPublic?: true;
  readonly contained?: true;
}

/** A prefix at which something changes, with all that holds there and in the addresses of it that no longer prefix names. */
export interface Region {
  readonly prefix: Prefix;
  /** Place of the region around it; -1 for the whole family. */
  readonly parent: number;
  /** Set of groups, as `extend` made it. */
  readonly set: number;
  readonly kind: 'plain' | 'reserved' | 'gateway';
  readonly public: boolean;
  readonly contained: boolean;
}

interface Node {
  readonly prefix: Prefix;
  readonly groups: Set<number>;
  readonly cidrGroups: Set<number>;
  kind?: 'reserved' | 'gateway';
  notPublic?: true;
  contained?: true;
}

/**
 * Walks all prefixes in order, each after the ones around it, so that the cost is that of sorting them. `extend` adds groups to a set;
 * `none` is the set of no groups.
 *
 * At a reserved range or an address of the gateway the set begins anew, and only `cidr` marks count from there inwards: those are the
 * ones that lie wholly inside the range. A range inside a range begins anew again, so the longest counts.
 */
export const sweep = (
  family: Family,
  marks: readonly Mark[],
  zones: readonly Zone[],
  sets: { readonly none: number; readonly extend: (set: number, groups: readonly number[]) => number },
): Region[] => {
  const regions: Region[] = [];
  const open: { place: number; end: bigint }[] = [];
  const bits = addressBits(family);
  for (const node of nodes(family, marks, zones)) {
    const { prefix } = node;
    while (open.length > 0 && open.at(-1)!.end <= prefix.address.value) open.pop();
    const parent = open.at(-1)?.place ?? -1;
    const around = regions[parent];
    const beginsAnew = node.kind !== undefined;
    const kind = node.kind ?? around?.kind ?? 'plain';
    const groups = kind === 'plain' ? union(node.groups, node.cidrGroups) : [...node.cidrGroups];
    regions.push({
      prefix,
      parent,
      set: sets.extend(
        beginsAnew ? sets.none : (around?.set ?? sets.none),
        groups.sort((a, b) => a - b),
      ),
      kind,
      public: (around?.public ?? true) && node.notPublic === undefined && kind === 'plain',
      contained: (around?.contained ?? false) || node.contained === true,
    });
    open.push({ place: regions.length - 1, end: prefix.address.value + (1n << BigInt(bits - prefix.length)) });
  }
  return regions;
};

const union = (a: ReadonlySet<number>, b: ReadonlySet<number>): number[] =>
  b.size === 0 ? [...a] : [...new Set([...a, ...b])];

/**
 * One node for each distinct prefix, the whole family first, sorted by address and length. Equal prefixes meet by sorting and not in a
 * map: maps hash no more than the low 64 bits of a bigint, in which IPv6 prefixes are all alike.
 */
const nodes = (family: Family, marks: readonly Mark[], zones: readonly Zone[]): Node[] => {
  const everything: Prefix = { address: { family, value: 0n }, length: 0 };
  const entries: { readonly prefix: Prefix; readonly mark?: Mark; readonly zone?: Zone }[] = [{ prefix: everything }];
  for (const mark of marks) if (mark.prefix.address.family === family) entries.push({ prefix: mark.prefix, mark });
  for (const zone of zones) if (zone.prefix.address.family === family) entries.push({ prefix: zone.prefix, zone });
  entries.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
  const found: Node[] = [];
  for (const { prefix, mark, zone } of entries) {
    let node = found.at(-1);
    if (node === undefined || comparePrefixes(node.prefix, prefix) !== 0) {
      node = { prefix, groups: new Set(), cidrGroups: new Set() };
      found.push(node);
    }
    if (mark !== undefined) (mark.cidr ? node.cidrGroups : node.groups).add(mark.group);
    // An address of the gateway is one, though a reserved range be of that length too.
    if (zone?.kind !== undefined && node.kind !== 'gateway') node.kind = zone.kind;
    if (zone?.notPublic) node.notPublic = true;
    if (zone?.contained) node.contained = true;
  }
  return found;
};

/** The prefix of one address alone. */
export const hostPrefix = (address: Address): Prefix => ({ address, length: addressBits(address.family) });
