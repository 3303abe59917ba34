import type { Address, DomainName } from '@cofferdam/net';

/**
 * One thing that may be known of a flow.
 * - `unknown`: not yet read; it may still come.
 * - `absent`: it will never come (no TLS, no HTTP, no name).
 * - `unreadable`: it came, and cannot be trusted: malformed, over limits, sent twice, changed on retransmission.
 */
export type Fact<T> =
  | { readonly state: 'unknown' }
  | { readonly state: 'absent' }
  | { readonly state: 'unreadable' }
  | { readonly state: 'known'; readonly value: T };

export const unknown: Fact<never> = { state: 'unknown' };
export const absent: Fact<never> = { state: 'absent' };
export const unreadable: Fact<never> = { state: 'unreadable' };
export const known = <T>(value: T): Fact<T> => ({ state: 'known', value });

export type FlowProtocol = 'tcp' | 'udp' | 'icmp';
export type Stage = 'packet' | 'name' | 'request';
/** Which part of the gateway holds the flow; fixed at its first packet. */
export type Path = 'kernel' | 'proxy';

export interface RequestFacts {
  /** Upper-case token as sent. */
  readonly method: string;
  readonly scheme: 'http' | 'https';
  /** The authority's host, canonical. */
  readonly host: DomainName;
  /** Canonical path: percent-decoded, dot-segment-free, slash-collapsed; begins with `/`; no query. */
  readonly path: string;
}

export interface McpFacts {
  readonly method: string;
  /** The tool of a `tools/call`; absent for other methods. */
  readonly tool?: string;
}

/** What is known of one flow so far. Times are milliseconds since the epoch. */
export interface Facts {
  readonly at: number;
  readonly source: Address;
  readonly interface: string;
  readonly protocol: FlowProtocol;
  /** The address that is really dialled, never the synthetic one. */
  readonly destination: Address;
  /** 0 to 65535 for tcp and udp; absent for icmp. */
  readonly destinationPort?: number;
  /** The names the dialled address stands for: none or one in synthetic mode, a set in track mode. */
  readonly addressNames: readonly DomainName[];
  /**
   * What holds the flow. On the kernel path requests are never read. `undefined` while it is not fixed yet, which is
   * only so at a flow's first packet.
   */
  readonly path?: Path;
  /** Known: a ClientHello was seen, whether or not it could be read. */
  readonly tls: Fact<true>;
  /** SNI, HTTP Host or `:authority`. */
  readonly claimedName: Fact<DomainName>;
  /** True where a recognisable plain HTTP request line was seen on the kernel path, which reads no more of it. */
  readonly plainHttpSeen: boolean;
  readonly request: Fact<RequestFacts>;
  readonly mcp: Fact<McpFacts>;
}

const neverRead = <T>(fact: Fact<T>): Fact<T> => (fact.state === 'unknown' ? unreadable : fact);

/** The facts of a flow that goes on though nobody reads any more of it: what is not known of it yet counts as unreadable. */
export const leftUnread = (facts: Facts): Facts => ({
  ...facts,
  tls: neverRead(facts.tls),
  claimedName: neverRead(facts.claimedName),
  request: neverRead(facts.request),
  mcp: neverRead(facts.mcp),
});
