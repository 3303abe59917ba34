import type { Reason } from '@cofferdam/verdict';

const permit = (lines: readonly string[]): string =>
  ['- name: allow-example', '  action: permit', '  from: [my-agents]', ...lines.map((line) => `  ${line}`)].join('\n');

/** What to write, for reasons that something written cures. */
export const reasonExamples: { readonly [Code in Reason]?: string } = {
  'no-rule': permit(['to: [public-internet]', 'web: [example]', 'protocol: tcp', 'ports: [443]', 'tls: required']),
  'no-permit-reachable': permit(['to: [public-internet]', 'web: [example]', 'protocol: tcp', 'ports: [443]']),
  'rule-denies': permit(['to: [public-internet]', 'web: [example]', 'protocol: tcp', 'ports: [443]']),
  quic: permit(['to: [public-internet]', 'protocol: udp', 'ports: [443]    # by itself, and without web']),
  monitored: 'kind: SmartGroup\nspec:\n  containment: enforce',
  'name-mismatch':
    'curl https://api.example.com\n# not: curl --connect-to api.example.com:443:other.example:443 https://api.example.com',
  'plain-http-unread': permit([
    'to: [public-internet]',
    'web: [example]',
    'protocol: tcp',
    'ports: [8080]',
    'tls: absent',
  ]),
  'would-need-opening': permit([
    'to: [public-internet]',
    'web: [example]    # a WebGroup with `domains`, not `urls`; and no `http` or `mcp`',
    'protocol: tcp',
    'ports: [443]',
  ]),
  'reserved-address':
    'kind: SmartGroup\nmetadata: { name: metadata-service }\nspec: { any: [{ cidr: 169.254.169.254/32 }] }    # think twice: it hands out credentials',
  'unknown-agent': 'kind: Inventory\nspec:\n  workloads:\n    - { name: coding-agent, addresses: [10.11.1.7] }',
  'dns-not-permitted': 'kind: WebGroup\nmetadata: { name: example }\nspec: { domains: [api.example.com] }',
  'dns-address-denied':
    'kind: SmartGroup\nmetadata: { name: database-subnets }\nspec: { any: [{ cidr: 10.30.0.0/16 }] }    # name it in `to` of the rule',
  'dns-budget':
    'kind: WebGroup\nspec: { domains: [api.example.com, cdn.example.com] }    # instead of "**.example.com"',
};
