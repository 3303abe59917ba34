import { createHash } from 'node:crypto';
import { type CompileDiagnostic, compile } from '@cofferdam/compiler';
import type { SubnetInterface } from '@cofferdam/datapath';
import { gatewayAddresses, localAddresses } from '@cofferdam/gateway';
import { type Address, type DomainName, formatAddress, prefixContains } from '@cofferdam/net';
import { type DnsMode, type LoadedPlan, loadPlan } from '@cofferdam/plan';
import type { PolicySet, Workload } from '@cofferdam/policy';
import { listed } from '../nearest.ts';

/** A plan for the agents behind the interfaces of a gateway. */
export interface PreparedPlan {
  readonly plan: LoadedPlan;
  readonly diagnostics: readonly CompileDiagnostic[];
  /** What of the inventory can have no effect here. */
  readonly warnings: readonly string[];
}

export interface PlanContext {
  readonly interfaces: readonly SubnetInterface[];
  readonly resolved: ReadonlyMap<DomainName, readonly Address[]>;
  readonly monitor: boolean;
  readonly dnsMode: DnsMode;
  readonly revision: number;
}

const misplaced = ({ name, addresses, interface: on }: Workload, interfaces: readonly SubnetInterface[]): string[] => {
  if (on !== undefined && !interfaces.some((one) => one.name === on))
    return [`the workload \`${name}\` is on \`${on}\`, which is no agent interface: it is not an agent here`];
  const places = interfaces.filter((one) => on === undefined || one.name === on);
  const outside = addresses.filter(
    (address) => !places.some(({ behind }) => behind.some((p) => prefixContains(p, address))),
  );
  return outside.length === 0
    ? []
    : [
        `the workload \`${name}\` has ${listed(outside.map(formatAddress), 'and')}, which no subnet of its interface holds`,
      ];
};

export const preparePlan = (policy: PolicySet, context: PlanContext): PreparedPlan => {
  const { interfaces, resolved, monitor, dnsMode, revision } = context;
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
  const { plan, diagnostics } = compile(policy, {
    workloads: policy.inventory,
    resolved,
    dnsMode,
    // Those of this machine, in its namespace and in the gateway's: no name reaches them.
    gatewayAddresses: [...gatewayAddresses, ...interfaces.flatMap(({ own }) => own), ...localAddresses()],
    monitor,
    at: Date.now(),
    revision,
    digest,
  });
  const warnings = policy.inventory.flatMap((workload) => misplaced(workload, interfaces));
  return { plan: loadPlan(plan), diagnostics, warnings };
};
