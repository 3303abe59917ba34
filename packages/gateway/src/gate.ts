import type { AgentIdentity, RuleReference } from '@cofferdam/flows';
import type { Address, DomainName, Family } from '@cofferdam/net';
import type { NameClass } from '@cofferdam/plan';
import type { Decision, Decrypt, Facts, RuleIndex, WouldBe } from '@cofferdam/verdict';

/** A rule as far as enforcing and recording need it. */
export interface GateRule {
  readonly reference: RuleReference;
  readonly action: 'permit' | 'deny';
  readonly log: 'start' | 'end' | 'both' | 'none';
  /** Has `http`, `mcp` or URL patterns: it permits requests, never bytes that are not read. */
  readonly readsRequests: boolean;
  /** Permits what passes in a WebSocket, which is no requests. */
  readonly permitsWebSocket: boolean;
  /** Permits no TLS with an encrypted ClientHello. */
  readonly refusesEch: boolean;
  readonly decrypt: Decrypt;
}

/** An agent at one of its addresses. */
export interface GateAgent {
  /** Inventory name; the key of quotas and budgets. */
  readonly name: string;
  readonly interface: string;
  readonly source: Address;
  readonly identity: AgentIdentity;
  /** Those of its addresses, on every interface. */
  readonly families: ReadonlySet<Family>;
  /** Its containment is monitored. What that means for a flow depends on its other end too: see `lifts`. */
  readonly monitored: boolean;
}

/** How policy comes to let a name be resolved. `lifted`: it does not, and monitoring lets it pass. */
export type NameGrant =
  | { readonly kind: 'none' }
  | { readonly kind: 'lifted' }
  /** Written out in full: asking for it tells nobody anything. */
  | { readonly kind: 'exact' }
  /** `suffix`: the fixed part of the pattern, without its leading dot; empty for any-web. */
  | { readonly kind: 'wildcard'; readonly suffix: string };

/**
 * What the gateway asks of the plan in force. Everything here is pure; a new plan is a new gate. There is one
 * implementation, {@link planGate}, and fakes in tests.
 */
export interface Gate {
  readonly revision: number;
  readonly commit?: string;
  /** Undefined: inventory gives this address to no workload of this interface. */
  readonly agentAt: (source: Address, onInterface: string) => GateAgent | undefined;
  readonly decide: (facts: Facts) => Decision;
  readonly wouldBe: (facts: Facts) => WouldBe | undefined;
  /** Denials that no rule makes are lifted for this flow: all that is contained at its ends is monitored. */
  readonly lifts: (facts: Facts) => boolean;
  readonly rule: (index: RuleIndex) => GateRule | undefined;
  readonly grantOf: (agent: GateAgent, name: DomainName, at: number) => NameGrant;
  readonly usableAddress: (agent: GateAgent, name: DomainName, address: Address, at: number) => boolean;
  readonly classesOf: (name: DomainName) => NameClass;
}

/** The gate now in force. Undefined: there is no plan, and everything is denied. */
export type CurrentGate = () => Gate | undefined;
