import type { DomainName } from '@cofferdam/net';
import { evaluatePrepared, finalDecisionPrepared, type Prepared } from '@cofferdam/policy';
import {
  absent,
  type Fact,
  type Facts,
  known,
  type McpFacts,
  type Path,
  type Reason,
  type RequestFacts,
  type RuleIndex,
  treatmentOf,
  unreadable,
  type Verdict,
} from '@cofferdam/verdict';

/** One strict request head, or what is none. */
export interface Asked {
  readonly request: Fact<RequestFacts>;
  readonly mcp: Fact<McpFacts>;
}

/** What both ends of a TCP flow do, whatever any policy says: the same bytes are read differently on the two paths. */
export type Conduct =
  /** Nobody says a word. */
  | { readonly kind: 'silent' }
  /** The server speaks first, and the client neither TLS nor HTTP after it. */
  | { readonly kind: 'server-first' }
  /** `inside`: what is read where it is opened. */
  | { readonly kind: 'tls'; readonly name: Fact<DomainName>; readonly inside: Asked }
  | { readonly kind: 'tls-unreadable' }
  | ({ readonly kind: 'http'; readonly host: Fact<DomainName> } & Asked)
  /** A lax server would take it for a request. */
  | { readonly kind: 'lax-http' }
  | { readonly kind: 'opaque' };

const noHttp = { request: absent, mcp: absent } as const;
const neither = { tls: absent, claimedName: absent } as const;

/** What is read of it on a path, by the end of its first words. What TLS hides comes after them. */
export const readOf = (conduct: Conduct, first: Facts, path: Path): Facts => {
  const onProxy = path === 'proxy';
  const facts = { ...first, path };
  switch (conduct.kind) {
    case 'silent':
      // The proxy waits for either end to close, and then knows that nothing will come.
      return onProxy ? { ...facts, ...neither, ...noHttp } : facts;
    case 'server-first':
    case 'opaque':
      return { ...facts, ...neither, ...(onProxy ? noHttp : {}) };
    case 'tls':
      return { ...facts, tls: known(true), claimedName: conduct.name };
    case 'tls-unreadable':
      return { ...facts, tls: unreadable, claimedName: unreadable };
    case 'http':
      return onProxy
        ? { ...facts, tls: absent, claimedName: conduct.host, request: conduct.request, mcp: conduct.mcp }
        : { ...facts, ...neither, plainHttpSeen: true };
    case 'lax-http':
      return onProxy
        ? { ...facts, tls: absent, claimedName: unreadable, request: unreadable, mcp: unreadable }
        : { ...facts, ...neither, plainHttpSeen: true };
  }
};

/** One flow, lived under one policy to its end. */
export interface Life {
  /** All that was read of it. A flow that is denied is read no further. */
  readonly facts: Facts;
  readonly verdict: Verdict;
  readonly rule: RuleIndex;
  readonly reason: Reason;
}

/** What a gateway with this policy would make of a flow. `first`: its facts at the first packet. */
export const live = (prepared: Prepared, first: Facts, conduct: Conduct): Life => {
  const { path: _none, ...packet } = first;
  const atPacket = evaluatePrepared(prepared, packet);
  const { path } = atPacket;
  if (first.protocol !== 'tcp' || (atPacket.kind === 'decided' && atPacket.verdict === 'deny')) {
    return ended(prepared, { ...packet, path });
  }
  const read = readOf(conduct, packet, path);
  if (conduct.kind !== 'tls') return ended(prepared, read);
  const atHello = evaluatePrepared(prepared, read);
  const treatment = treatmentOf(atHello, (rule) => prepared.rules[rule]!.rule.decrypt);
  if (treatment === 'inspect') return ended(prepared, { ...read, ...conduct.inside });
  const end = ended(prepared, read);
  return end.reason === 'undecided-closed' ? { ...end, reason: 'would-need-opening' } : end;
};

const ended = (prepared: Prepared, facts: Facts): Life => {
  const { verdict, rule, reason } = finalDecisionPrepared(prepared, facts);
  return { facts, verdict, rule, reason };
};
