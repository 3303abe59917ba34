import {
  type DomainName,
  domainPatternMatches,
  pathPatternMatches,
  type UrlPattern,
  urlPatternMatches,
} from '@cofferdam/net';
import type { Fact, Facts, RequestFacts } from '@cofferdam/verdict';
import { type Flow, listsAlone, type PreparedRule, type Web } from './evaluate-prepare.ts';
import { agentMatches, destinationMatches } from './resolve.ts';

/**
 * The conditions of one rule, each judged by itself: a known fact contradicts it (`no`), satisfies it (`yes`), or it
 * waits for a fact: for one that may still come, or for ever for one that came and cannot be read.
 */
export type Standing = 'yes' | 'no' | Waiting;

export interface Waiting {
  readonly on: 'tls' | 'name' | 'request' | 'mcp';
  readonly forever: boolean;
}

export type Condition = 'from' | 'to' | 'protocol' | 'ports' | 'tls' | 'web' | 'http' | 'mcp';

/**
 * How a fact is taken that cannot be read. `strict`: the rule waits for it for ever, which denies. `lenient`, for
 * monitored agents: it fails permits and satisfies denials, and the walk goes on.
 */
export type Reading = 'strict' | 'lenient';

const waiting = (on: Waiting['on'], forever: boolean): Waiting => ({ on, forever });

const yesIf = (holds: boolean): Standing => (holds ? 'yes' : 'no');

/** What a fact that is not known means to a rule that needs it. */
const notKnown = (
  state: 'unknown' | 'absent' | 'unreadable',
  on: Waiting['on'],
  action: 'permit' | 'deny',
  reading: Reading,
): Standing => {
  if (state === 'unknown') return waiting(on, false);
  if (state === 'unreadable' && reading === 'strict') return waiting(on, true);
  return action === 'permit' ? 'no' : 'yes';
};

const from = ({ from: groups }: PreparedRule, { source }: Flow): Standing =>
  yesIf(groups.some((members) => agentMatches(members, source)));

/** In own mode the name that is still to come says where a rule with `web` leads: `web` waits for both. */
const waitsForAddress = ({ web }: PreparedRule, { facts, dnsMode }: Flow): boolean =>
  web !== undefined && dnsMode === 'own' && facts.protocol === 'tcp' && facts.claimedName.state === 'unknown';

const to = (prepared: PreparedRule, flow: Flow): Standing =>
  yesIf(
    waitsForAddress(prepared, flow) ||
      destinationMatches(prepared.to, flow.destination, prepared.rule.action, flow.gatewayKeys),
  );

export const isQuic = (facts: Facts): boolean => facts.protocol === 'udp' && facts.destinationPort === 443;

/** UDP/443 passes only by a rule that cannot mean anything else. */
const permitsQuic = ({ rule }: PreparedRule): boolean =>
  rule.protocol === 'udp' && listsAlone(rule, 443) && rule.web === undefined;

const protocol = (prepared: PreparedRule, { facts }: Flow): Standing => {
  const { rule } = prepared;
  if (rule.protocol !== 'any' && rule.protocol !== facts.protocol) return 'no';
  return yesIf(rule.action === 'deny' || !isQuic(facts) || permitsQuic(prepared));
};

const ports = ({ rule }: PreparedRule, { facts }: Flow): Standing => {
  if (rule.ports === undefined) return 'yes';
  const port = facts.destinationPort;
  return yesIf(port !== undefined && rule.ports.some((range) => range.first <= port && port <= range.last));
};

const tls = ({ rule }: PreparedRule, { facts }: Flow, reading: Reading): Standing => {
  if (rule.tls === 'either') return 'yes';
  if (facts.protocol !== 'tcp') return 'no';
  const { state } = facts.tls;
  if (state === 'known') return yesIf(rule.tls === 'required');
  if (state === 'absent') return yesIf(rule.tls === 'absent');
  return notKnown(state, 'tls', rule.action, reading);
};

const namesMatch = (web: Web, names: readonly DomainName[]): boolean =>
  names.some((name) => web.any || web.domains.some((pattern) => domainPatternMatches(pattern, name)));

const urlsOnHosts = (web: Web, names: readonly DomainName[]): readonly UrlPattern[] =>
  web.urls.filter((url) => names.some((name) => domainPatternMatches(url.host, name)));

/** By names that are known: a domain, or the host of a URL and then the request. */
const webOfNames = (web: Web, { facts }: Flow, names: readonly DomainName[], reading: Reading): Standing => {
  if (namesMatch(web, names)) return 'yes';
  const urls = urlsOnHosts(web, names);
  if (urls.length === 0 || facts.protocol !== 'tcp') return 'no';
  if (facts.request.state !== 'known') return notKnown(facts.request.state, 'request', 'permit', reading);
  const request = facts.request.value;
  return yesIf(urls.some((url) => urlPatternMatches(url, request)));
};

/** In track mode: the claimed name, where it is one of those that the agent was given the address for. */
const permitWebByClaim = (web: Web, flow: Flow, reading: Reading): Standing => {
  const { protocol, addressNames, claimedName, tls: hello, request } = flow.facts;
  if (protocol !== 'tcp') return 'no';
  if (!namesMatch(web, addressNames) && urlsOnHosts(web, addressNames).length === 0) return 'no';
  switch (claimedName.state) {
    case 'known':
      return addressNames.includes(claimedName.value) ? webOfNames(web, flow, [claimedName.value], reading) : 'no';
    case 'absent':
      return yesIf(web.any && (hello.state === 'known' || request.state === 'known'));
    default:
      return notKnown(claimedName.state, 'name', 'permit', reading);
  }
};

/**
 * Where an address stands for one name, a permit's `web` looks at that alone, and the claimed name is bound to it after the walk. In own mode
 * there is none before one was claimed.
 */
const permitWeb = (web: Web, flow: Flow, reading: Reading): Standing => {
  const { facts, dnsMode } = flow;
  if (dnsMode === 'track') return permitWebByClaim(web, flow, reading);
  const { state } = facts.claimedName;
  const isUnread = state === 'unknown' || (state === 'unreadable' && facts.addressNames.length === 0);
  if (dnsMode === 'own' && facts.protocol === 'tcp' && isUnread) return notKnown(state, 'name', 'permit', reading);
  return webOfNames(web, flow, facts.addressNames, reading);
};

/** One of the URL patterns is this request, by whichever of the flow's names. */
const urlDenies = (urls: readonly UrlPattern[], names: readonly DomainName[], request: RequestFacts): boolean =>
  urls.some((url) => names.some((host) => urlPatternMatches(url, { ...request, host })));

/** With neither an address name nor a claimed one, a denial by name matches whatever is TLS or HTTP. */
const isNamelessWeb = ({ addressNames, tls: hello, plainHttpSeen, request }: Facts): boolean =>
  addressNames.length === 0 && (hello.state === 'known' || plainHttpSeen || request.state === 'known');

/** A claimed name that is an address name takes the others' place. */
const namesDenied = ({ addressNames, claimedName }: Facts): readonly DomainName[] => {
  if (claimedName.state !== 'known') return addressNames;
  return addressNames.includes(claimedName.value) ? [claimedName.value] : [...addressNames, claimedName.value];
};

/** Before a claimed name takes the others' place, address names decide only where they agree. */
const isSettledEarly = (web: Web, { addressNames }: Facts): boolean =>
  addressNames.length > 0 && addressNames.every((name) => namesMatch(web, [name]));

const denyWeb = (web: Web, { facts, dnsMode }: Flow, reading: Reading): Standing => {
  const { addressNames, claimedName, request } = facts;
  if (facts.protocol !== 'tcp')
    return yesIf(namesMatch(web, addressNames) || urlsOnHosts(web, addressNames).length > 0);
  const isUnread = claimedName.state === 'unknown' || claimedName.state === 'unreadable';
  if (dnsMode === 'track' && isUnread)
    return isSettledEarly(web, facts) ? 'yes' : notKnown(claimedName.state, 'name', 'deny', reading);
  if (dnsMode === 'own' && claimedName.state === 'unknown') return notKnown('unknown', 'name', 'deny', reading);
  const names = namesDenied(facts);
  if (namesMatch(web, names)) return 'yes';
  const urls = urlsOnHosts(web, names);
  const byUrl: Standing =
    urls.length === 0
      ? 'no'
      : request.state === 'known'
        ? yesIf(urlDenies(urls, names, request.value))
        : notKnown(request.state, 'request', 'deny', reading);
  if (byUrl === 'yes') return 'yes';
  if (claimedName.state === 'unreadable' && reading === 'lenient') return 'yes';
  // The host matched: the request, once it is read, may decide whatever becomes of the claimed name.
  if (byUrl !== 'no') return byUrl;
  if (isUnread) return notKnown(claimedName.state, 'name', 'deny', reading);
  return yesIf(claimedName.state === 'absent' && isNamelessWeb(facts));
};

const web = (prepared: PreparedRule, flow: Flow, reading: Reading): Standing => {
  if (prepared.web === undefined) return 'yes';
  return prepared.rule.action === 'permit'
    ? permitWeb(prepared.web, flow, reading)
    : denyWeb(prepared.web, flow, reading);
};

const http = ({ rule }: PreparedRule, { facts }: Flow, reading: Reading): Standing => {
  if (rule.http === undefined) return 'yes';
  if (facts.protocol !== 'tcp') return 'no';
  if (facts.request.state !== 'known') return notKnown(facts.request.state, 'request', rule.action, reading);
  const { methods, paths } = rule.http;
  const { method, path } = facts.request.value;
  return yesIf(
    (methods === undefined || methods.includes(method)) &&
      (paths === undefined || paths.some((pattern) => pathPatternMatches(pattern, path))),
  );
};

const mcp = ({ rule }: PreparedRule, { facts }: Flow, reading: Reading): Standing => {
  if (rule.mcp === undefined) return 'yes';
  if (facts.protocol !== 'tcp') return 'no';
  const call = facts.mcp;
  if (call.state === 'known') {
    const { methods, tools } = rule.mcp;
    const { method, tool } = call.value;
    return yesIf(
      (methods === undefined || methods.includes(method)) &&
        (tools === undefined || (tool !== undefined && tools.includes(tool))),
    );
  }
  // A denial matches a body that is no JSON-RPC and a flow that is no HTTP, but not a request that has no body.
  if (rule.action === 'deny' && call.state === 'unreadable') return 'yes';
  if (rule.action === 'deny' && call.state === 'absent') return yesIf(!isKnown(facts.request));
  return notKnown(call.state, 'mcp', rule.action, reading);
};

const isKnown = <T>(fact: Fact<T>): boolean => fact.state === 'known';

type Judge = (prepared: PreparedRule, flow: Flow, reading: Reading) => Standing;

/** Packet facts first, since most rules are contradicted by them. The order is also that of what `explain` mentions. */
const judges: readonly (readonly [Condition, Judge])[] = [
  ['from', from],
  ['protocol', protocol],
  ['ports', ports],
  ['to', to],
  ['tls', tls],
  ['web', web],
  ['http', http],
  ['mcp', mcp],
];

/** How a whole rule stands: the first condition that contradicts it, else all those that still wait. None: satisfied. */
export type RuleStanding =
  | { readonly kind: 'contradicted'; readonly by: Condition }
  | { readonly kind: 'satisfied' }
  | { readonly kind: 'waits'; readonly for: readonly Waiting[] };

export const standingOf = (prepared: PreparedRule, flow: Flow, reading: Reading): RuleStanding => {
  const waits: Waiting[] = [];
  for (const [condition, judge] of judges) {
    const standing = judge(prepared, flow, reading);
    if (standing === 'no') return { kind: 'contradicted', by: condition };
    if (standing !== 'yes') waits.push(standing);
  }
  return waits.length === 0 ? { kind: 'satisfied' } : { kind: 'waits', for: waits };
};
