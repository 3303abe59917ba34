import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { formatAddress } from '@cofferdam/net';
import { contextOf, hello, icmp, request, silent, tcp, udp } from '@cofferdam/testkit';
import { type Facts, type McpFacts, unreadable } from '@cofferdam/verdict';
import {
  explainWalk,
  finalDecision,
  formatDiagnostics,
  type PolicySet,
  type PolicySource,
  parsePolicy,
  wouldBe,
} from '../src/index.ts';

const folder = new URL('../../../examples/', import.meta.url);
const names = readdirSync(folder).filter((each) => each.endsWith('.yaml'));
const sourceOf = (file: string): PolicySource => ({ file, text: readFileSync(new URL(file, folder), 'utf8') });

const parsed = (sources: readonly PolicySource[]): PolicySet => {
  const { policy, diagnostics } = parsePolicy(sources);
  assert.equal(formatDiagnostics(diagnostics, { format: 'text' }), '');
  assert.ok(policy);
  return policy;
};

for (const name of names) test(`examples/${name} is valid and draws no warning`, () => void parsed([sourceOf(name)]));

test('all of them together are one policy, whose inventory has every agent', () => {
  const { smartGroups, inventory } = parsed(names.map(sourceOf));
  const known = new Set(inventory.map(({ name }) => name));
  for (const { any } of smartGroups.values())
    for (const selector of any)
      if (selector.kind === 'workload' && selector.agent !== undefined) assert.ok(known.has(selector.agent));
});

/** What an example is about: who connects where, and what becomes of it. */
interface Row {
  readonly agent: string;
  readonly flow: Facts;
  /** `permit RULE`, or `deny RULE REASON`. */
  readonly says: string;
}

const site = '93.184.215.14';
const web = (name: string, claimed = name, address = site): Facts =>
  tcp(`${address} port 443`, { named: name, ...hello(claimed) });
const plain = (name: string, line: string, address: string): Facts =>
  tcp(`${address} port 80`, { named: name, ...request(line) });
/** In TLS that was opened. */
const read = (line: string, mcp?: McpFacts): Facts =>
  tcp(`${site} port 443`, { named: new URL(line.split(' ')[1]!).host, ...request(line, mcp) });
const called = (method: string, tool?: string): Facts =>
  read('POST https://api.githubcopilot.com/mcp/', { method, ...(tool === undefined ? {} : { tool }) });
const row = (agent: string, flow: Facts, says: string): Row => ({ agent, flow, says });

const denied = 'deny default no-rule';
const database = '10.20.0.10';
const worker = '10.12.1.11';
const tools = '10.12.2.11';
const night = Date.parse('2026-06-10T22:30:00Z');

const rows: Readonly<Record<string, readonly Row[]>> = {
  'claude-code': [
    row('claude-code', web('api.anthropic.com'), 'permit model'),
    row('claude-code', web('platform.claude.com'), 'permit sign-in'),
    row('claude-code', web('registry.npmjs.org'), 'permit project'),
    row('claude-code', web('statsig.anthropic.com'), denied),
    row('claude-code', web('gist.github.com'), denied),
    row('claude-code', web('api.anthropic.com', 'statsig.anthropic.com'), 'deny model name-mismatch'),
    row('claude-code', web('api.anthropic.com', 'api.anthropic.com', '10.20.0.10'), denied),
    row('claude-code', plain('api.anthropic.com', 'GET http://api.anthropic.com/', site), denied),
  ],
  codex: [
    row('codex', web('api.openai.com'), 'permit model'),
    row('codex', web('chatgpt.com'), 'permit model'),
    row('codex', web('auth.openai.com'), 'permit sign-in'),
    row('codex', web('static.crates.io'), 'permit project'),
    row('codex', web('ab.chatgpt.com'), denied),
    row('codex', tcp('45.83.64.10 port 443', hello('api.openai.com')), denied),
  ],
  'copilot-cli': [
    row('copilot-cli', web('api.business.githubcopilot.com'), 'permit model'),
    row('copilot-cli', web('api.github.com'), 'permit github'),
    row('copilot-cli', web('api.individual.githubcopilot.com'), denied),
    row('copilot-cli', web('telemetry.business.githubcopilot.com'), denied),
    row('copilot-cli', web('copilot-telemetry.githubusercontent.com'), denied),
    row('copilot-cli', web('api.githubcopilot.com'), `${denied}, would permit github-mcp-server`),
  ],
  'browser-agent': [
    row('browser-agent', web('api.anthropic.com'), 'permit model'),
    row('browser-agent', web('upload.wikimedia.org'), 'permit sites'),
    row('browser-agent', web('clients2.google.com'), denied),
    row('browser-agent', udp(`${site} port 443`, { named: 'en.wikipedia.org' }), 'deny default quic'),
    row(
      'browser-agent',
      web('en.wikipedia.org', 'en.wikipedia.org', '169.254.169.254'),
      'deny default reserved-address',
    ),
    row('browser-agent', plain('en.wikipedia.org', 'GET http://en.wikipedia.org/', site), denied),
  ],
  'coding-agent': [
    row('coding-agent', web('api.github.com'), 'permit code'),
    row('coding-agent', web('files.pythonhosted.org'), 'permit packages'),
    row('coding-agent', web('gist.github.com'), denied),
  ],
  'python-data-agent': [
    row('python-data-agent', web('acme-datasets.s3.eu-west-1.amazonaws.com'), 'permit read-datasets'),
    row('python-data-agent', web('attacker-bucket.s3.eu-west-1.amazonaws.com'), denied),
    row('python-data-agent', web('data.gov.uk'), `${denied}, would permit read-open-data`),
  ],
  'git-over-ssh': [
    row('git-agent', tcp('140.82.121.4 port 22', { named: 'github.com', ...silent }), 'permit ssh'),
    row('git-agent', tcp('140.82.121.5 port 443', { named: 'ssh.github.com', ...silent }), 'permit ssh-on-443'),
    row('git-agent', web('ssh.github.com'), denied),
    row('git-agent', tcp('45.83.64.10 port 22', silent), denied),
  ],
  'database-client': [
    row(
      'database-client',
      tcp(`${database} port 3306`, { named: 'catalog.db.internal.example', ...silent }),
      'permit mysql',
    ),
    row('database-client', tcp(`${database} port 3306`, silent), denied),
    row('database-client', tcp(`${site} port 3306`, { named: 'catalog.db.internal.example', ...silent }), denied),
    row('database-client', tcp(`${database} port 6432`, { named: 'orders.db.internal.example', ...silent }), denied),
    row(
      'database-client',
      tcp(`${database} port 6432`, { named: 'orders.db.internal.example', ...silent, at: night }),
      'permit migrations',
    ),
  ],
  'mcp-server': [
    row('mcp-server', web('api.github.com'), 'permit issues'),
    row(
      'mcp-server',
      plain('wiki.internal.example', 'GET http://wiki.internal.example/pages/on-call', '10.20.0.20'),
      'permit read-handbook',
    ),
    row(
      'mcp-server',
      plain('wiki.internal.example', 'POST http://wiki.internal.example/pages/on-call', '10.20.0.20'),
      denied,
    ),
  ],
  'remote-tools': [
    row('issue-agent', read('GET https://api.github.com/repos/acme/shop/issues/7'), 'permit read-our-repositories'),
    row('issue-agent', read('GET https://api.github.com/repos/evil/drop'), denied),
    row('issue-agent', read('DELETE https://api.github.com/repos/acme/shop'), denied),
    row('issue-agent', called('tools/list'), 'permit tools-handshake'),
    row('issue-agent', called('tools/call', 'search_code'), 'permit tools-that-read'),
    row('issue-agent', called('tools/call', 'create_gist'), denied),
    row('issue-agent', read('GET https://api.githubcopilot.com/mcp/'), 'permit tools-session'),
    row(
      'issue-agent',
      { ...read('GET https://api.githubcopilot.com/mcp/'), mcp: unreadable },
      'deny no-call-elsewhere rule-denies',
    ),
    row('issue-agent', web('api.anthropic.com'), 'permit model'),
    row('issue-agent', web('gist.github.com'), denied),
  ],
  'langgraph-subnets': [
    row('worker-1', web('api.openai.com'), 'permit model'),
    row('worker-2', web('api.openai.com'), 'permit model'),
    row('worker-1', tcp(`${database} port 5432`, { named: 'checkpoints.db.internal.example' }), 'permit checkpoints'),
    row('worker-1', tcp('fd20::10 port 5432'), 'permit checkpoints'),
    // The spoke: another machine of it, and another port of this one.
    row('worker-1', tcp('10.20.0.20 port 5432'), denied),
    row('worker-1', tcp(`${database} port 22`), denied),
    // East and west.
    row('worker-1', tcp(`${tools} port 8443`), 'permit call-tools'),
    row('worker-1', tcp(`${tools} port 22`), denied),
    row('worker-1', icmp(tools), denied),
    row('tools-1', tcp(`${worker} port 8443`), denied),
    row('tools-1', tcp(`${database} port 5432`), denied),
    row('tools-1', web('en.wikipedia.org'), 'permit fetch'),
    row('tools-1', web('api.openai.com'), denied),
    row('worker-1', web('en.wikipedia.org'), denied),
    row('worker-1', web('api.smith.langchain.com'), `${denied}, would permit tracing`),
  ],
};

const factsOf = (policy: PolicySet, { agent, flow }: Row): Facts => {
  const workload = policy.inventory.find(({ name }) => name === agent);
  assert.ok(workload, `the inventory has no \`${agent}\``);
  const source = workload.addresses.find(({ family }) => family === flow.destination.family);
  assert.ok(source);
  return { ...flow, source, interface: workload.interface ?? '' };
};

/** `permit RULE` or `deny RULE REASON`, and what monitored rules would do where that is another thing. */
const verdictOf = (policy: PolicySet, facts: Facts): string => {
  const context = contextOf(policy);
  const { steps, decision } = explainWalk(policy, context, facts);
  if (decision.kind === 'undecided') return 'undecided';
  const ruleAt = (index: number | 'default'): string =>
    index === 'default' ? 'default' : policy.rulesets.flatMap(({ rules }) => rules)[index]!.name;
  // The last step is the one that decides, which is also how a reader of the explanation learns it.
  assert.equal(steps.at(-1)?.index, decision.rule);
  const { verdict, rule, reason } = decision;
  const own =
    verdict === 'permit' && reason === 'rule' ? `permit ${ruleAt(rule)}` : `${verdict} ${ruleAt(rule)} ${reason}`;
  const would = wouldBe(policy, context, facts);
  if (would === undefined || would === 'unknown' || (would.verdict === verdict && would.rule === rule)) return own;
  return `${own}, would ${would.verdict} ${ruleAt(would.rule)}`;
};

/** An example as it stands behind a gateway: with its own inventory, or with that of all examples. */
const example = (name: string): PolicySet => {
  const policy = parsed([sourceOf(`${name}.yaml`)]);
  return policy.inventory.length > 0
    ? policy
    : { ...policy, inventory: parsed([sourceOf('inventory.yaml')]).inventory };
};

const described = ({ agent, flow, says }: Row): string => {
  const { destination, destinationPort: port, addressNames, claimedName, protocol } = flow;
  const to = addressNames[0] ?? formatAddress(destination);
  const claim = claimedName.state === 'known' && claimedName.value !== to ? `, asking for ${claimedName.value}` : '';
  return `${agent} to ${to}${port === undefined ? '' : ` port ${port}`} (${protocol}${claim}): ${says}`;
};

for (const [name, list] of Object.entries(rows))
  describe(`examples/${name}.yaml`, () => {
    const policy = example(name);
    for (const each of list)
      test(described(each), () => assert.equal(verdictOf(policy, factsOf(policy, each)), each.says));
  });

test('every example has rows that permit and rows that deny', () => {
  const tried = [...Object.keys(rows), 'foundry-agents', 'inventory'].map((name) => `${name}.yaml`);
  assert.deepEqual(tried.sort(), [...names].sort());
  for (const list of Object.values(rows))
    for (const verdict of ['permit', 'deny']) assert.ok(list.some(({ says }) => says.startsWith(verdict)));
});

describe('examples/foundry-agents.yaml, from monitor to enforce', () => {
  const { text } = sourceOf('foundry-agents.yaml');
  const monitored = /^ +mode: monitor\n/m;
  const ids = [...text.matchAll(/- id: (foundry-\d)/g)].map(([, id]) => id);
  /** With the first rules promoted, as an operator does it: by removing a line each time. */
  const promoted = (rules: number): string => {
    let text = sourceOf('foundry-agents.yaml').text;
    for (let i = 0; i < rules; i += 1) text = text.replace(monitored, '');
    return text;
  };
  const of = (text: string): PolicySet => parsed([{ file: 'foundry-agents.yaml', text }]);
  const enforced = of(promoted(6).replace('containment: monitor', 'containment: enforce'));

  const agent = 'foundry-agents';
  const flows: readonly Row[] = [
    row(agent, tcp('203.0.113.7 port 443'), 'deny deny-threat-intel rule-denies'),
    row(agent, web('mcr.microsoft.com'), 'permit allow-aca-fqdn'),
    row(agent, web('acme.blob.core.windows.net'), 'permit allow-aca-fqdn'),
    row(agent, web('login.microsoftonline.com', 'evil.example'), 'deny allow-aca-fqdn name-mismatch'),
    row(agent, web('acme.azurecr.io', 'acme.azurecr.io', '192.0.2.130'), 'permit allow-aca-svctag'),
    row(agent, web('mcp.tools.example'), 'permit allow-tool-calls'),
    row(agent, web('attacker.example'), 'deny default-deny-internet rule-denies'),
    row(agent, tcp('45.83.64.10 port 22', silent), 'deny default-deny-internet rule-denies'),
    row(agent, tcp(`${database} port 5432`), 'deny deny-east-west rule-denies'),
    row(agent, icmp('10.50.0.1'), 'deny deny-east-west rule-denies'),
    row(agent, tcp('10.60.0.1 port 443'), denied),
  ];

  test('six rules in their order, all of them monitored', () => {
    assert.deepEqual(
      ids,
      [1, 2, 3, 4, 5, 6].map((number) => `foundry-${number}`),
    );
    const [ruleset] = of(text).rulesets;
    assert.deepEqual(
      ruleset!.rules.map(({ name, mode }) => `${name} ${mode}`),
      [
        'deny-threat-intel monitor',
        'allow-aca-fqdn monitor',
        'allow-aca-svctag monitor',
        'allow-tool-calls monitor',
        'default-deny-internet monitor',
        'deny-east-west monitor',
      ],
    );
  });

  for (const each of flows) {
    const facts = factsOf(enforced, each);
    test(`enforced, ${described(each)}`, () => assert.equal(verdictOf(enforced, facts), each.says));

    test(`on the way there the records foretell it: ${described(each)}`, () => {
      const final = finalDecision(enforced, contextOf(enforced), facts);
      const foretold = `${final.verdict} ${final.rule} ${final.reason}`;
      for (let rules = 0; rules <= 6; rules += 1) {
        const policy = of(promoted(rules));
        const context = contextOf(policy);
        const now = finalDecision(policy, context, facts);
        const would = wouldBe(policy, context, facts) ?? now;
        assert.ok(would !== 'unknown');
        assert.equal(`${would.verdict} ${would.rule} ${would.reason}`, foretold, `with ${rules} rules promoted`);
        // A rule that is not promoted yet denies nothing, and one that is denies already.
        const denies = final.verdict === 'deny' && final.rule !== 'default' && final.rule < rules;
        assert.equal(now.verdict, denies && final.reason === 'rule-denies' ? 'deny' : 'permit', `${rules} promoted`);
      }
    });
  }
});
