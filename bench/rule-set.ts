import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import { type DomainName, parseAddress, parseDomainPattern } from '@cofferdam/net';
import { type LoadedPlan, loadPlan } from '@cofferdam/plan';
import type { PolicySet, Rule, WebGroup } from '@cofferdam/policy';
import { agents, place, servicePorts } from './place.ts';

/**
 * The same rules in the languages of everybody who is compared. Rule i permits one service: a name, its address, TCP ports, and TLS
 * where a language knows of it. The service that is measured is the last: lists are walked to their end.
 */

const nameOf = (i: number, rules: number): string => (i === rules - 1 ? place.name : `service-${i}.bench.example`);
const addressOf = (i: number, rules: number): string =>
  i === rules - 1 ? place.service : `20.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
const each = <T>(rules: number, make: (i: number) => T): readonly T[] =>
  Array.from({ length: rules }, (_, i) => make(i));

export const namesOf = (rules: number): readonly string[] => each(rules, (i) => nameOf(i, rules));

const location = { file: 'bench', line: 1, column: 1 };

export const policyOf = (rules: number): PolicySet => {
  const web = (i: number): [string, WebGroup] => {
    const pattern = parseDomainPattern(nameOf(i, rules));
    if (!pattern.ok) throw new Error(pattern.error.message);
    return [`web-${i}`, { name: `web-${i}`, acknowledge: [], domains: [pattern.value], urls: [], location }];
  };
  const rule = (i: number): Rule => ({
    name: `rule-${i}`,
    action: 'permit',
    mode: 'enforce',
    from: ['agents'],
    to: ['public-internet'],
    web: [`web-${i}`],
    protocol: 'tcp',
    ports: [{ first: servicePorts.first, last: servicePorts.last }],
    tls: 'required',
    decrypt: 'unspecified',
    log: 'both',
    onDeny: 'reject',
    location,
  });
  const group = { name: 'agents', any: [{ kind: 'workload', labels: { team: 'bench' } }], location } as const;
  return {
    smartGroups: new Map([['agents', group]]),
    webGroups: new Map(each(rules, web)),
    rulesets: [{ name: 'bench', tier: 'agent', priority: 1, rules: each(rules, rule), location }],
    inventory: agents.map((address, i) => ({
      name: `agent-${i}`,
      addresses: [parseAddress(address)!],
      interface: place.agentInterface,
      labels: { team: 'bench' },
    })),
  };
};

const digest = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

export const planOf = (policy: PolicySet, revision: number): LoadedPlan => {
  const { plan, diagnostics } = compile(policy, {
    workloads: policy.inventory,
    resolved: new Map<DomainName, []>(),
    dnsMode: 'synthetic',
    gatewayAddresses: [parseAddress(place.gateway)!],
    monitor: false,
    at: Date.now(),
    revision,
    digest,
  });
  const error = diagnostics.find(({ severity }) => severity === 'error');
  if (error !== undefined) throw new Error(error.message);
  return loadPlan(plan);
};

const nftPorts = `${servicePorts.first}-${servicePorts.last}`;

/** What a filter of addresses on Linux looks like: tracked connections pass, a list of permits, the uplink's address outwards. */
const nftAround = (chains: string): string => `
table inet bench {
${chains}
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "${place.agentInterface}" oifname "${place.uplinkInterface}" jump rules
  }
  chain nat {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${place.uplinkInterface}" masquerade
  }
}
`;

/** No rules at all: what connection tracking and the translation of addresses cost. */
export const nftNat = nftAround('  chain rules { accept\n  }');

export const nftList = (rules: number): string => {
  const lines = each(rules, (i) => `    ip daddr ${addressOf(i, rules)} tcp dport ${nftPorts} accept`);
  return nftAround(`  chain rules {\n${lines.join('\n')}\n  }`);
};

export const nftSet = (rules: number): string => {
  const elements = each(rules, (i) => addressOf(i, rules)).join(', ');
  return nftAround(
    `  set services { type ipv4_addr; elements = { ${elements} }; }\n  chain rules { ip daddr @services tcp dport ${nftPorts} accept\n  }`,
  );
};

const haproxyPort = 10443;

/** Leads what agents send to HAProxy, as a gateway that filters by SNI has to. */
export const haproxyRedirect = `
table ip bench {
  chain to_haproxy {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "${place.agentInterface}" tcp dport ${nftPorts} redirect to :${haproxyPort}
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
  }
}
`;

/** `names`: a file of the permitted ones, which HAProxy keeps in a tree. A server without a port gets the one that the client dialled. */
export const haproxyConfiguration = (names: string): string => `
global
  maxconn 8000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend agents
  bind :${haproxyPort}
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_sni -m str -f ${names} }
  tcp-request content reject
  default_backend service
backend service
  server service ${place.service}
`;
