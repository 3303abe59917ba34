import { quote } from '@cofferdam/net';
import { buildSmartGroup, buildWebGroup } from './build-groups.ts';
import { buildInventory } from './build-inventory.ts';
import { buildRuleset } from './build-ruleset.ts';
import type { Problems } from './diagnostic.ts';
import type { Draft } from './draft.ts';
import { type Fields, nameField } from './fields.ts';
import { builtInSmartGroups, builtInWebGroups } from './model.ts';
import { isKind, type Kind, kindSchemas, kinds, unsupportedKinds } from './schema.ts';
import { checkStructure } from './schema-check.ts';
import { apiVersion } from './schema-parts.ts';
import { listed, nearest } from './suggest.ts';
import { child, type Tree, textOf } from './tree.ts';
import type { YamlDocument } from './yaml-documents.ts';

/** Adds what a document defines to the draft. Returns false where names may be missing because it could not be read. */
export const buildDocument = ({ root, wellFormed }: YamlDocument, draft: Draft, problems: Problems): boolean => {
  const kind = textOf(child(root, 'kind'));
  const name = textOf(child(child(root, 'metadata'), 'name'));
  if (kind === 'SmartGroup' && name !== undefined) draft.smartGroupNames.add(name);
  if (kind === 'WebGroup' && name !== undefined) draft.webGroupNames.add(name);
  if (!wellFormed) return false;

  const known = checkHead(root, problems);
  if (known === undefined) return root.kind === 'map' && name !== undefined;
  const fields: Fields = { sound: checkStructure(root, kindSchemas[known], problems), problems };
  const goodName = nameField(fields, child(root, 'metadata'), 'name');
  if (name !== undefined) define(fields, root, known, name, draft);
  const anyName = goodName ?? name ?? '';
  switch (known) {
    case 'SmartGroup':
      buildSmartGroup(fields, root, anyName, draft);
      break;
    case 'WebGroup':
      buildWebGroup(fields, root, anyName, draft);
      break;
    case 'Ruleset':
      buildRuleset(fields, root, anyName, draft);
      break;
    case 'Inventory':
      buildInventory(fields, root, draft);
  }
  return name !== undefined;
};

/** The version and kind come first: without them nothing else can be judged. */
const checkHead = (root: Tree, problems: Problems): Kind | undefined => {
  if (root.kind !== 'map') {
    problems.report(
      'wrong-type',
      root,
      'a document is a map',
      'begin with `apiVersion`, `kind`, `metadata` and `spec`',
    );
    return undefined;
  }
  const kind = textOf(child(root, 'kind'));
  const version = textOf(child(root, 'apiVersion'));
  if (version !== undefined && version !== apiVersion) {
    const message = `unknown version ${quote(version)}`;
    problems.report('unsupported-version', child(root, 'apiVersion')!, message, `write \`apiVersion: ${apiVersion}\``);
    return undefined;
  }
  if (kind === undefined) {
    if (child(root, 'kind') === undefined) {
      problems.report('missing-key', root, 'the document has no `kind`', `add one of ${listed(kinds)}`);
    } else {
      problems.report('wrong-type', child(root, 'kind')!, '`kind` is not text', `write one of ${listed(kinds)}`);
    }
    return undefined;
  }
  if (isKind(kind)) return kind;
  const node = child(root, 'kind')!;
  if (unsupportedKinds.some((each) => each === kind)) {
    const message = `this build does not enforce \`${kind}\`, so the policy is refused`;
    problems.report('kind-not-supported', node, message, 'remove the document, or use a build that enforces it');
    return undefined;
  }
  const near = nearest(kind, [...kinds, ...unsupportedKinds]);
  const help = near === undefined ? `accepted: ${listed(kinds)}` : `did you mean \`${near}\`?`;
  problems.report('unknown-kind', node, `unknown kind ${quote(kind)}`, help);
  return undefined;
};

const define = (fields: Fields, root: Tree, kind: Kind, name: string, draft: Draft): void => {
  const node = child(child(root, 'metadata'), 'name') ?? root;
  const builtIn: readonly string[] =
    kind === 'SmartGroup' ? builtInSmartGroups : kind === 'WebGroup' ? builtInWebGroups : [];
  if (builtIn.includes(name)) {
    fields.problems.report('reserved-name', node, `the ${kind} \`${name}\` is built in`, 'choose another name');
  }
  // Rulesets are told apart by more than their name; they define themselves.
  if (kind !== 'Ruleset') draft.definitions.push({ key: `${kind}\0${name}`, what: kind, name, node });
};
