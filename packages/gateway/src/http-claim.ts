import { type Address, authorityName, type DomainName, formatAddress } from '@cofferdam/net';
import { absent, type Fact, type Facts, known, type RequestFacts, unknown, unreadable } from '@cofferdam/verdict';
import type { RequestHead } from '@cofferdam/wire';
import type { Gate } from './gate.ts';
import { pathOf } from './http-head-text.ts';
import { denial, denialUnread, judgeTunnel, type Settled } from './judgement.ts';
import { mayCall } from './mcp-calls.ts';

/** What one request says, as facts, and the name it is forwarded under. */
export interface ReadRequest {
  readonly facts: Pick<Facts, 'tls' | 'claimedName' | 'request' | 'mcp'>;
  readonly path: string | undefined;
  readonly name: DomainName | undefined;
  /** Known before policy is asked: a denial that holds whatever the rules say. */
  readonly denied: 'authority-mismatch' | 'request-unreadable' | undefined;
}

const authorityOf = (head: RequestHead): string | undefined =>
  head.target.form === 'absolute' ? head.target.authority : head.host;

/** What TLS hides is known to be TLS by then. */
export const schemeOf = ({ tls }: Facts): Scheme => (tls.state === 'known' ? 'https' : 'http');

const claimedNameOf = (head: RequestHead, facts: Facts, written: Address): Fact<DomainName> => {
  const authority = authorityOf(head);
  if (authority === undefined) return absent;
  const read = authorityName(authority, facts.destinationPort ?? defaultPort[schemeOf(facts)], written);
  return read.kind === 'name' ? known(read.name) : read.kind === 'address' ? absent : unreadable;
};

/** As it is written in the request that is forwarded. Undefined: as it came. */
export const authorityFor = (
  name: DomainName | undefined,
  scheme: Scheme,
  port: number | undefined,
): string | undefined =>
  name === undefined || port === undefined || port === defaultPort[scheme] ? name : `${name}:${port}`;

/** `Upgrade: h2c` and CONNECT lead out of what is read here; a URL of another scheme is for another port. */
const isRefused = (head: RequestHead, scheme: Scheme): boolean =>
  head.upgradeToH2c || head.method === 'CONNECT' || (head.target.form === 'absolute' && head.target.scheme !== scheme);

/** A literal is no domain name; as a host it stands here as text that no pattern matches. */
const literal = ({ destination }: Facts): DomainName => formatAddress(destination) as DomainName;

/** How a request is written where it comes from. */
export type Scheme = 'http' | 'https';

const defaultPort: Readonly<Record<Scheme, number>> = { http: 80, https: 443 };

/**
 * Reads the head of a request, whose scheme the facts say: inside TLS or not. `facts`: of the flow so far; `written`: the address that the client connected to; `first`: what the first request of
 * the connection claimed.
 */
export const readRequest = (
  head: RequestHead,
  facts: Facts,
  written: Address,
  first: Fact<DomainName> | undefined,
): ReadRequest => {
  const scheme = schemeOf(facts);
  const claimedName = claimedNameOf(head, facts, written);
  const path = pathOf(head);
  const name = claimedName.state === 'known' ? claimedName.value : undefined;
  const [only, ...others] = facts.addressNames;
  const host = name ?? (others.length === 0 ? only : undefined) ?? literal(facts);
  const request: Fact<RequestFacts> =
    path === undefined ? unreadable : known({ method: head.method, scheme, host, path });
  const changed =
    first !== undefined && (first.state !== claimedName.state || (first.state === 'known' && first.value !== name));
  return {
    facts: {
      tls: scheme === 'https' ? known(true) : absent,
      claimedName,
      request,
      mcp: head.framing.kind === 'none' ? absent : mayCall(head) ? unknown : unreadable,
    },
    path,
    name,
    denied: isRefused(head, scheme)
      ? 'request-unreadable'
      : !head.authoritiesAgree || changed
        ? 'authority-mismatch'
        : undefined,
  };
};

/** Nothing in its head denies it before the calls in its body are read. */
export const mayReadCalls = (head: RequestHead, read: ReadRequest): boolean =>
  read.denied === undefined && !head.upgrade.includes('websocket');

/** What becomes of a request. `unread`: what is not known of the flow any more where it passes. */
export interface SettledRequest {
  readonly judgement: Settled;
  readonly unread?: Partial<Facts>;
  /** Where it passes nothing is read after it. */
  readonly isTunnel?: true;
}

/** Which of several authorities a server goes by is not for us to say. */
const misread = { claimedName: unreadable, request: unreadable, mcp: unreadable } as const;

/** Of a request that the walk judged as `walked`, by `facts`. */
export const settleRequest = (
  head: RequestHead,
  read: ReadRequest,
  walked: Settled,
  gate: Gate,
  facts: Facts,
): SettledRequest => {
  if (walked.kind === 'deny') return { judgement: walked };
  const unreadFor = (unread: Partial<Facts>, reason: Settled['reason']): SettledRequest => ({
    judgement: denialUnread(gate, { ...facts, ...unread }, { rule: walked.rule, stage: 'request', reason }),
    unread,
  });
  if (read.denied === 'authority-mismatch') return unreadFor(misread, read.denied);
  // CONNECT and h2c are never lifted: what would pass then is a tunnel to wherever the server goes.
  if (read.denied !== undefined) return { judgement: denial(walked.rule, 'request', read.denied) };
  if (!head.upgrade.includes('websocket')) return { judgement: walked };
  return { judgement: judgeTunnel(gate, facts, walked), isTunnel: true };
};
