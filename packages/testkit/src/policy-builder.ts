import type {
  Containment,
  EvaluationContext,
  PolicySet,
  Rule,
  Ruleset,
  Selector,
  SmartGroup,
  Tier,
  WebGroup,
  Workload,
} from '@cofferdam/policy';
import { absent, type Facts, known, type McpFacts, type RequestFacts, unknown } from '@cofferdam/verdict';
import { address, domain, generated, name, path, portRange, prefix, url } from './vocabulary.ts';

/** Short ways to write policies and flows in tests: a row of a table says what matters and nothing else. */

/** `cidr:10.0.0.0/8`, `host:db.example`, `agent:NAME`, `feed:NAME`, or `label:KEY=VALUE`. */
export const selector = (text: string): Selector => {
  const [kind, value] = [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)];
  if (kind === 'cidr') return { kind: 'cidr', prefix: prefix(value) };
  if (kind === 'host') return { kind: 'hostname', name: name(value) };
  if (kind === 'agent') return { kind: 'workload', agent: value };
  if (kind === 'feed') return { kind: 'external', feed: value };
  const [key, wanted] = value.split('=');
  return { kind: 'workload', labels: { [key ?? '']: wanted ?? '' } };
};

export const smartGroup = (groupName: string, any: readonly string[], containment?: Containment): SmartGroup => ({
  name: groupName,
  ...(containment === undefined ? {} : { containment }),
  any: any.map(selector),
  location: generated,
});

/** Domain patterns and URL patterns, told apart by `://`. */
export const webGroup = (groupName: string, patterns: readonly string[]): WebGroup => ({
  name: groupName,
  acknowledge: [],
  domains: patterns.filter((text) => !text.includes('://')).map(domain),
  urls: patterns.filter((text) => text.includes('://')).map(url),
  location: generated,
});

/** What a row says of a rule. What it leaves out: from and to `anywhere`, tcp, every port, enforced, for ever. */
export interface RuleWords extends Partial<Omit<Rule, 'ports' | 'http'>> {
  readonly ports?: readonly string[];
  readonly http?: { readonly methods?: readonly string[]; readonly paths?: readonly string[] };
}

const rule = (action: 'permit' | 'deny', { ports, http, ...words }: RuleWords = {}): Rule => ({
  name: action,
  action,
  mode: 'enforce',
  from: ['anywhere'],
  to: ['anywhere'],
  protocol: 'tcp',
  tls: 'either',
  decrypt: 'unspecified',
  log: 'both',
  onDeny: 'reject',
  location: generated,
  ...words,
  ...(ports === undefined ? {} : { ports: ports.map(portRange) }),
  ...(http === undefined ? {} : { http: { ...http, paths: http.paths?.map(path) } as NonNullable<Rule['http']> }),
});

export const permit = (words?: RuleWords): Rule => rule('permit', words);
export const deny = (words?: RuleWords): Rule => rule('deny', words);

export const ruleset = (rules: readonly Rule[], tier: Tier = 'agent', rulesetName = 'rules'): Ruleset => ({
  name: rulesetName,
  tier,
  priority: 100,
  rules,
  location: generated,
});

export const workload = (
  workloadName: string,
  addresses: readonly string[],
  more: Partial<Workload> = {},
): Workload => ({
  name: workloadName,
  addresses: addresses.map(address),
  labels: {},
  ...more,
});

/** The agent that flows come from where a row says nothing else. */
export const coder: Workload = workload('coder', ['10.11.1.7', 'fd11::7'], {
  interface: 'eth1',
  labels: { team: 'platform' },
});

export interface PolicyWords {
  readonly smart?: readonly SmartGroup[];
  readonly web?: readonly WebGroup[];
  readonly rulesets?: readonly Ruleset[];
  readonly inventory?: readonly Workload[];
}

/** A policy of one ruleset of these rules, or of the rulesets that `words` has; its inventory is {@link coder} alone unless said. */
export const policyOf = (rules: readonly Rule[], words: PolicyWords = {}): PolicySet => ({
  smartGroups: new Map((words.smart ?? []).map((group) => [group.name, group])),
  webGroups: new Map((words.web ?? []).map((group) => [group.name, group])),
  rulesets: words.rulesets ?? [ruleset(rules)],
  inventory: words.inventory ?? [coder],
});

export const contextOf = (policy: PolicySet, words: Partial<EvaluationContext> = {}): EvaluationContext => ({
  workloads: policy.inventory,
  resolved: new Map(),
  dnsMode: 'synthetic',
  gatewayAddresses: [address('10.11.1.1')],
  monitor: false,
  ...words,
});

/** 2026-06-10, a Wednesday, 09:00 UTC. */
export const wednesdayMorning = Date.parse('2026-06-10T09:00:00Z');

/** What a row says of a flow. `to` is `ADDRESS` or `ADDRESS port PORT`; `named` is what the address stands for. */
export interface FlowWords extends Partial<Omit<Facts, 'source'>> {
  readonly source?: string;
  readonly named?: string | readonly string[];
}

const flow = (protocol: Facts['protocol'], to: string, words: FlowWords): Facts => {
  const [destination, port] = to.split(' port ');
  const { source = '10.11.1.7', named = [], ...facts } = words;
  return {
    at: wednesdayMorning,
    source: address(source),
    interface: 'eth1',
    protocol,
    destination: address(destination ?? ''),
    ...(port === undefined ? {} : { destinationPort: Number(port) }),
    addressNames: (typeof named === 'string' ? [named] : named).map(name),
    tls: unknown,
    claimedName: unknown,
    plainHttpSeen: false,
    request: unknown,
    mcp: unknown,
    ...facts,
  };
};

export const tcp = (to: string, words: FlowWords = {}): Facts => flow('tcp', to, words);
export const udp = (to: string, words: FlowWords = {}): Facts => flow('udp', to, words);
export const icmp = (to: string, words: FlowWords = {}): Facts => flow('icmp', to, words);

/** A ClientHello that asks for a name. */
export const hello = (claimed: string): Pick<Facts, 'tls' | 'claimedName'> => ({
  tls: known(true),
  claimedName: known(name(claimed)),
});

/** A request that the proxy read, written as `GET https://host/path`. */
export const request = (
  line: string,
  mcp?: McpFacts,
): Pick<Facts, 'tls' | 'claimedName' | 'request' | 'mcp' | 'path'> => {
  const parts = /^([A-Z]+) (https?):\/\/([^/]+)(\/.*)$/.exec(line);
  if (parts === null) throw new Error(`\`${line}\` is not a request`);
  const [, method = '', scheme, host = '', requestPath = ''] = parts;
  const value: RequestFacts = {
    method,
    scheme: scheme === 'http' ? 'http' : 'https',
    host: name(host),
    path: requestPath,
  };
  return {
    path: 'proxy',
    tls: scheme === 'http' ? absent : known(true),
    claimedName: known(value.host),
    request: known(value),
    mcp: mcp === undefined ? absent : known(mcp),
  };
};

/** The client says nothing that is TLS or HTTP, or the server speaks first. */
export const silent: Pick<Facts, 'tls' | 'claimedName'> = { tls: absent, claimedName: absent };
