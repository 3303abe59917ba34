import {
  createNameTranslation,
  firstTrackedId,
  type Kernel,
  type Nftables,
  type StandingName,
} from '@cofferdam/datapath';
import { type DomainName, formatAddress, formatPrefix } from '@cofferdam/net';
import { classifyName, type LoadedPlan } from '@cofferdam/plan';
import { longestTtl } from './dns-response.ts';
import type { AddressNames } from './kernel-names.ts';
import { type Binding, createNameBook, type NameBook, type NameBookState } from './name-book.ts';
import type { PoolOptions } from './synthetic-pool.ts';

/** Names of the pool's addresses, as the datapath has them. */
export interface SyntheticNames extends AddressNames {
  readonly book: NameBook;
}

export interface SyntheticNamesOptions {
  readonly kernel: Kernel;
  /** Of the gateway's namespace. */
  readonly nft: Nftables;
  readonly pool: Omit<PoolOptions, 'inUse'>;
  /** The plan in force. */
  readonly plan: () => LoadedPlan;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** To the kernel, 0 is no name. */
const kernelId = (slot: number): number => slot + 1;
const slotOf = (id: number): number => id - 1;

/** No agent is called so: names of the inventory are not empty. */
const unknownHolder = '';
/** Milliseconds: no answer of the DNS filter lives longer. */
const longestAnswer = longestTtl * 1000;

/** What live flows hold, looked up once for all that is asked in one go: nothing else happens meanwhile in this thread. */
const onceInATurn = <T>(look: () => T): (() => T) => {
  let seen: { readonly value: T } | undefined;
  return () => {
    if (seen === undefined) {
      seen = { value: look() };
      queueMicrotask(() => {
        seen = undefined;
      });
    }
    return seen.value;
  };
};

/**
 * What the kernel still has from an earlier process. Who holds an answer is known to nobody any more, so that each name is kept as if
 * somebody had just been told of it.
 */
const restoredBook = (
  standing: readonly StandingName[],
  pool: SyntheticNamesOptions['pool'],
  at: number,
): NameBookState => {
  const until = at + longestAnswer + pool.grace;
  return {
    pool: {
      version: 1,
      v4: formatPrefix(pool.v4),
      v6: formatPrefix(pool.v6),
      slots: standing.map(({ id, name }) => ({ id: slotOf(id), name, leases: [[unknownHolder, until]] })),
    },
    addresses: standing.map(({ id, synthetic }) => [
      slotOf(id),
      synthetic.flatMap(({ addresses }) => addresses.map(formatAddress)),
    ]),
  };
};

export const createSyntheticNames = ({ kernel, nft, pool, plan, now }: SyntheticNamesOptions): SyntheticNames => {
  const standing = kernel.standingNames().filter(({ id }) => id < firstTrackedId);
  const nameOfId = new Map<number, DomainName>(standing.map(({ id, name }) => [id, name]));
  const bound = new Set<DomainName>(nameOfId.values());
  const translation = createNameTranslation(nft);
  // Also where nothing stands: netfilter may have what was left when the gateway was started in another mode.
  translation.restore(
    standing.flatMap(({ synthetic }) =>
      synthetic.map(({ address, turn, addresses }) => ({ synthetic: address, turn, addresses })),
    ),
  );
  const inUse = onceInATurn(kernel.namesInUse);

  const install = async ({ id: slot, name, addresses, classes, synthetic: { v4, v6 } }: Binding): Promise<void> => {
    const id = kernelId(slot);
    const before = nameOfId.get(id);
    if (before !== undefined && before !== name) bound.delete(before);
    nameOfId.set(id, name);
    bound.add(name);
    const synthetic = [v4, v6].map((address) => ({
      address,
      turn: translation.set(
        address,
        addresses.filter(({ family }) => family === address.family),
      ),
    }));
    if (!kernel.install({ id, name, synthetic, addresses }, classes)) throw new Error('the kernel takes no more names');
    translation.settle(v4);
    translation.settle(v6);
  };

  const book = createNameBook(
    {
      pool: { ...pool, inUse: (slot) => inUse().has(kernelId(slot)) },
      classesOf: (name) => classifyName(plan(), name),
      installer: { install },
    },
    standing.length === 0 ? undefined : restoredBook(standing, pool, now()),
  );
  if (!book.ok) throw new Error(book.error.message);

  return {
    book: book.value,
    has: (name) => bound.has(name),
    namesOf(id) {
      const name = nameOfId.get(id);
      return name === undefined ? [] : [name];
    },
    claim: (name) => bound.has(name),
    *entries() {
      for (const [id, name] of nameOfId) yield [id, [name]];
    },
    tidy: () => undefined,
  };
};
