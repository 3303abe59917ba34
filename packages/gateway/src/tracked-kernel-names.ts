import { firstSetId, firstTrackedId, flowState, holderOf, type Kernel } from '@cofferdam/datapath';
import type { Address } from '@cofferdam/net';
import { classifyName, classifyNames, type LoadedPlan } from '@cofferdam/plan';
import { longestTtl } from './dns-response.ts';
import type { AddressNames } from './kernel-names.ts';
import {
  createTrackedNames,
  type StandingTracked,
  type TrackedNames,
  type TrackedNameTable,
  trackedNameLimits,
} from './tracked-names.ts';

export interface TrackedKernelNamesOptions {
  readonly kernel: Kernel;
  /** Milliseconds that clients may keep an address past its answer. */
  readonly grace: number;
  /** The plan in force. */
  readonly plan: () => LoadedPlan;
  /** Inventory name of the agent at an address of an interface. */
  readonly agentAt: (address: Address, ifindex: number) => string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What agents were told, as the datapath has it. */
export interface TrackedKernelNames extends AddressNames {
  readonly tracked: TrackedNames;
}

/** Where live flows of each holder go. Denied ones hold nothing. */
function* reached(
  kernel: Pick<Kernel, 'flows'>,
  agentAt: TrackedKernelNamesOptions['agentAt'],
): Generator<{ readonly holder: bigint; readonly address: Address }> {
  const holders = new Map<string, bigint | undefined>();
  for (const { key, flow } of kernel.flows()) {
    if (flow.state === flowState.denied) continue;
    const from = `${key.ifindex} ${key.source.family} ${key.source.value}`;
    if (!holders.has(from)) {
      const agent = agentAt(key.source, key.ifindex);
      holders.set(from, agent === undefined ? undefined : holderOf(agent));
    }
    const holder = holders.get(from);
    if (holder !== undefined) yield { holder, address: key.destination };
  }
}

const standingOf = (kernel: Kernel, at: number, grace: number): StandingTracked => ({
  names: kernel.standingNames().filter(({ id }) => id >= firstTrackedId && id < firstSetId),
  sets: kernel.standingSets(),
  tracked: kernel.standingTracked(),
  at,
  until: at + longestTtl * 1000 + grace,
});

export const createTrackedKernelNames = (options: TrackedKernelNamesOptions): TrackedKernelNames => {
  const { kernel, grace, plan, agentAt, now } = options;
  const table: TrackedNameTable = {
    classify: (id, name) => kernel.classify(id, name, classifyName(plan(), name)),
    unclaim: kernel.unclaim,
    unclassify: kernel.unclassify,
    installSet: (id, members) =>
      kernel.installSet(
        id,
        members.map((member) => member.id),
        classifyNames(
          plan(),
          members.map(({ name }) => name),
        ),
      ),
    removeSet: kernel.removeSet,
    track: kernel.track,
    untrack: kernel.untrack,
    held: kernel.namesInUse,
    reached: () => reached(kernel, agentAt),
  };
  const tracked = createTrackedNames(
    { table, limits: trackedNameLimits, grace, holderOf },
    standingOf(kernel, now(), grace),
  );
  return { ...tracked, tracked, claim: (name) => tracked.claim(name, now()), tidy: () => tracked.tidy(now()) };
};
