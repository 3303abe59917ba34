import type { Address, DomainName } from '@cofferdam/net';
import type { DnsMode, NameSetClass } from '@cofferdam/plan';
import {
  addressBytes,
  layout,
  limits,
  nameKey,
  nameSetKey,
  readAddress,
  syntheticKey,
  trackedKey,
  u32,
} from './layout.ts';
import { entries, type KernelMap } from './libbpf.ts';

/** A name as the kernel keeps it across plans. */
export interface InstalledName {
  readonly id: number;
  readonly name: DomainName;
  /** With the turn that netfilter translates by: see NameTranslation. */
  readonly synthetic: readonly { readonly address: Address; readonly turn: number }[];
  /** Real addresses of both families, in the order of dialling; at most 8 of each family count. */
  readonly addresses: readonly Address[];
}

/** A name as the kernel has it, with what stands for it. Empty: a client claimed it, or agents were given real addresses for it. */
export interface StandingName {
  readonly id: number;
  readonly name: DomainName;
  readonly synthetic: readonly {
    readonly address: Address;
    readonly turn: number;
    readonly addresses: readonly Address[];
  }[];
}

/** What an agent was told: that an address is called so. `id`: of a name, or of a set of them. */
export interface TrackedAddress {
  readonly holder: bigint;
  readonly address: Address;
  readonly id: number;
}

export interface NameSet {
  readonly id: number;
  /** Ids of names. */
  readonly members: readonly number[];
}

/** Names in the kernel, across plans. What the rules say of them is of the plan in force: a new one is applied with all of them. */
export interface NameTables {
  /** Makes a name of the pool known. False: there is no room for what the rules say of it. */
  install(name: InstalledName, classes: NameSetClass): boolean;
  /** Classifies a name that stands for no address of the pool. Who claims it is found to claim it under this id. False: there is no room. */
  classify(id: number, name: DomainName, classes: NameSetClass): boolean;
  /** All that are known, also those that an earlier process made known. */
  standingNames(): readonly StandingName[];
  /** Who claims this name from now on misses it. Its rows stay, for flows that claimed it. Where the name has another id by now, nothing. */
  unclaim(id: number, name: DomainName): void;
  /** Forgets what the rules say of a name that is not claimed any more. A flow that still holds the id would be judged without. */
  unclassify(id: number): void;
  /** From now on the agent's flows to the address have this name, or this set of names. False: there is no room. */
  track(holder: bigint, address: Address, id: number): boolean;
  /** The agent's flows to the address have no name from now on; live ones keep theirs. */
  untrack(holder: bigint, address: Address): void;
  standingTracked(): readonly TrackedAddress[];
  /** Makes a set of names known, before an address is tracked for it. The members of an id never change. False: there is no room. */
  installSet(id: number, members: readonly number[], classes: NameSetClass): boolean;
  /** Forgets a set with what the rules say of it. A flow that still holds the id would be denied. */
  removeSet(id: number, members: readonly number[]): void;
  standingSets(): readonly NameSet[];
}

function* namesIn(names: KernelMap): Generator<{ readonly id: number; readonly name: DomainName }> {
  for (const { key, value } of entries(names.fd, limits.nameBytes, 4))
    yield { id: value.readUInt32LE(0), name: key.toString('ascii').replace(/\0+$/, '') as DomainName };
}

const one = u32(1);

/** `setRows` writes what the plan in force says of an id, `dropRows` forgets it. */
export const openNameTables = (
  map: (name: string) => KernelMap,
  setRows: (id: number, classes: NameSetClass) => boolean,
  dropRows: (id: number) => void,
): NameTables => {
  const synthetics = map('synthetics');
  const names = map('names');
  const tracked = map('tracked');
  const nameSets = map('name_sets');

  /** Where the kernel begins, learnt from a SYN that went unanswered; the same addresses keep it. */
  const placeThatAnswered = (address: Address, id: number, turn: number): number => {
    const o = layout.synthetic;
    const before = Buffer.alloc(o.size);
    const same =
      synthetics.get(syntheticKey(address), before) &&
      before.readUInt32LE(o.name) === id &&
      before.readUInt32LE(o.turn) === turn;
    return same ? before.readUInt32LE(o.first) : 0;
  };

  const nameKeyOf = new Map<number, DomainName>();
  for (const { id, name } of namesIn(names)) nameKeyOf.set(id, name);
  /** A name that lost its id to another must not be taken for it when a client claims it. */
  const disown = (id: number, next: InstalledName): void => {
    const before = nameKeyOf.get(id);
    if (before === undefined || before === next.name) return;
    for (const { address } of next.synthetic) synthetics.delete(syntheticKey(address));
    names.delete(nameKey(before));
    nameKeyOf.delete(id);
  };

  const removeSet = (id: number, members: readonly number[]): void => {
    for (const member of members) nameSets.delete(nameSetKey(id, member));
    dropRows(id);
  };

  return {
    install(installed, classes) {
      // The plan's rows first, the way to the name last: nothing is judged by half of it.
      disown(installed.id, installed);
      if (!setRows(installed.id, classes)) return false;
      nameKeyOf.set(installed.id, installed.name);
      if (!names.tryset(nameKey(installed.name), u32(installed.id))) return false;
      const o = layout.synthetic;
      for (const { address, turn } of installed.synthetic) {
        const real = installed.addresses
          .filter(({ family }) => family === address.family)
          .slice(0, limits.realAddresses);
        const bytes = Buffer.alloc(o.size);
        bytes.writeUInt32LE(installed.id, o.name);
        bytes.writeUInt32LE(real.length, o.count);
        bytes.writeUInt32LE(turn, o.turn);
        bytes.writeUInt32LE(installed.addresses.length > real.length ? 1 : 0, o.elsewhere);
        bytes.writeUInt32LE(placeThatAnswered(address, installed.id, turn), o.first);
        for (const [i, end] of real.entries()) addressBytes(end).copy(bytes, o.real + 16 * i);
        if (!synthetics.tryset(syntheticKey(address), bytes)) return false;
      }
      return true;
    },
    classify: (id, name, classes) => setRows(id, classes) && names.tryset(nameKey(name), u32(id)),
    standingNames() {
      const o = layout.synthetic;
      const standingAt = new Map<number, StandingName['synthetic'][number][]>();
      for (const { key, value } of entries(synthetics.fd, layout.synthetic_key.size, o.size)) {
        const family = key.readUInt32LE(layout.synthetic_key.family) === 6 ? 6 : 4;
        const id = value.readUInt32LE(o.name);
        const count = Math.min(value.readUInt32LE(o.count), limits.realAddresses);
        const addresses = Array.from({ length: count }, (_, i) => readAddress(value, o.real + 16 * i, family));
        const address = readAddress(key, layout.synthetic_key.address, family);
        standingAt.set(id, [...(standingAt.get(id) ?? []), { address, turn: value.readUInt32LE(o.turn), addresses }]);
      }
      return [...namesIn(names)].map(({ id, name }) => ({ id, name, synthetic: standingAt.get(id) ?? [] }));
    },
    unclaim(id, name) {
      const owner = u32(0);
      if (names.get(nameKey(name), owner) && owner.readUInt32LE(0) === id) names.delete(nameKey(name));
    },
    unclassify: dropRows,
    track: (holder, address, id) => tracked.tryset(trackedKey(holder, address), u32(id)),
    untrack: (holder, address) => void tracked.delete(trackedKey(holder, address)),
    standingTracked() {
      const o = layout.tracked_key;
      return [...entries(tracked.fd, o.size, 4)].map(({ key, value }) => ({
        holder: key.readBigUInt64LE(o.holder),
        address: readAddress(key, o.address, key.readUInt32LE(o.family) === 6 ? 6 : 4),
        id: value.readUInt32LE(0),
      }));
    },
    installSet(id, members, classes) {
      if (setRows(id, classes) && members.every((member) => nameSets.tryset(nameSetKey(id, member), one))) return true;
      removeSet(id, members);
      return false;
    },
    removeSet,
    standingSets() {
      const o = layout.name_set_key;
      const members = new Map<number, number[]>();
      for (const { key } of entries(nameSets.fd, o.size, 4)) {
        const id = key.readUInt32LE(o.set);
        const of = members.get(id);
        if (of === undefined) members.set(id, [key.readUInt32LE(o.name)]);
        else of.push(key.readUInt32LE(o.name));
      }
      return [...members].map(([id, list]) => ({ id, members: list }));
    },
  };
};

/** Takes out of the tables what only another DNS mode looks at: a gateway was started anew in this one. */
export const dropOtherModes = (map: (name: string) => KernelMap, mode: DnsMode): void => {
  const drop = (table: KernelMap, keySize: number, valueSize: number): void => {
    for (const { key } of [...entries(table.fd, keySize, valueSize)]) table.delete(key);
  };
  if (mode !== 'synthetic') drop(map('synthetics'), layout.synthetic_key.size, layout.synthetic.size);
  if (mode === 'track') return;
  drop(map('tracked'), layout.tracked_key.size, 4);
  drop(map('name_sets'), layout.name_set_key.size, 4);
};
