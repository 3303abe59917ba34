import type { Decrypt } from '@cofferdam/verdict';
import type { EncodedBitmap } from './bitmap.ts';

/**
 * The compiled form as it is sent, stored and hashed: plain JSON. Bit i of every bitmap is rule i, counted from 0 over all rules of the
 * set in the order of the walk. `loadPlan` makes from it what `decide` works on.
 */
export interface Plan {
  readonly revision: number;
  /** SHA-256, lower-case hex, over `planDigestText(plan)`. */
  readonly hash: string;
  /** When it was compiled, milliseconds since the epoch. */
  readonly at: number;
  /** `run --monitor`: every enforced rule and the containment count as monitored. */
  readonly monitored: boolean;
  /** How agents learn names, and so what an address is called. */
  readonly dnsMode: DnsMode;
  readonly rules: readonly PlanRule[];
  readonly agents: readonly PlanAgent[];
  /** The longest prefix that holds an address gives its class. Sorted by family, address, length. */
  readonly destinations: readonly PlanDestination[];
  readonly ports: PlanPorts;
  readonly agentClasses: readonly PlanAgentClass[];
  /** Class 0 is the empty one: no rule reaches it. */
  readonly destinationClasses: readonly PlanDestinationClass[];
  readonly portClasses: readonly EncodedBitmap[];
  /** Distinct domain patterns of the WebGroups that rules use, sorted. */
  readonly patterns: readonly string[];
  /** Distinct URL patterns of the WebGroups that rules use, sorted. */
  readonly urls: readonly string[];
  /** Distinct hostnames that the `to` of a rule names, sorted. */
  readonly hostnames: readonly string[];
  /** Sorted by time; each holds until the next begins, the last for ever. */
  readonly epochs: readonly PlanEpoch[];
  readonly properties: PlanProperties;
}

/**
 * - `synthetic`: an address stands for the one name that it was made for.
 * - `track`: agents have real addresses; each has the names that the agent was given it for.
 * - `own`: nothing is seen of what agents resolve; the name that a client claims is resolved, and dialled, by the gateway.
 */
export type DnsMode = 'synthetic' | 'track' | 'own';

/** A rule as the gateway needs it: its conditions beyond addresses and ports, and what its records show. */
export interface PlanRule {
  /** Absent where none was written. */
  readonly id?: string;
  readonly name: string;
  readonly ruleset: string;
  readonly tier: string;
  readonly owner?: string;
  readonly action: 'permit' | 'deny';
  readonly mode: 'enforce' | 'monitor' | 'disabled';
  /** Names of SmartGroups, as written. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'any';
  /** Inclusive; absent: all ports. */
  readonly ports?: readonly (readonly [first: number, last: number])[];
  readonly tls: 'required' | 'absent' | 'either';
  readonly decrypt: Decrypt;
  /** `refuse`: a flow that this permit decides may not carry an Encrypted ClientHello. Absent: it may. */
  readonly ech?: 'refuse' | 'allow';
  /** Absent: the rule does not look at names. */
  readonly web?: PlanWeb;
  /** Names that are resolvable through this rule though it does not match on them. */
  readonly resolve?: PlanWeb;
  /** Places in `hostnames` of the plan: the hostnames in `to`. Absent: none. */
  readonly hostnames?: readonly number[];
  /** Methods in upper case, path patterns as text. An absent key does not constrain. */
  readonly http?: {
    readonly methods?: readonly string[];
    readonly paths?: readonly string[];
    /** Whether a request that this permit decides may become a WebSocket. Absent: `deny`. */
    readonly websocket?: 'deny' | 'allow';
  };
  readonly mcp?: { readonly methods?: readonly string[]; readonly tools?: readonly string[] };
  readonly schedule?: PlanSchedule;
  /** Milliseconds since the epoch; the rule is out of the walk from then on. */
  readonly expires?: number;
  readonly log: 'start' | 'end' | 'both' | 'none';
  readonly onDeny: 'reject' | 'drop';
}

/** What a rule's WebGroups hold together: places in `patterns` and `urls` of the plan, rising. */
export interface PlanWeb {
  /** `any-web`: every name. */
  readonly any: boolean;
  readonly domains: readonly number[];
  readonly urls: readonly number[];
}

/** For showing only: what a schedule does is in the epochs. */
export interface PlanSchedule {
  readonly timezone: string;
  readonly days: readonly string[];
  readonly fromMinute: number;
  readonly untilMinute: number;
}

/** A workload that flows come from. */
export interface PlanAgent {
  readonly name: string;
  /** Absent: any agent interface. */
  readonly interface?: string;
  /** Absent: not checked. */
  readonly mac?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kubernetes?: { readonly cluster: string; readonly namespace: string };
  readonly addresses: readonly { readonly address: string; readonly class: number }[];
}

export interface PlanAgentClass {
  /** Rules whose `from` holds the address. */
  readonly from: EncodedBitmap;
  /** The SmartGroups that hold it say `containment: monitor`, and none says `enforce`. */
  readonly monitored: boolean;
}

export interface PlanDestination {
  readonly prefix: string;
  readonly class: number;
}

/**
 * - `plain`: an ordinary address.
 * - `reserved`: platform, loopback, link-local, multicast. Reached only through a `cidr` that lies wholly inside the range.
 * - `gateway`: an address of the gateway itself; likewise.
 */
export type DestinationKind = 'plain' | 'reserved' | 'gateway';

export interface PlanDestinationClass {
  /** Rules whose `to` holds the addresses of the class, `hostname` by name left out. */
  readonly to: EncodedBitmap;
  readonly kind: DestinationKind;
  /** In `public-internet`. Never so for IPv6 that embeds IPv4: there the embedded address says it. */
  readonly public: boolean;
  /** An agent whose containment is enforced lives here, so that no denial by default is lifted. */
  readonly contained: boolean;
}

/** Classes of ports: ranges, rising, without gaps, from 0 to 65535; ICMP is one class. */
export interface PlanPorts {
  readonly tcp: readonly PlanPortRange[];
  readonly udp: readonly PlanPortRange[];
  readonly icmp: number;
}

export interface PlanPortRange {
  readonly first: number;
  readonly last: number;
  readonly class: number;
}

export interface PlanEpoch {
  /** Inclusive, milliseconds since the epoch. */
  readonly from: number;
  /** Rules inside their schedule and not expired, whatever their mode. */
  readonly active: EncodedBitmap;
}

/** Rules by what they are, so that a walk needs only masks. */
export interface PlanProperties {
  readonly enforced: EncodedBitmap;
  readonly monitored: EncodedBitmap;
  readonly permit: EncodedBitmap;
  /** Has `web`. */
  readonly web: EncodedBitmap;
  /** Denies and has `web`. */
  readonly denyWeb: EncodedBitmap;
  /** Has `any-web` in `web`. */
  readonly anyWeb: EncodedBitmap;
  readonly tlsRequired: EncodedBitmap;
  readonly tlsAbsent: EncodedBitmap;
  /** Has `http` or `mcp`: never satisfied before the request is read. */
  readonly needsRequest: EncodedBitmap;
  /** Takes a TCP flow to the proxy: `http`, `mcp`, a URL in `web`, `web` with `tls: absent`, or any `web` where the DNS mode is `own`. */
  readonly needsProxy: EncodedBitmap;
  /** Has `public-internet` in `to`. */
  readonly toPublic: EncodedBitmap;
}
