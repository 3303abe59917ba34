import { createHash } from 'node:crypto';
import { type CompileDiagnostic, compile } from '@cofferdam/compiler';
import { topology } from '@cofferdam/datapath';
import { commandAddresses, gatewayAddresses, localAddresses, type UpstreamServer } from '@cofferdam/gateway';
import { type LoadedPlan, loadPlan } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet, Workload } from '@cofferdam/policy';
import { chooseAgent, otherWorkloads, runWorkload } from '../agent-inventory.ts';
import { resolveHostnames } from '../hostnames.ts';
import { RunError, type RunOptions } from './options.ts';

/** A plan for one run of one command. */
export interface PreparedRun {
  readonly plan: LoadedPlan;
  readonly workload: Workload;
  readonly diagnostics: readonly CompileDiagnostic[];
}

export const prepareRun = async (
  policy: PolicySet,
  options: Pick<RunOptions, 'agent' | 'labels' | 'monitor' | 'dnsMode'>,
  resolvers: readonly UpstreamServer[],
  revision: number,
): Promise<PreparedRun> => {
  const agent = chooseAgent(policy, options.agent, '--agent');
  if (!agent.ok) throw new RunError(agent.error.message, agent.error.help, 2);
  const workload: Workload = {
    ...runWorkload(policy, agent.value, options.labels, commandAddresses),
    interface: topology.agentInterface,
  };
  const context: EvaluationContext = {
    workloads: [workload, ...otherWorkloads(policy, [workload.name])],
    resolved: await resolveHostnames(policy, resolvers),
    dnsMode: options.dnsMode,
    // Those of this machine in the namespace we are in are the gateway's: no name reaches them.
    gatewayAddresses: [...gatewayAddresses, ...localAddresses()],
    monitor: options.monitor,
  };
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
  const { plan, diagnostics } = compile(policy, { ...context, at: Date.now(), revision, digest });
  return { plan: loadPlan(plan), workload, diagnostics };
};
