import { type Address, type DomainName, type Prefix, parsePrefix, privateNetworks } from '@cofferdam/net';
import type { EvaluationContext, PolicySet, SmartGroup } from '@cofferdam/policy';
import type { CompileDiagnostic } from './diagnostic.ts';
import { hostPrefix, type Mark } from './prefix-sweep.ts';
import { indexWorkloads, type WorkloadIndex } from './workloads.ts';

/** What a SmartGroup resolves to. */
export interface ResolvedGroup {
  readonly name: string;
  /** Written prefixes, of `cidr` selectors. */
  readonly prefixes: readonly Prefix[];
  /** Prefixes that the group holds otherwise: of `anywhere`, of `private-networks`. */
  readonly builtIn: readonly Prefix[];
  /** Places in the inventory, rising. */
  readonly workloads: readonly number[];
  readonly hostnames: readonly DomainName[];
  /** Addresses last resolved for the hostnames. */
  readonly resolved: readonly Address[];
  /** Is `public-internet`. */
  readonly public: boolean;
}

/** Resolves groups by name, each once. */
export type GroupResolver = (name: string) => ResolvedGroup;

const empty = { prefixes: [], builtIn: [], workloads: [], hostnames: [], resolved: [], public: false };

const wholeFamilies: readonly Prefix[] = ['0.0.0.0/0', '::/0'].flatMap((text) => {
  const parsed = parsePrefix(text);
  return parsed.ok ? [parsed.value] : [];
});

export const groupResolver = (
  policy: PolicySet,
  context: EvaluationContext,
  report: (diagnostic: CompileDiagnostic) => void,
): GroupResolver => {
  const index = indexWorkloads(context.workloads);
  const known = new Map<string, ResolvedGroup>([
    ['anywhere', { ...empty, name: 'anywhere', builtIn: wholeFamilies }],
    ['private-networks', { ...empty, name: 'private-networks', builtIn: privateNetworks }],
    ['public-internet', { ...empty, name: 'public-internet', public: true }],
  ]);
  return (name) => {
    const before = known.get(name);
    if (before !== undefined) return before;
    const group = policy.smartGroups.get(name);
    if (group === undefined) report(unknownGroup(name));
    const made = group === undefined ? { ...empty, name } : resolve(group, context, index, report);
    known.set(name, made);
    return made;
  };
};

const resolve = (
  group: SmartGroup,
  context: EvaluationContext,
  index: WorkloadIndex,
  report: (diagnostic: CompileDiagnostic) => void,
): ResolvedGroup => {
  const prefixes: Prefix[] = [];
  const workloads = new Set<number>();
  const hostnames = new Set<DomainName>();
  for (const selector of group.any) {
    switch (selector.kind) {
      case 'cidr':
        prefixes.push(selector.prefix);
        break;
      case 'workload':
        for (const place of index(selector)) workloads.add(place);
        break;
      case 'hostname':
        hostnames.add(selector.name);
        break;
      case 'external':
        report({
          severity: 'warning',
          code: 'feed-not-loaded',
          message: `the feed \`${selector.feed}\` of the group \`${group.name}\` is not loaded, so it holds no address`,
          help: 'load the feed, or name its prefixes with `cidr`',
          location: group.location,
        });
        break;
    }
  }
  return {
    ...empty,
    name: group.name,
    prefixes,
    workloads: [...workloads].sort((a, b) => a - b),
    hostnames: [...hostnames].sort(),
    resolved: [...hostnames].flatMap((name) => context.resolved.get(name) ?? []),
  };
};

/** The prefixes a group holds, its workloads' addresses among them. */
export const marksOf = (id: number, group: ResolvedGroup, context: EvaluationContext): Mark[] => [
  ...group.prefixes.map((prefix) => ({ prefix, group: id, cidr: true })),
  ...group.builtIn.map((prefix) => ({ prefix, group: id, cidr: false })),
  ...group.workloads.flatMap((place) =>
    context.workloads[place]!.addresses.map((address) => ({ prefix: hostPrefix(address), group: id, cidr: false })),
  ),
  ...group.resolved.map((address) => ({ prefix: hostPrefix(address), group: id, cidr: false })),
];

/** Says of a group that a rule sends to what it lacks. A `hostname` is something even while it is not resolved: its name still matches. */
export const reportEmpty = (
  group: ResolvedGroup,
  policy: PolicySet,
  report: (diagnostic: CompileDiagnostic) => void,
): void => {
  const { prefixes, builtIn, workloads, hostnames } = group;
  const written = policy.smartGroups.get(group.name);
  if (group.public || written === undefined) return;
  if (prefixes.length + builtIn.length + workloads.length + hostnames.length > 0) return;
  report({
    severity: 'warning',
    code: 'group-empty',
    message: `the group \`${group.name}\` holds nothing, so rules to it match nothing`,
    help: 'check its selectors against the inventory',
    location: written.location,
  });
};

const unknownGroup = (name: string): CompileDiagnostic => ({
  severity: 'error',
  code: 'group-unknown',
  message: `no group is called \`${name}\`, so rules match nothing by it`,
  help: 'define the group, or correct its name',
});
