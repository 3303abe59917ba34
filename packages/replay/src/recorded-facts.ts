import type { FlowRecord } from '@cofferdam/flows';
import type { Facts, FlowProtocol, Reason } from '@cofferdam/verdict';

/** Denials by what a packet is: no policy changes them. */
const ofPacket: ReadonlySet<Reason> = new Set([
  'syn-payload',
  'address-unmapped',
  'protocol-not-supported',
  'malformed-packet',
  'fragment',
  'extension-header',
  'vlan-tagged',
  'icmp-not-for-flow',
  'not-a-new-flow',
]);

/** What the walk over the rules says. */
const ofWalk: ReadonlySet<Reason> = new Set([
  'rule',
  'rule-denies',
  'no-rule',
  'no-permit-reachable',
  'quic',
  'monitored',
  'name-mismatch',
  'hello-unreadable',
  'name-unreadable',
  'plain-http-unread',
  'request-unreadable',
  'reserved-address',
  'unknown-agent',
  'would-need-opening',
  'undecided-closed',
  'facts-unknown',
  'flow-cut',
]);

export type Judge = 'packet' | 'walk' | 'gateway';

/** Who gave the verdict of a record: what it was as a packet, the walk over the rules, or else the gateway by itself. */
export const judgeOf = ({ reason, claimedName, addressNames, tls, request }: FlowRecord): Judge => {
  if (ofPacket.has(reason)) return 'packet';
  if (!ofWalk.has(reason)) return 'gateway';
  // The same words stand for what came in a second hello, behind the first one, or in a CONNECT.
  const belied = claimedName.state === 'known' && !addressNames.includes(claimedName.value);
  if (reason === 'name-mismatch' && !belied) return 'gateway';
  if (reason === 'hello-unreadable' && tls.state !== 'unreadable') return 'gateway';
  return reason === 'request-unreadable' && request.state === 'known' ? 'gateway' : 'walk';
};

/**
 * The facts that a record holds, in each way that it leaves open: of a flow in the kernel that spoke neither TLS nor said that it is no
 * HTTP, it may have been plain HTTP or not. `on`: the interface on which the plan has its agent.
 */
export const factsOf = (record: FlowRecord, protocol: FlowProtocol, on: string): readonly Facts[] => {
  const { destination, path, tls, request, reason } = record;
  const facts: Facts = {
    at: record.start,
    source: record.source.address,
    interface: on,
    protocol,
    destination: destination.address,
    ...(destination.port === undefined ? {} : { destinationPort: destination.port }),
    addressNames: record.addressNames,
    path,
    tls,
    claimedName: record.claimedName,
    plainHttpSeen: false,
    request,
    mcp: record.mcp,
  };
  const onKernel = path === 'kernel' && protocol === 'tcp' && tls.state === 'absent';
  // What the kernel found to be no HTTP is no request on any path.
  if (!onKernel || request.state === 'absent') return [facts];
  const plain: Facts = { ...facts, plainHttpSeen: true };
  return reason === 'plain-http-unread' ? [plain] : [plain, facts];
};
