import type { Address, DomainName } from '@cofferdam/net';
import type { Fact, FlowProtocol, McpFacts, Path, Reason, RequestFacts, Stage, Verdict } from '@cofferdam/verdict';

/** Raised when a key changes its meaning or goes away; a new key alone does not raise it. */
export const recordVersion = 1 as const;

/** The workload as inventory resolved it at the time of the record, so that later changes do not rewrite history. */
export interface AgentIdentity {
  /** Inventory name. Absent: no workload had this address on this interface. */
  readonly name?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `cluster/namespace/name`. Absent outside Kubernetes. */
  readonly pod?: string;
  /** Revision of the inventory this identity was read from. Absent where the gateway keeps none. */
  readonly inventoryRevision?: number;
}

export interface Endpoint {
  readonly address: Address;
  /** 0 to 65535. Absent for icmp. */
  readonly port?: number;
}

/** The rule a verdict is named after. */
export interface RuleReference {
  /** Place among all rules of the plan in walk order, 0-based; of that revision only. */
  readonly index: number;
  readonly id?: string;
  readonly name: string;
  readonly ruleset: string;
  readonly tier: string;
}

/** What the walk would have said with everything enforced; `rule` absent: the default. */
export type WouldBeVerdict =
  | { readonly verdict: Verdict; readonly rule?: RuleReference; readonly reason: Reason }
  | 'unknown';

/** Of the network layer, headers included, where the kernel counts; of the payload, and no packets, where the proxy does. */
export interface Traffic {
  readonly bytes: bigint;
  readonly packets: bigint;
}

/** `ip-132` and the like: a protocol that no rule can permit, by its IANA number. Only denials have these. */
export type RecordProtocol = FlowProtocol | `ip-${number}`;

interface RecordBase {
  readonly version: typeof recordVersion;
  /** Unique within the gateway. A flow is written at its start and at its end under one id; the later one replaces. */
  readonly id: string;
  readonly gateway: string;
  /** Milliseconds since the epoch. */
  readonly start: number;
  /** Absent: still live. */
  readonly end?: number;
  readonly agent: AgentIdentity;
  readonly verdict: Verdict;
  readonly reason: Reason;
  /** False where the verdict is one that monitoring lifted: traffic passed, `reason` says what would have stopped it. */
  readonly enforced: boolean;
  /** Absent: the default, or no rule had a part in it. */
  readonly rule?: RuleReference;
  /** Of the plan that decided. 0: there was none. */
  readonly revision: number;
  /** Git commit behind the revision. */
  readonly commit?: string;
}

/** One connection or datagram exchange (`flow`), or one HTTP request on it (`request`). */
export interface FlowRecord extends RecordBase {
  readonly kind: 'flow' | 'request';
  readonly source: Endpoint;
  /** The flow a request came on; absent on a flow itself. */
  readonly flow?: string;
  readonly interface: string;
  /** What was dialled, or would have been; the synthetic address where none was. */
  readonly destination: Endpoint;
  /** The address the agent dialled, where the pool gave it. */
  readonly synthetic?: Address;
  readonly protocol: RecordProtocol;
  readonly addressNames: readonly DomainName[];
  readonly tls: Fact<true>;
  readonly claimedName: Fact<DomainName>;
  readonly request: Fact<RequestFacts>;
  readonly mcp: Fact<McpFacts>;
  readonly stage: Stage;
  readonly wouldBe?: WouldBeVerdict;
  readonly path: Path;
  /** Of the answer to a request, which of a denied one is the gateway's. Absent: there was none. */
  readonly status?: number;
  /** Absent where the flow was no TLS, or ended before its ClientHello. */
  readonly treatment?: 'passthrough' | 'inspect';
  readonly toDestination: Traffic;
  readonly toAgent: Traffic;
}

/** One query to the DNS filter. */
export interface DnsRecord extends RecordBase {
  readonly kind: 'dns';
  readonly source: Endpoint;
  readonly transport: 'udp' | 'tcp';
  /** The server that the agent addressed, whatever answered. */
  readonly server: Endpoint;
  /** As asked, canonical where it can be, else sanitised text. Empty: the question could not be read. */
  readonly name: string;
  /** `A`, `HTTPS`, `TYPE123`. Empty: the question could not be read. */
  readonly type: string;
  /** `NOERROR`, `REFUSED`, `NXDOMAIN` … Empty: nothing was sent. */
  readonly rcode: string;
  /** What the agent was told. */
  readonly synthetic: readonly Address[];
  /** What the name really stands for, in the order of dialling. */
  readonly addresses: readonly Address[];
}

/** Denials of one agent for one reason that came too fast to be written one by one. */
export interface SuppressedRecord extends RecordBase {
  readonly kind: 'suppressed';
  /** Of the last of them; `start` is of the first. */
  readonly end: number;
  readonly verdict: 'deny';
  readonly enforced: true;
  /** How many; at least 1. None of them has a record of its own. */
  readonly count: number;
}

export type AnyRecord = FlowRecord | DnsRecord | SuppressedRecord;
