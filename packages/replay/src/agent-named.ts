import { type Address, formatAddress } from '@cofferdam/net';
import type { AgentAddress, LoadedPlan } from '@cofferdam/plan';

const indexes = new WeakMap<LoadedPlan, ReadonlyMap<string, AgentAddress>>();

const keyOf = (name: string, address: Address): string => `${name} ${formatAddress(address)}`;

/** The agent of this name at this address, on whichever interface. */
export const agentNamed = (loaded: LoadedPlan, name: string, address: Address): AgentAddress | undefined => {
  let index = indexes.get(loaded);
  if (index === undefined) {
    index = new Map(loaded.agents.map((agent) => [keyOf(agent.name, agent.address), agent]));
    indexes.set(loaded, index);
  }
  return index.get(keyOf(name, address));
};
