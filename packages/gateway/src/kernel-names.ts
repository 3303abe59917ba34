import { createNameTranslation, type Kernel, type Nftables } from '@cofferdam/datapath';
import type { DomainName } from '@cofferdam/net';
import { classifyName, type LoadedPlan } from '@cofferdam/plan';
import { createClaimedNames } from './claimed-names.ts';
import { type Binding, createNameBook, type NameBook } from './name-book.ts';
import type { PoolOptions } from './synthetic-pool.ts';

/** Names as the datapath has them: those that addresses stand for, and those that clients claimed. */
export interface KernelNames {
  readonly book: NameBook;
  /** The name that an address stands for, by its id in the kernel. */
  readonly nameOf: (id: number) => DomainName | undefined;
  /** A client claimed a name that the kernel does not know. */
  readonly claim: (name: DomainName) => void;
  /** All whose rows a plan must have. */
  readonly entries: () => readonly (readonly [number, DomainName])[];
  /** Makes room for claimed names. To be called now and then. */
  readonly tidy: () => void;
}

export interface KernelNamesOptions {
  readonly kernel: Kernel;
  /** Of the gateway's namespace. */
  readonly nft: Nftables;
  readonly pool: Omit<PoolOptions, 'inUse'>;
  /** The plan in force. */
  readonly plan: () => LoadedPlan;
}

const claimedNames = 16_384;

/** To the kernel, 0 is no name. */
const kernelId = (slot: number): number => slot + 1;

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

export const createKernelNames = ({ kernel, nft, pool, plan }: KernelNamesOptions): KernelNames => {
  const nameOfId = new Map<number, DomainName>();
  const bound = new Set<DomainName>();
  const translation = createNameTranslation(nft);
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

  const book = createNameBook({
    pool: { ...pool, inUse: (slot) => inUse().has(kernelId(slot)) },
    classesOf: (name) => classifyName(plan(), name),
    installer: { install },
  });
  if (!book.ok) throw new Error(book.error.message);

  const claimed = createClaimedNames(
    {
      // A name that got an address meanwhile is found under the id of that.
      classify: (id, name) => bound.has(name) || kernel.classify(id, name, classifyName(plan(), name)),
      unclaim: kernel.unclaim,
      unclassify: kernel.unclassify,
      held: kernel.namesInUse,
    },
    claimedNames,
  );

  return {
    book: book.value,
    nameOf: (id) => nameOfId.get(id),
    claim(name) {
      if (!bound.has(name)) claimed.claim(name);
    },
    entries: () => [...nameOfId, ...claimed.entries()],
    tidy: claimed.tidy,
  };
};
