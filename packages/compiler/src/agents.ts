import { type Address, addressesEqual, formatAddress, isPublicInternet } from '@cofferdam/net';
import {
  type Bitmap,
  buildLpm,
  emptyBitmap,
  encodeBitmap,
  hasBit,
  or,
  type PlanAgent,
  type PlanAgentClass,
} from '@cofferdam/plan';
import type { EvaluationContext, PolicySet, Workload } from '@cofferdam/policy';
import type { CompileDiagnostic } from './diagnostic.ts';
import { type GroupResolver, marksOf } from './groups.ts';
import { sweep } from './prefix-sweep.ts';
import { makeInterner, makeRuleSets } from './rule-sets.ts';

export interface CompiledAgents {
  readonly agents: readonly PlanAgent[];
  readonly classes: readonly PlanAgentClass[];
  /** Addresses of workloads whose containment is enforced. */
  readonly contained: readonly Address[];
}

/** For an address of a workload: the members of the lists whose groups hold it. */
type Holders = (workload: number, address: Address) => Bitmap;

export const compileAgents = (
  policy: PolicySet,
  rulesOf: ReadonlyMap<string, readonly number[]>,
  group: GroupResolver,
  context: EvaluationContext,
  words: number,
  report: (diagnostic: CompileDiagnostic) => void,
): CompiledAgents => {
  const holders = holdersOf(rulesOf, group, context, words);
  const containment = holdersOf(containmentGroups(policy), group, context, 2);
  const interner = makeInterner();
  const classes: PlanAgentClass[] = [];
  const numbers = new Map<string, number>();
  const classOf = (from: Bitmap, monitored: boolean): number => {
    const key = `${interner.intern(from)}|${monitored}`;
    const before = numbers.get(key);
    if (before !== undefined) return before;
    classes.push({ from: encodeBitmap(from), monitored });
    numbers.set(key, classes.length - 1);
    return classes.length - 1;
  };

  const contained: Address[] = [];
  const isFirst = firstHolder(report);
  const agents = context.workloads.map((workload, place): PlanAgent => {
    const addresses: { address: string; class: number }[] = [];
    for (const address of workload.addresses) {
      const said = containment(place, address);
      const monitored = hasBit(said, saysMonitor) && !hasBit(said, saysEnforce);
      if (!monitored) contained.push(address);
      if (!isFirst(workload, address)) continue;
      addresses.push({ address: formatAddress(address), class: classOf(holders(place, address), monitored) });
    }
    return {
      name: workload.name,
      ...(workload.interface === undefined ? {} : { interface: workload.interface }),
      ...(workload.mac === undefined ? {} : { mac: workload.mac }),
      labels: workload.labels,
      ...(workload.kubernetes === undefined
        ? {}
        : { kubernetes: { cluster: workload.kubernetes.cluster, namespace: workload.kubernetes.namespace } }),
      addresses,
    };
  });
  return { agents, classes, contained };
};

const saysMonitor = 0;
const saysEnforce = 1;

const containmentGroups = (policy: PolicySet): Map<string, readonly number[]> =>
  new Map(
    [...policy.smartGroups.values()].flatMap(({ name, containment }): [string, number[]][] =>
      containment === undefined ? [] : [[name, [containment === 'monitor' ? saysMonitor : saysEnforce]]],
    ),
  );

const holdersOf = (
  membersOf: ReadonlyMap<string, readonly number[]>,
  group: GroupResolver,
  context: EvaluationContext,
  words: number,
): Holders => {
  const names = [...membersOf.keys()];
  const groups = names.map(group);
  const sets = makeRuleSets(
    words,
    names.map((name) => membersOf.get(name)!),
  );
  // Workloads are known by their place, not by their address: two may share one on different interfaces.
  const marks = groups.flatMap((one, id) => marksOf(id, { ...one, workloads: [] }, context));
  const byAddress = buildLpm(
    ([4, 6] as const).flatMap((family) =>
      sweep(family, marks, [], sets).map(({ prefix, set }) => ({ prefix, value: set })),
    ),
    sets.none,
  );
  const groupsOf = context.workloads.map((): number[] => []);
  for (const [id, { workloads }] of groups.entries()) for (const place of workloads) groupsOf[place]!.push(id);
  const publicGroups = groups.flatMap((one, id) => (one.public ? [id] : []));
  const publicSet = sets.bitmap(sets.extend(sets.none, publicGroups));
  return (place, address) => {
    const bits = sets.bitmap(sets.extend(byAddress.lookup(address), groupsOf[place]!));
    const isPublic =
      publicGroups.length > 0 &&
      isPublicInternet(address) &&
      !context.gatewayAddresses.some((own) => addressesEqual(own, address));
    return isPublic ? or(bits, publicSet) : bits;
  };
};

/**
 * Whether a workload is the first of the inventory to have an address on its interface; a workload without interface has it on all. The
 * others are reported: flows cannot be told apart by them.
 */
const firstHolder = (
  report: (diagnostic: CompileDiagnostic) => void,
): ((workload: Workload, address: Address) => boolean) => {
  const holders = new Map<string, string>();
  return (workload, address) => {
    const text = formatAddress(address);
    const everywhere = `|${text}`;
    const here = `${workload.interface ?? ''}|${text}`;
    const holder = holders.get(everywhere) ?? holders.get(here);
    if (holder === undefined) holders.set(here, workload.name);
    else if (holder !== workload.name) {
      report({
        severity: 'warning',
        code: 'agent-shadowed',
        message: `\`${workload.name}\` and \`${holder}\` have the same address \`${text}\` on one interface; it counts as \`${holder}\``,
        help: 'give each workload its own address, or its own interface',
      });
    }
    return holder === undefined;
  };
};

/** Reports the groups that rules come from and that no workload is in. */
export const reportWithoutAgents = (
  rulesOf: ReadonlyMap<string, readonly number[]>,
  reached: Bitmap,
  policy: PolicySet,
  report: (diagnostic: CompileDiagnostic) => void,
): void => {
  for (const [name, rules] of rulesOf) {
    const written = policy.smartGroups.get(name);
    if (written === undefined || rules.some((rule) => hasBit(reached, rule))) continue;
    report({
      severity: 'warning',
      code: 'group-no-agents',
      message: `no workload of the inventory is in the group \`${name}\`, so rules from it match nothing`,
      help: 'check its selectors against the inventory',
      location: written.location,
    });
  }
};

/** Rules that some agent's `from` holds. */
export const reachedRules = (classes: readonly Bitmap[], words: number): Bitmap =>
  classes.reduce((all, one) => or(all, one), emptyBitmap(words));
