import { canonicalName, parseDomainPattern, parsePrefix, parseUrlPattern } from '@cofferdam/net';
import { type Draft, locationOf } from './draft.ts';
import { type Fields, field, items, nameField, parsed, parsedItems, textField, textMap, wordField } from './fields.ts';
import type { CloudSelector, KubernetesSelector, Selector } from './model.ts';
import { workloadNamePattern } from './schema-parts.ts';
import { child, type Tree } from './tree.ts';

export const buildSmartGroup = (fields: Fields, root: Tree, name: string, draft: Draft): void => {
  const spec = child(root, 'spec');
  const any: Selector[] = [];
  for (const node of items(fields, spec, 'any') ?? []) {
    const selector = buildSelector(fields, node);
    if (selector !== undefined) any.push(selector);
  }
  const containment = wordField(fields, spec, 'containment', ['enforce', 'monitor']);
  const group = { name, ...(containment && { containment }), any, location: locationOf(root) };
  if (draft.smartGroups.has(name)) return;
  draft.smartGroups.set(name, group);
  draft.nodes.set(group, root);
};

const buildSelector = (fields: Fields, node: Tree): Selector | undefined => {
  const cidr = field(fields, node, 'cidr');
  if (cidr !== undefined) {
    const prefix = parsed(fields, cidr, 'invalid-prefix', parsePrefix);
    return prefix && { kind: 'cidr', prefix };
  }
  const hostname = field(fields, node, 'hostname');
  if (hostname !== undefined) {
    const name = parsed(fields, hostname, 'invalid-hostname', (text) => canonicalName(text));
    return name && { kind: 'hostname', name };
  }
  const external = field(fields, node, 'external');
  if (external !== undefined) {
    const message = 'this build reads no feeds, so an `external` group would match nothing';
    fields.problems.report(
      'external-not-supported',
      external,
      message,
      'list prefixes with `cidr`, or names in a WebGroup',
    );
    return undefined;
  }
  const agent = nameField(fields, node, 'agent', workloadNamePattern);
  const labels = textMap(fields, node, 'labels');
  const kubernetes = buildKubernetes(fields, field(fields, node, 'kubernetes'));
  const cloud = buildCloud(fields, field(fields, node, 'cloud'));
  return {
    kind: 'workload',
    ...(agent !== undefined && { agent }),
    ...(labels && { labels }),
    ...(kubernetes && { kubernetes }),
    ...(cloud && { cloud }),
  };
};

const buildKubernetes = (fields: Fields, node: Tree | undefined): KubernetesSelector | undefined => {
  const cluster = textField(fields, node, 'cluster');
  if (cluster === undefined) return undefined;
  const namespace = textField(fields, node, 'namespace');
  const labels = textMap(fields, node, 'labels');
  return { cluster, ...(namespace !== undefined && { namespace }), ...(labels && { labels }) };
};

const buildCloud = (fields: Fields, node: Tree | undefined): CloudSelector | undefined => {
  const provider = wordField(fields, node, 'provider', ['azure', 'aws', 'gcp']);
  const account = textField(fields, node, 'account');
  if (provider === undefined || account === undefined) return undefined;
  const region = textField(fields, node, 'region');
  const network = textField(fields, node, 'network');
  const subnet = textField(fields, node, 'subnet');
  const tags = textMap(fields, node, 'tags');
  return {
    provider,
    account,
    ...(region !== undefined && { region }),
    ...(network !== undefined && { network }),
    ...(subnet !== undefined && { subnet }),
    ...(tags && { tags }),
  };
};

export const buildWebGroup = (fields: Fields, root: Tree, name: string, draft: Draft): void => {
  const spec = child(root, 'spec');
  const codeOf = (refused: string) => (refused === 'pattern-public-suffix' ? refused : 'invalid-domain-pattern');
  const urlCodeOf = (refused: string) => (refused === 'pattern-public-suffix' ? refused : 'invalid-url-pattern');
  const group = {
    name,
    acknowledge: items(fields, spec, 'acknowledge')?.length ? (['shared-hosting'] as const) : [],
    domains: parsedItems(
      fields,
      items(fields, spec, 'domains') ?? [],
      (node) => parsed(fields, node, codeOf, parseDomainPattern),
      (pattern) => pattern.text,
    ),
    urls: parsedItems(
      fields,
      items(fields, spec, 'urls') ?? [],
      (node) => parsed(fields, node, urlCodeOf, parseUrlPattern),
      (pattern) => pattern.text,
    ),
    location: locationOf(root),
  };
  const keys = spec?.kind === 'map' ? spec.entries.map((entry) => entry.key) : [];
  if (spec !== undefined && keys.length > 0 && !keys.includes('domains') && !keys.includes('urls')) {
    fields.problems.report('missing-key', spec, '`spec` has neither `domains` nor `urls`', 'add one of them, or both');
  }
  if (draft.webGroups.has(name)) return;
  draft.webGroups.set(name, group);
  draft.nodes.set(group, root);
};
