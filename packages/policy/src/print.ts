import { formatAddress, formatPortRange, formatPrefix } from '@cofferdam/net';
import { stringify } from 'yaml';
import type { PolicySet, Rule, Ruleset, Schedule, Selector, SmartGroup, WebGroup, Workload } from './model.ts';
import { apiVersion } from './schema-parts.ts';
import { defaultPriority } from './schema-ruleset.ts';

/**
 * A set as YAML in one canonical form: groups, rulesets in the order of the walk, inventory; defaults are left out.
 * Parsing it gives the same set but for locations. Comments and the division into files are not part of a set.
 */
export const printPolicy = (policy: PolicySet): string => {
  const documents = [
    ...[...policy.smartGroups.values()].map(smartGroupDocument),
    ...[...policy.webGroups.values()].map(webGroupDocument),
    ...policy.rulesets.map(rulesetDocument),
    ...(policy.inventory.length > 0
      ? [document('Inventory', { name: 'inventory' }, { workloads: policy.inventory.map(workloadData) })]
      : []),
  ];
  const options = { version: '1.2', schema: 'core', aliasDuplicateObjects: false, lineWidth: 0 } as const;
  return documents.map((each) => stringify(each, options)).join('---\n');
};

const document = (kind: string, metadata: object, spec: object) => ({ apiVersion, kind, metadata, spec });

const smartGroupDocument = ({ name, containment, any }: SmartGroup) =>
  document('SmartGroup', { name }, { ...(containment && { containment }), any: any.map(selectorData) });

const selectorData = (selector: Selector): object => {
  switch (selector.kind) {
    case 'cidr':
      return { cidr: formatPrefix(selector.prefix) };
    case 'hostname':
      return { hostname: selector.name };
    case 'external': {
      const { kind, ...external } = selector;
      return { [kind]: external };
    }
    case 'workload': {
      const { kind, ...keys } = selector;
      return keys;
    }
  }
};

const webGroupDocument = ({ name, acknowledge, domains, urls }: WebGroup) =>
  document(
    'WebGroup',
    { name },
    {
      ...(acknowledge.length > 0 && { acknowledge }),
      ...(domains.length > 0 && { domains: domains.map((pattern) => pattern.text) }),
      ...(urls.length > 0 && { urls: urls.map((pattern) => pattern.text) }),
    },
  );

const rulesetDocument = ({ name, owner, tier, priority, rules }: Ruleset) =>
  document(
    'Ruleset',
    { name, ...(owner !== undefined && { owner }) },
    { tier, ...(priority !== defaultPriority && { priority }), rules: rules.map(ruleData) },
  );

const ruleData = (rule: Rule): object => ({
  ...(rule.id !== undefined && { id: rule.id }),
  name: rule.name,
  action: rule.action,
  ...(rule.mode !== 'enforce' && { mode: rule.mode }),
  from: rule.from,
  to: rule.to,
  ...(rule.web && { web: rule.web }),
  ...(rule.resolve && { resolve: rule.resolve }),
  protocol: rule.protocol,
  ...(rule.ports && {
    ports: rule.ports.map((range) => (range.first === range.last ? range.first : formatPortRange(range))),
  }),
  ...(rule.tls !== 'either' && { tls: rule.tls }),
  ...(rule.decrypt !== 'unspecified' && { decrypt: rule.decrypt }),
  ...(rule.ech && { ech: rule.ech }),
  ...(rule.http && {
    http: {
      ...(rule.http.methods && { methods: rule.http.methods }),
      ...(rule.http.paths && { paths: rule.http.paths.map((path) => path.text) }),
      ...(rule.http.websocket && { websocket: rule.http.websocket }),
    },
  }),
  ...(rule.mcp && { mcp: rule.mcp }),
  ...(rule.schedule && { schedule: scheduleData(rule.schedule) }),
  ...(rule.expires !== undefined && { expires: new Date(rule.expires).toISOString() }),
  ...(rule.log !== 'both' && { log: rule.log }),
  ...(rule.onDeny !== 'reject' && { onDeny: rule.onDeny }),
});

const scheduleData = ({ timezone, days, fromMinute, untilMinute }: Schedule): object => ({
  timezone,
  ...(days.length < 7 && { days }),
  from: timeOfDay(fromMinute),
  until: timeOfDay(untilMinute),
});

const timeOfDay = (minutes: number): string =>
  [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0')).join(':');

const workloadData = (workload: Workload): object => ({
  name: workload.name,
  addresses: workload.addresses.map(formatAddress),
  ...(workload.interface !== undefined && { interface: workload.interface }),
  ...(workload.mac !== undefined && { mac: workload.mac }),
  ...(Object.keys(workload.labels).length > 0 && { labels: workload.labels }),
  ...(workload.kubernetes && { kubernetes: workload.kubernetes }),
  ...(workload.cloud && { cloud: workload.cloud }),
});
