import { parseAddress, parseDomainPattern, parsePrefix } from '@cofferdam/net';
import type { PolicySet, Rule, SmartGroup, WebGroup, Workload } from '@cofferdam/policy';

/** A policy as a large organisation has it: many groups, denies among permits, schedules, names of two shapes. */

const location = { file: 'bench', line: 1, column: 1 };

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the benchmark made an invalid value');
  return value;
};
const valueIn = <T>(result: { ok: true; value: T } | { ok: false }): T => must(result.ok ? result.value : undefined);
const addressOf = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;

/** A tenth of the groups select workloads, the others hold five prefixes each of both families, nested in places. */
export const bigPolicy = (ruleCount: number, groupCount: number): PolicySet => {
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
