import type { AgentUse } from '@cofferdam/datapath';
import type { Address } from '@cofferdam/net';

/** What one agent takes now of what all share, and what was kept from user space of what it did. */
export interface AgentStatus {
  /** Inventory name; `(unknown)`: what no agent sent, or one that inventory has no more. */
  readonly agent: string;
  readonly flows: number;
  readonly hellos: number;
  /** Connections that the proxy holds. */
  readonly proxied: number;
  /** Denials that came faster than its quota of events, ever. */
  readonly untold: number;
}

/** No workload can be called so. */
export const unknownAgent = '(unknown)';
export const otherAgents = '(other)';

const none = { flows: 0, hellos: 0, proxied: 0, untold: 0 };

export const addAgents = (
  agent: string,
  a: Omit<AgentStatus, 'agent'>,
  b: Omit<AgentStatus, 'agent'>,
): AgentStatus => ({
  agent,
  flows: a.flows + b.flows,
  hellos: a.hellos + b.hellos,
  proxied: a.proxied + b.proxied,
  untold: a.untold + b.untold,
});

/** Uses of addresses as uses of agents: an agent has several. */
export const agentStatus = (
  uses: Iterable<AgentUse>,
  held: ReadonlyMap<string, number>,
  nameOf: (address: Address, ifindex: number) => string | undefined,
): readonly AgentStatus[] => {
  const found = new Map<string, AgentStatus>();
  const add = (agent: string, more: Omit<AgentStatus, 'agent'>): void =>
    void found.set(agent, addAgents(agent, found.get(agent) ?? none, more));
  for (const { address, ifindex, flows, hellos, untold } of uses) {
    const agent = address === undefined ? undefined : nameOf(address, ifindex);
    add(agent ?? unknownAgent, { ...none, flows, hellos, untold: Number(untold) });
  }
  for (const [agent, proxied] of held) add(agent, { ...none, proxied });
  return [...found.values()];
};

/** The busiest first. */
export const byFlows = (a: AgentStatus, b: AgentStatus): number =>
  b.flows + b.proxied - (a.flows + a.proxied) || (a.agent < b.agent ? -1 : 1);

/**
 * Which names have a series of their own. The first come keep theirs until they are gone from the plan, so that a series does not come and go
 * with how busy others are, and the bucket of all others never falls for that reason.
 */
export interface Series {
  readonly keep: (present: Iterable<string>) => void;
  readonly has: (name: string) => boolean;
}

export const createSeries = (most: number): Series => {
  let named = new Set<string>();
  return {
    keep(present) {
      const there = new Set(present);
      const kept = [...named].filter((name) => there.has(name));
      named = new Set([...new Set([...kept, ...there])].slice(0, most));
    },
    has: (name) => named.has(name),
  };
};
