import { type Address, formatAddress } from '@cofferdam/net';
import type { Reason } from '@cofferdam/verdict';
import type { AnyRecord, Endpoint, FlowRecord, RuleReference, WouldBeVerdict } from './record.ts';
import { sanitise } from './text.ts';

const withPort = (host: string, port: number | undefined): string =>
  port === undefined ? host : host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

export const addressText = (address: Address): string => formatAddress(address);

export const endpointText = (e: Endpoint): string => withPort(formatAddress(e.address), e.port);

export const agentText = (r: AnyRecord): string => {
  if (r.agent.name !== undefined) return sanitise(r.agent.name);
  return r.kind === 'suppressed' ? 'unknown' : formatAddress(r.source.address);
};

/** The name a flow is known by: the one its address stands for, else the one the client claimed. */
export const flowName = (r: FlowRecord): string | undefined =>
  r.addressNames[0] ?? (r.claimedName.state === 'known' ? r.claimedName.value : undefined);

/** Where the record points, as people say it: `api.github.com:443`, `10.0.0.7:22`, the DNS question, or how many it stands for. */
export const destinationText = (r: AnyRecord): string => {
  if (r.kind === 'suppressed') return `${r.count} more`;
  if (r.kind === 'dns') return r.name === '' ? '(unreadable question)' : `${sanitise(r.name)} ${sanitise(r.type)}`;
  const name = flowName(r);
  return sanitise(name === undefined ? endpointText(r.destination) : withPort(name, r.destination.port));
};

export const ruleText = (rule: RuleReference | undefined): string =>
  rule === undefined ? 'default' : sanitise(`${rule.ruleset}/${rule.name}`);

/** `GET /repos/acme`, `POST /mcp tools/call search_code`; empty where nothing of a request was read. */
export const requestText = (r: AnyRecord): string => {
  if (r.kind === 'dns' || r.kind === 'suppressed') return '';
  const http = r.request.state === 'known' ? `${r.request.value.method} ${r.request.value.path}` : '';
  const mcp = r.mcp.state === 'known' ? `${r.mcp.value.method} ${r.mcp.value.tool ?? ''}`.trim() : '';
  return sanitise([http, mcp].filter((part) => part !== '').join(' '));
};

/** A request with what came of it, `GET /repos/acme → 200`. What the gateway itself answers to a denied one says no more than the verdict. */
export const answeredText = (r: AnyRecord): string => {
  const request = requestText(r);
  if (request === '' || r.kind !== 'request' || r.status === undefined || r.verdict === 'deny') return request;
  return `${request} → ${r.status}`;
};

/** What the walk with everything enforced said; undefined where it was not asked, or could not say. */
export const wouldBeOf = (r: AnyRecord): Exclude<WouldBeVerdict, 'unknown'> | undefined =>
  r.kind === 'dns' || r.kind === 'suppressed' || r.wouldBe === 'unknown' ? undefined : r.wouldBe;

/** `permit`, `deny`, or `would-deny` where monitoring let pass what would have been denied. */
export const verdictText = (r: AnyRecord): 'permit' | 'deny' | 'would-deny' => {
  if (r.verdict === 'deny') return 'deny';
  const would = wouldBeOf(r);
  if (would !== undefined) return would.verdict === 'deny' ? 'would-deny' : 'permit';
  return r.enforced ? 'permit' : 'would-deny';
};

/** The rule and reason that matter to people: of the verdict, or of what would have been, where that was lifted. */
export const decisiveRule = (r: AnyRecord): RuleReference | undefined =>
  verdictText(r) === r.verdict && r.enforced ? r.rule : (wouldBeOf(r)?.rule ?? r.rule);
export const decisiveReason = (r: AnyRecord): Reason =>
  verdictText(r) === r.verdict && r.enforced ? r.reason : (wouldBeOf(r)?.reason ?? r.reason);

/** The name the client asked for, where it is none of those its address stands for. Sanitised. */
export const askedFor = (r: AnyRecord): string | undefined =>
  r.kind !== 'dns' &&
  r.kind !== 'suppressed' &&
  r.claimedName.state === 'known' &&
  r.addressNames.length > 0 &&
  !r.addressNames.includes(r.claimedName.value)
    ? sanitise(r.claimedName.value)
    : undefined;

/** Permitted, over, and nothing came back. Pings are not asked: many hosts never answer them. */
export const isUnanswered = (r: AnyRecord): boolean =>
  r.kind !== 'dns' &&
  r.kind !== 'suppressed' &&
  r.verdict === 'permit' &&
  r.end !== undefined &&
  (r.protocol === 'tcp' || r.protocol === 'udp') &&
  r.toAgent.bytes === 0n;

const quietCodes: ReadonlySet<string> = new Set(['', 'NOERROR', 'REFUSED']);

/** What else there is to see: another name that was asked for, an answer that never came, a DNS error. Often empty. */
export const remarkText = (r: AnyRecord): string => {
  if (r.kind === 'dns') return quietCodes.has(r.rcode) ? '' : sanitise(r.rcode);
  if (r.kind === 'suppressed') return 'too fast to be written one by one';
  const asked = askedFor(r);
  return [...(asked === undefined ? [] : [`asked for ${asked}`]), ...(isUnanswered(r) ? ['no answer'] : [])].join(', ');
};

/** Whether the default is what decided. Answers to DNS queries rest on no single rule, and suppressed denials on any: nothing is said of theirs. */
export const isByDefault = (r: AnyRecord): boolean =>
  r.kind !== 'suppressed' &&
  decisiveRule(r) === undefined &&
  (r.kind !== 'dns' || decisiveReason(r) === 'dns-not-permitted');

/** `ruleset/rule`, `default`, or empty where neither decided. */
export const deciderText = (r: AnyRecord): string => {
  const rule = decisiveRule(r);
  return rule !== undefined || isByDefault(r) ? ruleText(rule) : '';
};
