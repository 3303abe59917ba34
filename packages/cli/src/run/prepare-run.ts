import { createHash } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { type CompileDiagnostic, compile } from '@cofferdam/compiler';
import { topology } from '@cofferdam/datapath';
import { commandAddresses, gatewayAddresses, localAddresses, type UpstreamServer } from '@cofferdam/gateway';
import { type Address, type DomainName, formatAddress, parseAddress } from '@cofferdam/net';
import { type LoadedPlan, loadPlan } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet, Workload } from '@cofferdam/policy';
import { chooseAgent, runWorkload } from '../agent-inventory.ts';
import { RunError, type RunOptions } from './options.ts';

/** A plan for one run of one command. */
export interface PreparedRun {
  readonly plan: LoadedPlan;
  readonly workload: Workload;
  readonly diagnostics: readonly CompileDiagnostic[];
}

const hostnamesOf = (policy: PolicySet): readonly DomainName[] => [
  ...new Set(
    [...policy.smartGroups.values()].flatMap(({ any }) =>
      any.flatMap((selector) => (selector.kind === 'hostname' ? [selector.name] : [])),
    ),
  ),
];

/** What hostnames of the policy stand for now, for connections by address; by name they are resolved as they are asked. */
const resolveHostnames = async (
  names: readonly DomainName[],
  servers: readonly UpstreamServer[],
): Promise<ReadonlyMap<DomainName, readonly Address[]>> => {
  if (names.length === 0) return new Map();
  const resolver = new Resolver({ timeout: 1500, tries: 2 });
  resolver.setServers(
    servers.map(({ address, port }) =>
      address.family === 6 ? `[${formatAddress(address)}]:${port}` : `${formatAddress(address)}:${port}`,
    ),
  );
  const one = async (name: DomainName): Promise<readonly [DomainName, readonly Address[]]> => {
    const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const texts = found.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
    return [name, texts.flatMap((text) => parseAddress(text) ?? [])];
  };
  return new Map(await Promise.all(names.map(one)));
};

export const prepareRun = async (
  policy: PolicySet,
  options: Pick<RunOptions, 'agent' | 'labels' | 'monitor'>,
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
    workloads: [workload],
    resolved: await resolveHostnames(hostnamesOf(policy), resolvers),
    dnsMode: 'synthetic',
    // Those of this machine in the namespace we are in are the gateway's: no name reaches them.
    gatewayAddresses: [...gatewayAddresses, ...localAddresses()],
    monitor: options.monitor,
  };
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
  const { plan, diagnostics } = compile(policy, { ...context, at: Date.now(), revision, digest });
  return { plan: loadPlan(plan), workload, diagnostics };
};
