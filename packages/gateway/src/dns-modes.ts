import { firstClaimedId, firstSetId, firstTrackedId, type Kernel, type Nftables } from '@cofferdam/datapath';
import type { Address } from '@cofferdam/net';
import type { DnsMode, LoadedPlan } from '@cofferdam/plan';
import { type AddressAnswers, ownAnswers, syntheticAnswers, trackedAnswers } from './address-answers.ts';
import { ownWays, syntheticWays, trackedWays, type Ways } from './arrival.ts';
import { createFollow, type FollowOptions } from './claimed-destinations.ts';
import { type AddressNames, createKernelNames, type KernelNames, noAddressNames } from './kernel-names.ts';
import { createSyntheticNames } from './synthetic-names.ts';
import { type PoolOptions, poolHolds } from './synthetic-pool.ts';
import { createTrackedKernelNames } from './tracked-kernel-names.ts';

export interface DnsModeOptions extends Omit<FollowOptions, 'isPooled'> {
  readonly kernel: Kernel;
  /** Of the gateway's namespace. */
  readonly nft: Nftables;
  /** What of it is no name's is nobody's, in every mode. */
  readonly pool: Omit<PoolOptions, 'inUse'>;
  /** The plan in force. It keeps its DNS mode. */
  readonly plan: () => LoadedPlan;
  /** Inventory name of the agent at an address of an interface. */
  readonly agentAt: (address: Address, ifindex: number) => string | undefined;
}

/** Where names come from, for all that asks. */
export interface DnsModeParts {
  readonly names: KernelNames;
  readonly answers: AddressAnswers;
  readonly ways: Ways;
  readonly isPooled: (address: Address) => boolean;
  /** Addresses that agents were given. Undefined: nobody remembers. */
  readonly tracked: () => number | undefined;
}

/** Names below the first claimed one belong to a mode. */
const modeOf = (id: number): DnsMode | undefined =>
  id < firstTrackedId ? 'synthetic' : id < firstSetId ? 'track' : undefined;

/** What an earlier process left in another mode leads nowhere now: who claims such a name must find it under an id of this mode. */
const dropOtherNames = (kernel: Kernel, mode: DnsMode): void => {
  for (const { id, name } of kernel.standingNames())
    if (id < firstClaimedId && modeOf(id) !== mode) kernel.unclaim(id, name);
};

/** To be opened before the first plan is applied. */
export const openDnsMode = (options: DnsModeOptions): DnsModeParts => {
  const { kernel, pool, plan } = options;
  const mode = plan().plan.dnsMode;
  const isPooled = poolHolds(pool);
  dropOtherNames(kernel, mode);
  const parts = (addresses: AddressNames): Pick<DnsModeParts, 'names' | 'isPooled'> => ({
    names: createKernelNames(kernel, addresses, plan),
    isPooled,
  });
  switch (mode) {
    case 'synthetic': {
      const names = createSyntheticNames(options);
      return {
        ...parts(names),
        answers: syntheticAnswers(names.book),
        ways: syntheticWays(names.book),
        tracked: () => undefined,
      };
    }
    case 'track': {
      const names = createTrackedKernelNames({ ...options, grace: pool.grace });
      const { tracked } = names;
      return {
        ...parts(names),
        answers: trackedAnswers(tracked, isPooled),
        ways: trackedWays(tracked, isPooled),
        tracked: () => tracked.size().addresses,
      };
    }
    case 'own':
      return {
        ...parts(noAddressNames),
        answers: ownAnswers(isPooled),
        ways: ownWays(isPooled, createFollow({ ...options, isPooled })),
        tracked: () => undefined,
      };
  }
};

/** Throws where a plan is for another DNS mode than the gateway was started in: what agents were told would mean something else. */
export const assertSameMode = (mode: DnsMode, { plan }: LoadedPlan): void => {
  if (plan.dnsMode !== mode)
    throw new Error(
      `the plan is for DNS mode \`${plan.dnsMode}\`, and this gateway was started in \`${mode}\`: start it anew to change the mode`,
    );
};
