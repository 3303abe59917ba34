/**
 * The one table of reasons. `tools/generate.ts` writes its C copy (`packages/datapath/bpf/reasons.h`) and its
 * documentation copy (`docs/reasons.md`); a test fails when a copy is stale.
 *
 * A number, once released, is never given to another reason: `retired: true` keeps its place.
 */

/** Which stage of the facts a reason may be given in. `any` where a reason can close a flow at every stage. */
export type ReasonStage = 'packet' | 'name' | 'request' | 'any';

export interface ReasonEntry {
  /** 0 to 255: the kernel carries it in one byte. */
  readonly number: number;
  /** Kebab-case; what records, metrics and the command line show. */
  readonly code: string;
  readonly verdict: 'permit' | 'deny';
  readonly stage: ReasonStage;
  /** One sentence: what happened. */
  readonly summary: string;
  /** What the operator can do about it. Empty where nothing is to be done. */
  readonly help: string;
}

const entry = <Code extends string>(
  number: number,
  code: Code,
  verdict: 'permit' | 'deny',
  stage: ReasonStage,
  summary: string,
  help: string,
): ReasonEntry & { readonly code: Code } => ({ number, code, verdict, stage, summary, help });

export const reasonTable = [
  // 0 is what a zeroed byte reads as, so it denies.
  entry(0, 'no-decision', 'deny', 'any', 'nothing decided about this flow', 'report this: a gateway always says why'),

  // 1-19: the walk over the rules
  entry(1, 'rule', 'permit', 'any', 'a rule that matched permits it', ''),
  entry(
    2,
    'rule-denies',
    'deny',
    'any',
    'a rule that matched denies it',
    'change the rule, or permit it in an earlier one',
  ),
  entry(
    3,
    'no-rule',
    'deny',
    'any',
    'no rule permits it, so the default denies it',
    'add a permit rule for this destination, protocol and port',
  ),
  entry(
    4,
    'no-permit-reachable',
    'deny',
    'any',
    'whatever the flow would say later, no permit could match before this denial',
    'add a permit rule above the rule that denied',
  ),
  entry(
    5,
    'quic',
    'deny',
    'any',
    'UDP port 443 is refused so that clients fall back to TCP',
    'to permit it, write a rule with protocol udp that lists port 443 by itself and has no web',
  ),
  entry(
    6,
    'monitored',
    'permit',
    'any',
    'the agent is monitored: a denial by the default was lifted',
    'set containment: enforce to deny it',
  ),
  entry(
    7,
    'no-plan',
    'deny',
    'packet',
    'the gateway has no plan',
    'check that the gateway runs and that its policy is valid',
  ),
  entry(
    8,
    'facts-unknown',
    'deny',
    'any',
    'the new policy asks for a fact that was never recorded of this flow',
    'connect again',
  ),

  // 20-39: names
  entry(
    20,
    'name-mismatch',
    'deny',
    'name',
    'the client asked for one name and connected to the address of another',
    'connect to the name that is asked for; domain fronting is not permitted',
  ),
  entry(
    21,
    'hello-unreadable',
    'deny',
    'any',
    'the TLS ClientHello is malformed or over limits and a rule needs its name',
    'use a standard TLS client',
  ),
  entry(
    22,
    'name-unreadable',
    'deny',
    'name',
    'the name the client sent is not a canonical domain name, or was sent twice',
    'send one lower-case host name without trailing dot',
  ),
  entry(
    23,
    'hello-changed',
    'deny',
    'name',
    'bytes that were judged were sent again with other content',
    'this is an attack or a broken network device',
  ),
  entry(
    24,
    'syn-payload',
    'deny',
    'packet',
    'the first TCP segment carries data (TCP Fast Open)',
    'turn TCP Fast Open off in the client',
  ),
  entry(25, 'urgent-data', 'deny', 'name', 'urgent data before the name is judged', 'do not send urgent data'),
  entry(
    26,
    'plain-http-unread',
    'deny',
    'name',
    'plain HTTP where the permit rests on a name and nothing reads the Host',
    'add `tls: absent` to the rule so that the proxy reads it, or use TLS',
  ),
  entry(
    27,
    'spoke-out-of-turn',
    'deny',
    'name',
    'the client began TLS or HTTP after the server had spoken first',
    'use the protocol that the server speaks',
  ),
  entry(
    28,
    'undecided-timeout',
    'deny',
    'name',
    'the client began but did not finish what the policy has to read within 10 seconds',
    'check for packet loss or a client that stalls',
  ),
  entry(29, 'undecided-closed', 'deny', 'any', 'the connection ended before the policy could decide', ''),
  entry(
    30,
    'hello-slots-full',
    'deny',
    'name',
    'too many connections wait for their name at once',
    'open fewer connections at once; a place is free again as soon as a name is read',
  ),
  entry(
    31,
    'name-table-full',
    'deny',
    'name',
    'the gateway can classify no more names',
    'ask for fewer names at once: one is forgotten some time after its last use. A new run begins with none',
  ),
  entry(
    32,
    'address-unmapped',
    'deny',
    'packet',
    'an address of the synthetic pool that stands for no name',
    'resolve the name again through the gateway',
  ),
  entry(33, 'ech-refused', 'deny', 'name', 'Encrypted ClientHello is refused by policy', 'turn ECH off in the client'),

  // 40-59: requests
  entry(
    40,
    'request-unreadable',
    'deny',
    'request',
    'what the client sent is not a strict HTTP request',
    'use a standard HTTP client',
  ),
  entry(
    41,
    'authority-mismatch',
    'deny',
    'request',
    'Host, URL and address disagree about the name',
    'send the name that was resolved',
  ),
  entry(
    42,
    'would-need-opening',
    'deny',
    'name',
    'the rule needs to read inside TLS and that is not possible or not allowed here',
    'permit by name with `web` domains, or allow decryption',
  ),
  entry(
    43,
    'upstream-unreachable',
    'deny',
    'any',
    'permitted, but the destination did not answer',
    'check the destination',
  ),

  entry(
    44,
    'upstream-expired',
    'deny',
    'name',
    "the destination's certificate is out of date, or not valid yet",
    'tell whoever runs the destination',
  ),
  entry(
    45,
    'upstream-name',
    'deny',
    'name',
    "the destination's certificate is for another name",
    'connect to the name that it is for',
  ),
  entry(
    46,
    'upstream-untrusted',
    'deny',
    'name',
    "the destination's certificate leads to no authority that the gateway trusts",
    'add the authority of a private destination to what the gateway trusts',
  ),
  entry(47, 'upstream-revoked', 'deny', 'name', "the destination's certificate was revoked", ''),
  entry(
    48,
    'upstream-weak',
    'deny',
    'name',
    "the destination's certificate has a key or a signature that is too weak",
    '',
  ),
  entry(
    49,
    'upstream-tls',
    'deny',
    'name',
    'the gateway and the destination could agree on no TLS',
    'check that the destination speaks TLS 1.2 or later',
  ),
  entry(
    50,
    'certificate-refused',
    'deny',
    'name',
    "the client does not take the gateway's certificate: it does not trust its authority, or expects one certificate and no other",
    'make the client trust the authority; where it pins certificates, permit by name with `decrypt: not-allowed`',
  ),
  entry(
    51,
    'client-tls',
    'deny',
    'name',
    'the gateway and the client could agree on no TLS',
    'check that the client speaks TLS 1.2 or later and HTTP/1.1',
  ),

  // 60-89: packets
  entry(
    60,
    'source-spoofed',
    'deny',
    'packet',
    'the source address does not belong to this interface',
    'send from the address that inventory gives',
  ),
  entry(61, 'gateway-port', 'deny', 'any', 'a port of the gateway itself', 'agents may reach the gateway only for DNS'),
  entry(
    62,
    'reserved-address',
    'deny',
    'any',
    'platform, loopback, link-local or multicast address',
    'permit it by a `cidr` that lies wholly inside the reserved range',
  ),
  entry(
    63,
    'protocol-not-supported',
    'deny',
    'packet',
    'neither TCP, UDP nor ICMP echo',
    'only these protocols can be permitted',
  ),
  entry(64, 'malformed-packet', 'deny', 'packet', 'the packet contradicts itself', ''),
  entry(65, 'fragment', 'deny', 'packet', 'a TCP fragment, or a first fragment without its header', 'lower the MTU'),
  entry(
    66,
    'extension-header',
    'deny',
    'packet',
    'IPv4 options or an IPv6 extension header other than fragment',
    'do not send them',
  ),
  entry(67, 'vlan-tagged', 'deny', 'packet', 'a VLAN tag on an interface that has none', 'send untagged frames'),
  entry(68, 'icmp-not-for-flow', 'deny', 'packet', 'an ICMP error that belongs to no live permitted flow', ''),
  entry(
    69,
    'not-a-new-flow',
    'deny',
    'packet',
    'a TCP segment that neither belongs to a flow nor begins one',
    'connect again',
  ),
  entry(
    70,
    'flow-table-full',
    'deny',
    'packet',
    'the gateway holds as many flows as it can',
    'close connections; idle ones give their place back in time',
  ),
  entry(
    71,
    'flow-quota',
    'deny',
    'packet',
    'the agent holds as many flows as it may',
    'close some; the number is fixed',
  ),
  entry(
    72,
    'flow-rate',
    'deny',
    'packet',
    'the agent opens flows faster than it may',
    'open connections more slowly; the rate is fixed',
  ),
  entry(
    73,
    'unknown-agent',
    'deny',
    'packet',
    'no workload of the inventory has this address on this interface',
    'add it to the inventory',
  ),
  entry(74, 'flow-cut', 'deny', 'any', 'a live flow that the policy no longer permits was cut', ''),
  entry(
    75,
    'untold',
    'deny',
    'packet',
    'denied faster than the kernel may tell: each for a reason of its own, counted here together',
    'open connections more slowly',
  ),

  // 90-109: DNS
  entry(90, 'dns-answered', 'permit', 'packet', 'the name is one that a rule permits', ''),
  entry(91, 'dns-local', 'permit', 'packet', 'answered by the gateway itself', ''),
  entry(
    92,
    'dns-not-permitted',
    'deny',
    'packet',
    'no permit of this agent names it',
    'add the name to a `web` group of a permit rule',
  ),
  entry(93, 'dns-type', 'deny', 'packet', 'a record type that is not answered', 'ask for A or AAAA'),
  entry(94, 'dns-malformed', 'deny', 'packet', 'the query is not a well-formed DNS message', ''),
  entry(
    95,
    'dns-budget',
    'deny',
    'packet',
    'the query looks like a tunnel: too many, too long or too random names under one wildcard',
    'write the host names out in the WebGroup: names that policy writes out have no budget',
  ),
  entry(96, 'dns-upstream', 'deny', 'packet', 'no upstream resolver answered', 'check the resolvers'),
  entry(
    97,
    'dns-address-denied',
    'deny',
    'packet',
    'the name is permitted but none of its addresses is',
    'add a group with the address to the `to` of the rule that names it, or check who answers for this name',
  ),
  entry(98, 'dns-rate', 'deny', 'packet', 'the agent asks faster than it may', 'slow down'),
] as const satisfies readonly ReasonEntry[];

export type Reason = (typeof reasonTable)[number]['code'];

const byCode = new Map<string, ReasonEntry>(reasonTable.map((e) => [e.code, e]));
const byNumber = new Map<number, ReasonEntry>(reasonTable.map((e) => [e.number, e]));

export const isReason = (code: string): code is Reason => byCode.has(code);

/** The entry of a code. Total over {@link Reason}. */
export const reasonEntry = (code: Reason): ReasonEntry => byCode.get(code)!;

/** The code behind a number from the kernel or a file; `no-decision` where this build does not know it. */
export const reasonFromNumber = (number: number): Reason => (byNumber.get(number)?.code ?? 'no-decision') as Reason;
