import type { Address, DomainName, DomainPattern, PathPattern, PortRange, Prefix, UrlPattern } from '@cofferdam/net';
import type { Decrypt } from '@cofferdam/verdict';

/**
 * The language as values: what a set of policy files says after it was parsed and validated. Everything here is plain,
 * readonly data; names of groups are still names, since the same set is resolved against different inventories.
 */

/** Where something was written. Lines and columns count from 1; a column counts UTF-16 code units. */
export interface Location {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type Containment = 'enforce' | 'monitor';

/** One alternative of a SmartGroup. The keys of a `workload` AND together; an absent key does not constrain. */
export type Selector =
  | {
      readonly kind: 'workload';
      readonly agent?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly kubernetes?: KubernetesSelector;
      readonly cloud?: CloudSelector;
    }
  | { readonly kind: 'cidr'; readonly prefix: Prefix }
  | { readonly kind: 'hostname'; readonly name: DomainName }
  | { readonly kind: 'external'; readonly feed: string; readonly service?: string };

export interface KubernetesSelector {
  readonly cluster: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface CloudSelector {
  readonly provider: 'azure' | 'aws' | 'gcp';
  readonly account: string;
  readonly region?: string;
  readonly network?: string;
  readonly subnet?: string;
  readonly tags?: Readonly<Record<string, string>>;
}

export interface SmartGroup {
  readonly name: string;
  /** Absent: nothing said, which counts as `enforce` only where no other group of the agent says `monitor`. */
  readonly containment?: Containment;
  readonly any: readonly Selector[];
  readonly location: Location;
}

export interface WebGroup {
  readonly name: string;
  readonly acknowledge: readonly 'shared-hosting'[];
  readonly domains: readonly DomainPattern[];
  readonly urls: readonly UrlPattern[];
  readonly location: Location;
}

/** Names that exist without being written. */
export const builtInSmartGroups = ['anywhere', 'private-networks', 'public-internet'] as const;
export const builtInWebGroups = ['any-web'] as const;

export type Tier = 'guardrail' | 'platform' | 'agent' | 'default';
export const tierOrder: readonly Tier[] = ['guardrail', 'platform', 'agent', 'default'];

export type Weekday = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun';

/** Daily hours in an IANA zone. `from` inclusive, `until` exclusive, minutes after midnight (until: 1..1440, smaller than or equal to `from` means past midnight). */
export interface Schedule {
  readonly timezone: string;
  readonly days: readonly Weekday[];
  readonly fromMinute: number;
  readonly untilMinute: number;
}

export interface Rule {
  /** Survives renaming; absent where none was written. */
  readonly id?: string;
  readonly name: string;
  readonly action: 'permit' | 'deny';
  readonly mode: 'enforce' | 'monitor' | 'disabled';
  /** Names of SmartGroups; never empty. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** Names of WebGroups; absent: the rule does not look at names. Never empty. */
  readonly web?: readonly string[];
  /** WebGroups whose names are resolvable through this rule though it does not match on them. */
  readonly resolve?: readonly string[];
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'any';
  /** Absent: all ports. A port written by itself is a range whose ends are equal. Never empty. */
  readonly ports?: readonly PortRange[];
  readonly tls: 'required' | 'absent' | 'either';
  readonly decrypt: Decrypt;
  /** `refuse`: a flow this permit decides may not carry an Encrypted ClientHello. Absent: nothing said, which allows it. */
  readonly ech?: 'refuse' | 'allow';
  readonly http?: {
    readonly methods?: readonly string[];
    readonly paths?: readonly PathPattern[];
    /** Absent: `deny`. */
    readonly websocket?: 'deny' | 'allow';
  };
  readonly mcp?: { readonly methods?: readonly string[]; readonly tools?: readonly string[] };
  readonly schedule?: Schedule;
  /** Milliseconds since the epoch; the rule is out of the walk from then on. */
  readonly expires?: number;
  readonly log: 'start' | 'end' | 'both' | 'none';
  readonly onDeny: 'reject' | 'drop';
  readonly location: Location;
}

export interface Ruleset {
  readonly name: string;
  readonly tier: Tier;
  /** Smaller runs earlier. */
  readonly priority: number;
  readonly owner?: string;
  readonly rules: readonly Rule[];
  readonly location: Location;
}

/** A workload of the inventory. Addresses may be of both families. */
export interface Workload {
  readonly name: string;
  readonly addresses: readonly Address[];
  /** The gateway's interface behind which it lives; absent: any agent interface. */
  readonly interface?: string;
  /** Lower-case, colon-separated; absent: not checked. */
  readonly mac?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kubernetes?: {
    readonly cluster: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly cloud?: {
    readonly provider: string;
    readonly account: string;
    readonly region?: string;
    readonly network?: string;
    readonly subnet?: string;
    readonly tags: Readonly<Record<string, string>>;
  };
}

/** A whole, validated set of policy. `rulesets` are in the order of the walk: tier, priority, owner, name. */
export interface PolicySet {
  readonly smartGroups: ReadonlyMap<string, SmartGroup>;
  readonly webGroups: ReadonlyMap<string, WebGroup>;
  readonly rulesets: readonly Ruleset[];
  readonly inventory: readonly Workload[];
}

/** What deciding needs beside the policy: who exists, what resolved to what, how names are learnt. */
export interface EvaluationContext {
  /** Inventory of the gateway; replaces the set's own where the gateway was given one. */
  readonly workloads: readonly Workload[];
  /** Addresses last resolved for the hostnames that SmartGroups name. Absent name: resolved to nothing. */
  readonly resolved: ReadonlyMap<DomainName, readonly Address[]>;
  readonly dnsMode: 'synthetic' | 'track' | 'own';
  /** Every address of the gateway itself, and its synthetic pools' own addresses. */
  readonly gatewayAddresses: readonly Address[];
  /** `run --monitor`: every enforced rule and the containment count as monitored. */
  readonly monitor: boolean;
}
