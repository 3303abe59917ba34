import { type Address, formatAddress, isPublicInternet, wireName } from '@cofferdam/net';
import { type Reason, reasonEntry } from '@cofferdam/verdict';
import { decisiveReason, decisiveRule, verdictText } from './describe.ts';
import type { AnyRecord, DnsRecord, FlowRecord } from './record.ts';
import { sanitise } from './text.ts';

/**
 * What would permit the thing recorded.
 * `rule`: YAML to add; `documents` are the groups it names (may be empty), `rule` one item of a ruleset's `rules`.
 * `advice`: no rule would permit it, or the choice is not ours to make; one sentence.
 */
export type Hint =
  | { readonly kind: 'rule'; readonly documents: string; readonly rule: string; readonly note: string }
  | { readonly kind: 'advice'; readonly note: string };

export interface HintContext {
  /** A SmartGroup that holds the agent. */
  readonly group: string;
}

/** Denials that one more permit rule lifts. The others need another client, another address or another number. */
const curedByRule: ReadonlySet<Reason> = new Set<Reason>([
  'no-rule',
  'no-permit-reachable',
  'monitored',
  'rule-denies',
  'quic',
  'reserved-address',
  'plain-http-unread',
  'dns-not-permitted',
  'dns-address-denied',
]);

/** Every text is quoted: `1.e3` and `no` are host names and group names, but not to YAML. */
const quoted = (text: string): string => JSON.stringify(text);

const slug = (text: string): string => text.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');

const webGroup = (name: string): string =>
  `apiVersion: cofferdam.dev/v1\nkind: WebGroup\nmetadata: { name: ${quoted(slug(name))} }\nspec: { domains: [${quoted(name)}] }\n`;

const smartGroup = (group: string, address: Address): string =>
  `apiVersion: cofferdam.dev/v1\nkind: SmartGroup\nmetadata: { name: ${quoted(group)} }\nspec: { any: [{ cidr: ${quoted(formatAddress(address))} }] }\n`;

interface Wanted {
  readonly name: string | undefined;
  /** Undefined: the real address is not known; any address of the public internet will do. */
  readonly address: Address | undefined;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly port: number | undefined;
  /** Lines of the rule, of the one request that was denied. */
  readonly conditions: readonly string[];
}

/** The conditions of a rule that takes this request and no other, each as a line of YAML. Empty where none was read. */
export const requestConditions = (r: AnyRecord): readonly string[] => {
  if (r.kind === 'dns' || r.kind === 'suppressed' || r.request.state !== 'known') return [];
  const { method, path, scheme } = r.request.value;
  const methods = /^[A-Z]+$/.test(method) ? `methods: [${method}], ` : '';
  // In a pattern a plain star would take any text.
  const http = `http: { ${methods}paths: [${quoted(path.replaceAll('*', '%2A'))}] }`;
  const call = r.mcp.state === 'known' ? r.mcp.value : undefined;
  const tools = call?.tool === undefined ? '' : `, tools: [${quoted(call.tool)}]`;
  return [
    ...(scheme === 'http' ? ['tls: absent'] : []),
    http,
    ...(call === undefined ? [] : [`mcp: { methods: [${quoted(call.method)}]${tools} }`]),
  ];
};

const wantedOfFlow = (r: FlowRecord): Wanted | undefined => {
  if (r.protocol !== 'tcp' && r.protocol !== 'udp' && r.protocol !== 'icmp') return undefined;
  const reason = decisiveReason(r);
  // A name that was only claimed permits nothing: whoever connects could claim any.
  const name = reason === 'quic' ? undefined : r.addressNames[0];
  const conditions = requestConditions(r);
  const dialled = r.synthetic !== undefined && formatAddress(r.synthetic) === formatAddress(r.destination.address);
  return {
    name,
    address: dialled ? undefined : r.destination.address,
    protocol: r.protocol,
    port: r.destination.port,
    conditions: reason === 'plain-http-unread' && conditions.length === 0 ? ['tls: absent'] : conditions,
  };
};

const wantedOf = (r: AnyRecord): Wanted | undefined => {
  if (r.kind === 'suppressed') return undefined;
  if (r.kind !== 'dns') return wantedOfFlow(r);
  // The query does not say what comes after it; TLS is the likeliest, and the note says that it was assumed.
  if (wireName(r.name) !== r.name) return undefined;
  return { name: r.name, address: r.addresses[0], protocol: 'tcp', port: 443, conditions: [] };
};

const ruleFor = (wanted: Wanted, context: HintContext): { documents: string; rule: string } => {
  const { name, address, protocol, port } = wanted;
  const inPublic = address === undefined || isPublicInternet(address);
  const subject = name ?? (address === undefined ? 'anywhere' : formatAddress(address));
  const groups: string[] = [];
  if (name !== undefined) groups.push(webGroup(name));
  // A name must not be able to point at any address of the private network, so the one seen is written down.
  const pinned = address !== undefined && (name === undefined || !inPublic);
  const to = pinned ? `host-${slug(formatAddress(address))}` : 'public-internet';
  if (pinned) groups.push(smartGroup(to, address));
  const lines = [
    `- name: ${quoted(`allow-${slug(subject)}${port === undefined ? '' : `-${port}`}`)}`,
    '  action: permit',
    `  from: [${quoted(context.group)}]`,
    `  to: [${quoted(to)}]`,
    ...(name === undefined ? [] : [`  web: [${quoted(slug(name))}]`]),
    `  protocol: ${protocol}`,
    ...(port === undefined ? [] : [`  ports: [${port}]`]),
    ...wanted.conditions.map((line) => `  ${line}`),
  ];
  return { documents: groups.join('---\n'), rule: `${lines.join('\n')}\n` };
};

const noteFor = (r: AnyRecord): string => {
  if (r.kind === 'dns') return 'port 443 is assumed: a query does not say what follows it';
  const reason = decisiveReason(r);
  if (reason === 'rule-denies' || reason === 'no-permit-reachable') {
    const rule = decisiveRule(r);
    return rule === undefined ? '' : `place it above \`${rule.name}\` of ruleset \`${rule.ruleset}\`, which denies`;
  }
  return '';
};

/** A rule names it already; what is missing is where it leads. */
const addressAdvice = (r: DnsRecord): string => {
  const cidrs = r.addresses.map((a) => `\`cidr: ${formatAddress(a)}/${a.family === 4 ? 32 : 128}\``);
  const shown = cidrs.length > 3 ? `${cidrs.slice(0, 3).join(', ')} …` : cidrs.join(' or ');
  const add = `add a SmartGroup with ${shown} to the \`to\` of the rule that names \`${sanitise(r.name)}\``;
  return r.addresses.every(isPublicInternet)
    ? add
    : `${add}, if it belongs there: a public name that points at a private address is what DNS rebinding looks like`;
};

/** What to add to the policy to permit what `record` shows. Undefined: nothing stopped it. */
export const hint = (record: AnyRecord, context: HintContext): Hint | undefined => {
  if (verdictText(record) === 'permit') return undefined;
  const reason = decisiveReason(record);
  if (record.kind === 'dns' && reason === 'dns-address-denied' && record.addresses.length > 0)
    return { kind: 'advice', note: addressAdvice(record) };
  const wanted = curedByRule.has(reason) ? wantedOf(record) : undefined;
  if (wanted === undefined) {
    const { summary, help } = reasonEntry(reason);
    return { kind: 'advice', note: help === '' ? summary : help };
  }
  return { kind: 'rule', ...ruleFor(wanted, context), note: noteFor(record) };
};
