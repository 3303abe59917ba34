import type { Quotas } from '@cofferdam/datapath';
import type { RulesReport } from '@cofferdam/flows';
import type { DnsMode } from '@cofferdam/plan';
import type { Reason, Verdict } from '@cofferdam/verdict';
import type { AgentStatus } from './status-agents.ts';
import type { TableFill } from './status-tables.ts';

/** Everything that is known of a gateway at a moment. Times are milliseconds since the epoch. */
export interface StatusReport {
  readonly gateway: string;
  readonly at: number;
  /** When this process took the gateway over: what it counts itself begins then. */
  readonly since: number;
  readonly plan: {
    readonly revision: number;
    readonly hash: string;
    /** Where names come from. */
    readonly dnsMode: DnsMode;
    /** When it was put in force. */
    readonly since: number;
    readonly rules: number;
    /** Workloads that inventory knows. */
    readonly agents: number;
  };
  readonly tables: readonly TableFill[];
  /** 0: as much as there is. */
  readonly quotas: Quotas;
  /** All of them, in no order. */
  readonly agents: readonly AgentStatus[];
  /** Events of the kernel that there was no room for, so that their records are missing. */
  readonly eventsLost: number;
  /** Packets that took the fast path. */
  readonly fastPackets: number;
  readonly records: ReadonlyMap<string, number>;
  /** Denials that have no record of their own. */
  readonly suppressed: ReadonlyMap<Reason, number>;
  readonly drops: ReadonlyMap<Reason, bigint>;
  readonly proxied: readonly Decisions[];
  readonly questions: readonly Decisions[];
  readonly process: { readonly residentBytes: number; readonly cpuSeconds: number };
}

export interface Decisions {
  readonly verdict: Verdict;
  readonly reason: Reason;
  readonly count: number;
}

export type { RulesReport };
