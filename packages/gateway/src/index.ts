/**
 * gateway: the enforcing process's user-space half: the DNS filter that gives addresses for permitted names, the proxy for flows that have to
 * be read, and a plain relay. It decides nothing itself: it asks a {@link Gate}, which stands for the plan in force.
 *
 *     agent ──query──▶ dns-server ▶ dns-filter ▶ upstream-resolver ──▶ resolvers
 *                                      └▶ address-answers ▶ name-book or tracked-names ▶ (in the datapath before the answer is sent)
 *     agent ──flow───▶ (transparent socket) ▶ proxy ▶ opening ▶ dial ──▶ destination
 *                                                        └▶ claimed-destinations ▶ upstream-resolver (own mode)
 *
 * Where names come from is the plan's DNS mode; what differs by it is made in dns-modes.
 *
 * Not here: sockets' making, namespaces and the kernel's tables, which are the datapath's and are given to this package as effects.
 */

export { createClockJump } from './clock-jump.ts';
export type { Dial } from './dialler.ts';
export { type DnsDecision, type DnsDecisionOptions, decideQuestion } from './dns-decision.ts';
export { createDnsFilter, type DnsClient, type DnsFilter, type DnsFilterOptions } from './dns-filter.ts';
export { createDnsServer, type DnsServer, type DnsServerOptions, dnsServerDefaults } from './dns-server.ts';
export { type FlowSink, openFlowSink, openRotatingSink } from './flow-sink.ts';
export type { CurrentGate, Gate, GateAgent, GateRule, NameGrant } from './gate.ts';
export {
  type AgentInterface,
  type GatewayCore,
  type GatewayCoreOptions,
  type GatewayPlace,
  startGatewayCore,
} from './gateway-core.ts';
export { localAddresses } from './local-addresses.ts';
export {
  type Binding,
  createNameBook,
  type NameBook,
  type NameBookOptions,
  type NameBookState,
  type NameInstaller,
} from './name-book.ts';
export {
  defaultQuotas,
  gatewayId,
  type NetworkGateway,
  type NetworkGatewayOptions,
  removeNetworkGateway,
  startNetworkGateway,
} from './network-gateway.ts';
export { planGate } from './plan-gate.ts';
export { createProxy, type FlowProxy, type ProxyOptions, proxyDefaults } from './proxy.ts';
export { createRateLimiter, type RateLimiter, type RateLimiterOptions } from './rate-limiter.ts';
export { createRelay, type Relay, type RelayOptions } from './relay.ts';
export {
  commandAddresses,
  gatewayAddresses,
  type RunGateway,
  type RunGatewayOptions,
  startRunGateway,
} from './run-gateway.ts';
export { socketAddress } from './socket-address.ts';
export { createRuleTotals, type RuleTotals } from './status-rules.ts';
export type { MetricsAddress, StatusSocket } from './status-server.ts';
export {
  createSyntheticPool,
  defaultPool,
  type PoolOptions,
  type PoolState,
  type Slot,
  type SyntheticPool,
} from './synthetic-pool.ts';
export { createTlsOpener, type TlsOpener, type TlsOpenerOptions } from './tls-opening.ts';
export {
  type BudgetOutcome,
  createTunnelBudget,
  defaultTunnelBudget,
  entropyOf,
  type TunnelBudget,
  type TunnelBudgetOptions,
} from './tunnel-budget.ts';
export { answerOf, type UpstreamAnswer } from './upstream-answer.ts';
export type { UpstreamServer, UpstreamSockets } from './upstream-exchange.ts';
export {
  createUpstreamResolver,
  type UpstreamOptions,
  type UpstreamResolver,
  upstreamDefaults,
} from './upstream-resolver.ts';
