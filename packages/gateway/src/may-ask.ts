import type { DomainName } from '@cofferdam/net';
import type { Reason } from '@cofferdam/verdict';
import type { GateAgent, NameGrant } from './gate.ts';
import type { TunnelBudget } from './tunnel-budget.ts';

/** Whether a name may be asked of the resolvers for an agent. `lifted`: why not, were the agent not monitored. */
export type Asking = { readonly ok: true; readonly lifted?: Reason } | { readonly ok: false };

/** Spends of the agent's budget where policy does not write the name out, whoever brought it: a question, or a client that claims it. */
export const mayAsk = (
  budget: TunnelBudget,
  agent: GateAgent,
  grant: Exclude<NameGrant, { kind: 'none' }>,
  name: DomainName,
  at: number,
): Asking => {
  if (grant.kind === 'lifted') return { ok: true, lifted: 'dns-not-permitted' };
  if (grant.kind === 'exact') return { ok: true };
  if (budget.spend(agent.name, grant.suffix, name, at).kind === 'within') return { ok: true };
  return agent.monitored ? { ok: true, lifted: 'dns-budget' } : { ok: false };
};
