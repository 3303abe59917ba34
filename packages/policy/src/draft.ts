import type { Location, Ruleset, SmartGroup, WebGroup, Workload } from './model.ts';
import { positionOf } from './source.ts';
import type { Tree } from './tree.ts';

/** A mention of a group: what is resolved once all files are read. */
export interface Reference {
  readonly sort: 'SmartGroup' | 'WebGroup';
  readonly name: string;
  readonly node: Tree;
}

/** Something that has a name, for finding names defined twice. */
export interface Definition {
  /** What must not repeat: the kind and all that tells two apart. */
  readonly key: string;
  /** For the message, such as `SmartGroup` or `rule`. */
  readonly what: string;
  readonly name: string;
  readonly node: Tree;
}

/**
 * What was read of all files so far. Values that could not be built are missing here, but their names are not: a rule
 * that names a group which is broken elsewhere is not wrong itself.
 */
export interface Draft {
  readonly smartGroups: Map<string, SmartGroup>;
  readonly webGroups: Map<string, WebGroup>;
  readonly rulesets: Ruleset[];
  readonly inventory: Workload[];
  readonly definitions: Definition[];
  readonly references: Reference[];
  /** Names of groups, also of broken ones. */
  readonly smartGroupNames: Set<string>;
  readonly webGroupNames: Set<string>;
  /** Where a rule, group or workload was written. */
  readonly nodes: Map<object, Tree>;
}

export const emptyDraft = (): Draft => ({
  smartGroups: new Map(),
  webGroups: new Map(),
  rulesets: [],
  inventory: [],
  definitions: [],
  references: [],
  smartGroupNames: new Set(),
  webGroupNames: new Set(),
  nodes: new Map(),
});

export const locationOf = (node: Tree): Location => ({
  file: node.source.file,
  ...positionOf(node.source, node.start),
});

export const showPlace = (node: Tree): string => {
  const { file, line, column } = locationOf(node);
  return `${file}:${line}:${column}`;
};
