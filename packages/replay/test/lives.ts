import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import { type DnsRecord, encodeRecord, type FlowRecord, parseRecord, recordVersion } from '@cofferdam/flows';
import { type LoadedPlan, loadPlan } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet } from '@cofferdam/policy';
import { address, type Life } from '@cofferdam/testkit';
import { absent, type Facts, reasonEntry, type WouldBe } from '@cofferdam/verdict';

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

export const planOf = (policy: PolicySet, context: EvaluationContext, at: number): LoadedPlan =>
  loadPlan(compile(policy, { ...context, at, revision: 1, digest }).plan);

const nothing = { bytes: 0n, packets: 0n };

const identityOf = ({ workloads }: EvaluationContext, { source, interface: on }: Facts) => {
  const holders = workloads.filter(({ addresses }) =>
    addresses.some(({ family, value }) => family === source.family && value === source.value),
  );
  const found = holders.find((one) => one.interface === on) ?? holders.find((one) => one.interface === undefined);
  return found === undefined ? { labels: {} } : { name: found.name, labels: found.labels };
};

/** The record that a gateway would have written of a life, read back from its line. `looked`: its name came from the filter. */
export const recordOf = (
  context: EvaluationContext,
  { facts, verdict, reason }: Life,
  looked: boolean,
  would?: WouldBe,
): FlowRecord => {
  const { at, source, destination, protocol, destinationPort, path = 'kernel' } = facts;
  const port = destinationPort === undefined ? {} : { port: destinationPort };
  const found = path === 'kernel' && facts.tls.state === 'absent' && !facts.plainHttpSeen;
  const record: FlowRecord = {
    version: recordVersion,
    kind: 'flow',
    id: 'f-1',
    gateway: 'gw',
    start: at,
    end: at + 1000,
    agent: identityOf(context, facts),
    source: { address: source, ...(protocol === 'icmp' ? {} : { port: 40_000 }) },
    interface: facts.interface,
    destination: { address: destination, ...port },
    ...(looked && facts.addressNames.length > 0 ? { synthetic: address('198.18.1.7') } : {}),
    protocol,
    addressNames: facts.addressNames,
    tls: facts.tls,
    claimedName: facts.claimedName,
    // What the kernel found to be no HTTP; a request that it saw and did not read stays unknown.
    request: found ? absent : facts.request,
    mcp: found ? absent : facts.mcp,
    verdict,
    reason,
    enforced: verdict === reasonEntry(reason).verdict && reason !== 'monitored',
    revision: 1,
    stage: 'packet',
    ...(would === 'unknown' ? { wouldBe: would } : {}),
    path,
    toDestination: nothing,
    toAgent: nothing,
  };
  const line = parseRecord(encodeRecord(record));
  if (!line.ok || line.value.kind !== 'flow') throw new Error(line.ok ? line.value.kind : line.error.message);
  return line.value;
};

/** The query before it, which was answered with the address that was dialled. */
export const queryOf = (record: FlowRecord): DnsRecord => ({
  version: recordVersion,
  kind: 'dns',
  id: 'q-1',
  gateway: 'gw',
  start: record.start,
  end: record.start,
  agent: record.agent,
  source: record.source,
  transport: 'udp',
  server: { address: address('198.18.0.1'), port: 53 },
  name: record.addressNames[0]!,
  type: record.destination.address.family === 4 ? 'A' : 'AAAA',
  rcode: 'NOERROR',
  synthetic: [address('198.18.1.7')],
  addresses: [record.destination.address],
  verdict: 'permit',
  reason: 'dns-answered',
  enforced: true,
  revision: 1,
});
