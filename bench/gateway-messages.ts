/** What the benchmark asks of a gateway in a process of its own, and what that answers. */

export type GatewayRequest =
  | { readonly ask: 'start'; readonly rules: number; readonly log: string }
  | { readonly ask: 'statistics' }
  | { readonly ask: 'memory' }
  | { readonly ask: 'flows' }
  /** Holds each agent to its share, as a gateway of a network does, or to none. */
  | { readonly ask: 'quotas'; readonly on: boolean }
  /** Compiles a plan and puts it in force. Without groups: the rules that are measured. */
  | { readonly ask: 'renew'; readonly rules: number; readonly groups?: number };

export interface ProgramStatistics {
  readonly nanoseconds: number;
  readonly runs: number;
}

/** Bytes. */
export interface GatewayMemory {
  /** Of the process. */
  readonly resident: number;
  /** Of that, what its objects take. */
  readonly heap: number;
  /** All tables of the kernel that it holds. */
  readonly maps: number;
  /** The one of live flows, which has all its room from the start, and how many it has room for. */
  readonly flowTable: number;
  readonly flowRoom: number;
}

export type GatewayAnswer =
  | { readonly kind: 'ready'; readonly namespace: string }
  | { readonly kind: 'done' }
  | { readonly kind: 'statistics'; readonly fromAgent: ProgramStatistics; readonly toAgent: ProgramStatistics }
  | { readonly kind: 'memory'; readonly memory: GatewayMemory }
  | { readonly kind: 'flows'; readonly count: number }
  /** Milliseconds. */
  | { readonly kind: 'renewed'; readonly compiled: number; readonly renewed: number; readonly switched: number }
  | { readonly kind: 'failed'; readonly because: string };
