/**
 * lab: a small internet on one machine, made of network namespaces, where end-to-end tests and the demo run. Real
 * servers at addresses that look public, a host that `cofferdam run` is started on, and a record of everything that
 * arrived anywhere. Not a model of latency or loss, and never connected to anything outside. The drawing is in topology.ts.
 */
export type { Arrival, ArrivalEvent, ArrivalFilter, Endpoint } from './arrivals.ts';
export type { Capture } from './capture.ts';
export type { CertificateAuthority } from './certificates.ts';
export type { DaemonName } from './daemons.ts';
export type { SshClient } from './git-server.ts';
export { type Lab, type LabOptions, labUnavailable, startLab } from './lab.ts';
export type { Machine } from './machine.ts';
export { removeLeftovers } from './owner.ts';
export type { ExecOptions, ExecResult, LabProcess } from './process.ts';
export type { ResolverProgram } from './resolver.ts';
export { joinSubnet, type SubnetWords } from './subnet.ts';
export {
  type DnsRecord,
  deadAddresses,
  type MachineName,
  type Service,
  servicePorts,
  type WorldHost,
  worldHosts,
} from './world.ts';
