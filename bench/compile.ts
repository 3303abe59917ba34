import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import { canonicalName, type DomainName, parseAddress, parseDomainPattern, parsePrefix } from '@cofferdam/net';
import { decide, loadPlan } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet, Rule, SmartGroup, WebGroup, Workload } from '@cofferdam/policy';
import { type Facts, unknown } from '@cofferdam/verdict';

/**
 * Compiling a large policy, loading it, and deciding with it and with a small one. Prints medians over runs; `node bench/compile.ts [rules]
 * [groups] [runs]`.
 */

const [rules = 20_000, groups = 10_000, runs = 5] = process.argv.slice(2).map(Number);
const location = { file: 'bench', line: 1, column: 1 };

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the benchmark made an invalid value');
  return value;
};
const valueIn = <T>(result: { ok: true; value: T } | { ok: false }): T => must(result.ok ? result.value : undefined);
const addressOf = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;

/** A tenth of the groups select workloads, the others hold five prefixes each of both families, nested in places. */
const policyOf = (ruleCount: number, groupCount: number): PolicySet => {
  const agentGroups = Math.max(1, Math.floor(groupCount / 10));
  const inventory = Array.from(
    { length: agentGroups * 4 },
    (_, i): Workload => ({
      name: `agent-${i}`,
      addresses: [must(parseAddress(addressOf(i)))],
      interface: 'eth1',
      labels: { team: `team-${i % agentGroups}` },
    }),
  );
  const smart = Array.from({ length: groupCount }, (_, i): [string, SmartGroup] => {
    const name = `group-${i}`;
    if (i < agentGroups) return [name, { name, any: [{ kind: 'workload', labels: { team: `team-${i}` } }], location }];
    const prefixes = [0, 1, 2, 3].map((k) =>
      `${20 + (i % 60)}.${(i >> 6) & 255}.${k * 64}.0/${k === 0 ? 16 : 18}`.replace(/\.0\.0\/16/, '.0.0/16'),
    );
    const all = [...prefixes, `2600:${i.toString(16)}::/32`];
    return [name, { name, any: all.map((text) => ({ kind: 'cidr', prefix: valueIn(parsePrefix(text)) })), location }];
  });
  const webs = Array.from({ length: 1000 }, (_, i): [string, WebGroup] => {
    const domains = [`api-${i}.example.com`, `**.host-${i}.example.org`].map((text) =>
      valueIn(parseDomainPattern(text)),
    );
    return [`web-${i}`, { name: `web-${i}`, acknowledge: [], domains, urls: [], location }];
  });
  const list = Array.from(
    { length: ruleCount },
    (_, i): Rule => ({
      name: `rule-${i}`,
      action: i % 10 === 0 ? 'deny' : 'permit',
      mode: 'enforce',
      from: [`group-${i % agentGroups}`],
      to: [i % 3 === 0 ? 'public-internet' : `group-${agentGroups + (i % Math.max(1, groupCount - agentGroups))}`],
      ...(i % 3 === 0 ? { web: [`web-${i % 1000}`] } : {}),
      protocol: 'tcp',
      ...(i % 2 === 0 ? { ports: [{ first: 443, last: 443 }] } : { ports: [{ first: 1024 + (i % 500), last: 9000 }] }),
      tls: 'either',
      decrypt: 'unspecified',
      ...(i % 20 === 0
        ? {
            schedule: {
              timezone: 'Europe/London',
              days: ['mon', 'tue'],
              fromMinute: 420 + (i % 60),
              untilMinute: 1140,
            },
          }
        : {}),
      log: 'both',
      onDeny: 'reject',
      location,
    }),
  );
  return {
    smartGroups: new Map(smart),
    webGroups: new Map(webs),
    rulesets: [{ name: 'bench', tier: 'agent', priority: 1, rules: list, location }],
    inventory,
  };
};

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const timed = <T>(work: () => T): { value: T; ms: number } => {
  const start = performance.now();
  const value = work();
  return { value, ms: performance.now() - start };
};
const digest = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

const measure = (ruleCount: number, groupCount: number): void => {
  const policy = policyOf(ruleCount, groupCount);
  const context: EvaluationContext = {
    workloads: policy.inventory,
    resolved: new Map<DomainName, []>(),
    dnsMode: 'synthetic',
    gatewayAddresses: [],
    monitor: false,
  };
  const at = Date.parse('2026-06-08T00:00:00Z');
  const times = Array.from({ length: runs }, () => {
    const compiled = timed(() => compile(policy, { ...context, at, revision: 1, digest }).plan);
    const loaded = timed(() => loadPlan(compiled.value));
    const name = valueIn(canonicalName('api-3.example.com'));
    const facts: Facts = {
      at: at + 1000,
      source: must(parseAddress('10.0.0.3')),
      interface: 'eth1',
      protocol: 'tcp',
      destination: must(parseAddress('93.184.216.34')),
      destinationPort: 443,
      addressNames: [name],
      tls: unknown,
      claimedName: unknown,
      plainHttpSeen: false,
      request: unknown,
      mcp: unknown,
    };
    const rounds = 200_000;
    for (let i = 0; i < rounds / 10; i++) decide(loaded.value, facts);
    const decided = timed(() => {
      for (let i = 0; i < rounds; i++) decide(loaded.value, facts);
    });
    return {
      compile: compiled.ms,
      load: loaded.ms,
      decide: (decided.ms * 1e6) / rounds,
      bytes: JSON.stringify(compiled.value).length,
    };
  });
  const of = (key: keyof (typeof times)[number]): string => median(times.map((one) => one[key])).toFixed(0);
  console.log(
    `${ruleCount} rules, ${groupCount} groups: compile ${of('compile')} ms, load ${of('load')} ms, decide ${of('decide')} ns, plan ${of('bytes')} bytes`,
  );
};

measure(20, 20);
measure(1000, 500);
measure(rules, groups);
