/**
 * datapath: the kernel side of a gateway and everything that carries packets: the eBPF program and its tables, the network namespaces of
 * a run, netfilter, routes, the link to the host, and listening sockets inside a namespace.
 *
 *     plan, names ──▶ kernel ──▶ tables ◀── from_agent, to_agent, from_uplink (tc)
 *     flow events ◀── kernel ◀── ring buffer
 *
 *     packets: agent0 ──▶ netfilter ──▶ up0 ──▶ host; those of long flows past netfilter
 *
 * It carries out a plan and knows no policy. Whoever holds its objects in user space may die at any moment: what is in the kernel stays
 * as it is, and what is not there is closed.
 */

export type { FlowEntry } from './flow-entries.ts';
export { routeGateway } from './gateway-routes.ts';
export { gatewayRuleset } from './gateway-ruleset.ts';
export { holderOf } from './holder.ts';
export { cleanHost, type HostLink, type HostLinkOptions, linkName, linkToHost, unlinkHost } from './host-link.ts';
export { hasDefaultRoute } from './ip-command.ts';
export { type Kernel, kernelObjectFile, openKernel, type RuleHits } from './kernel.ts';
export {
  type AgentUse,
  decodeFlow,
  encodeFlowKey,
  eventKind,
  type FlowKey,
  flowFlag,
  flowId,
  flowState,
  type KernelEvent,
  type KernelFlow,
  layout,
  type Quotas,
} from './layout.ts';
export { loadBpfObject, runProgram, type TestRun } from './libbpf.ts';
export { bootTime, closeDescriptor, endProcess, interfaceIndex, SystemCallError } from './libc.ts';
export { connectFrom, type ListenerOptions, openListener } from './listeners.ts';
export { answerBit, firstBit, firstMark, marks, paths, realAddresses, turns } from './marks.ts';
export { firstClaimedId, firstSetId, firstTrackedId } from './name-ids.ts';
export type { InstalledName, NameSet, NameTables, StandingName, TrackedAddress } from './name-tables.ts';
export { createNameTranslation, type NameTranslation } from './name-translation.ts';
export { createNetworkNamespace, currentNetworkNamespace, type NetworkNamespace } from './network-namespace.ts';
export { type Nftables, NftError, openNftables } from './nftables.ts';
export type { ClassifiedName } from './plan-tables.ts';
export { openResets, type Resets } from './resets.ts';
export { createRunNetwork, type RunNetwork } from './run-network.ts';
export type { CutFlow } from './stale-flows.ts';
export { type StandingTables, standingTables } from './standing-tables.ts';
export {
  openSubnetNetwork,
  removeSubnetNetwork,
  type SubnetInterface,
  type SubnetNetwork,
  standsSubnetNetwork,
} from './subnet-network.ts';
export { topology, type Uplink } from './topology.ts';
