import { type ClassifiedName, firstClaimedId, type Kernel } from '@cofferdam/datapath';
import type { DomainName } from '@cofferdam/net';
import { classifyName, classifyNames, type LoadedPlan } from '@cofferdam/plan';
import { createClaimedNames } from './claimed-names.ts';

/** Names that stand for addresses, in one of the DNS modes. */
export interface AddressNames {
  /** The names of an id; none: it is not known. */
  readonly namesOf: (id: number) => readonly DomainName[];
  /** A name has an id here, and is found under it. */
  readonly has: (name: DomainName) => boolean;
  /** Somebody claims a name. False: it has no id here. */
  readonly claim: (name: DomainName) => boolean;
  /** All ids whose rows a plan must have. */
  readonly entries: () => Iterable<readonly [number, readonly DomainName[]]>;
  /** Forgets what nobody can mean any more. To be called now and then. */
  readonly tidy: () => void;
}

/** Names as the datapath has them: those that addresses stand for, whichever the DNS mode, and those that clients claimed. */
export interface KernelNames {
  /** The names that a flow's destination stood for when it began, by what the flow holds. */
  readonly namesOf: (id: number) => readonly DomainName[];
  /** A client claimed a name that the kernel does not know. */
  readonly claim: (name: DomainName) => void;
  /** All ids whose rows a plan must have, with what its rules say of them. */
  readonly classified: (by: LoadedPlan) => readonly ClassifiedName[];
  readonly tidy: () => void;
  /** How many ids there are. */
  readonly size: () => number;
}

const claimedNames = 16_384;

/** Where an address stands for no name before one is claimed. */
export const noAddressNames: AddressNames = {
  namesOf: () => [],
  has: () => false,
  claim: () => false,
  entries: () => [],
  tidy: () => undefined,
};

/** `plan`: the one in force. */
export const createKernelNames = (kernel: Kernel, addresses: AddressNames, plan: () => LoadedPlan): KernelNames => {
  const claimed = createClaimedNames(
    {
      // A name that got an address meanwhile is found under the id of that.
      classify: (id, name) => addresses.has(name) || kernel.classify(id, name, classifyName(plan(), name)),
      unclaim: kernel.unclaim,
      unclassify: kernel.unclassify,
      held: kernel.namesInUse,
    },
    claimedNames,
    kernel
      .standingNames()
      .filter(({ id }) => id >= firstClaimedId)
      .map(({ id, name }) => [id, name] as const),
  );
  const entries = function* (): Generator<readonly [number, readonly DomainName[]]> {
    yield* addresses.entries();
    for (const [id, name] of claimed.entries()) yield [id, [name]];
  };
  return {
    namesOf: addresses.namesOf,
    claim(name) {
      if (!addresses.claim(name)) claimed.claim(name);
    },
    classified: (by) => [...entries()].map(([id, names]) => ({ id, classes: classifyNames(by, names) })),
    tidy() {
      addresses.tidy();
      claimed.tidy();
    },
    size: () => [...entries()].length,
  };
};
