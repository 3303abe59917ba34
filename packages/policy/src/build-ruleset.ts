import { buildRule } from './build-rule.ts';
import { type Draft, locationOf } from './draft.ts';
import { type Fields, field, nameField, textField, wordField } from './fields.ts';
import { type Rule, type Ruleset, tierOrder } from './model.ts';
import { defaultPriority } from './schema-ruleset.ts';
import { child, type Tree } from './tree.ts';

export const buildRuleset = (fields: Fields, root: Tree, name: string, draft: Draft): void => {
  const metadata = child(root, 'metadata');
  const spec = child(root, 'spec');
  const owner = nameField(fields, metadata, 'owner');
  const tier = wordField(fields, spec, 'tier', tierOrder) ?? 'agent';
  const priorityNode = field(fields, spec, 'priority');
  const priority =
    priorityNode?.kind === 'scalar' && typeof priorityNode.value === 'number' ? priorityNode.value : defaultPriority;
  const place = `${tier}\0${priority}\0${owner ?? ''}\0${name}`;
  draft.definitions.push({
    key: `Ruleset\0${place}`,
    what: 'Ruleset',
    name,
    node: field(fields, metadata, 'name') ?? root,
  });

  const rules: Rule[] = [];
  const list = child(spec, 'rules');
  // Every rule that is a map is looked at, also where a part of it is not sound.
  for (const node of list?.kind === 'list' ? list.items : []) {
    const rule = buildRule(fields, node, draft);
    if (rule !== undefined) rules.push(rule);
    const ruleName = textField(fields, node, 'name');
    if (ruleName !== undefined) {
      const nameNode = field(fields, node, 'name')!;
      draft.definitions.push({
        key: `rule\0${place}\0${root.source.file}:${root.start}\0${ruleName}`,
        what: 'rule',
        name: ruleName,
        node: nameNode,
      });
    }
    const id = textField(fields, node, 'id');
    if (id !== undefined)
      draft.definitions.push({ key: `id\0${id}`, what: 'id', name: id, node: field(fields, node, 'id')! });
  }
  draft.rulesets.push({
    name,
    tier,
    priority,
    ...(owner !== undefined && { owner }),
    rules,
    location: locationOf(root),
  });
};

/** The order of the walk: tier, priority, owner (none first), name. */
export const compareRulesets = (a: Ruleset, b: Ruleset): number =>
  tierOrder.indexOf(a.tier) - tierOrder.indexOf(b.tier) ||
  a.priority - b.priority ||
  compareText(a.owner ?? '', b.owner ?? '') ||
  compareText(a.name, b.name);

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
