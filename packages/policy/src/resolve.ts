import {
  type Address,
  type DomainName,
  embeddedIPv4,
  isPrivateNetwork,
  isPublicInternet,
  type Prefix,
  prefixContains,
  prefixCovers,
  reservedRange,
} from '@cofferdam/net';
import type { Containment, EvaluationContext, PolicySet, Selector, SmartGroup, Workload } from './model.ts';

/** What a SmartGroup stands for with one inventory. Selectors of an unknown kind of feed stand for nothing. */
export interface Members {
  readonly name: string;
  readonly containment?: Containment;
  /** Workloads that a `workload` selector names, and the keys of all their addresses. */
  readonly workloads: ReadonlySet<Workload>;
  readonly addresses: ReadonlySet<string>;
  readonly prefixes: readonly Prefix[];
  readonly hostnames: readonly { readonly name: DomainName; readonly resolved: ReadonlySet<string> }[];
  readonly builtIn?: 'anywhere' | 'private-networks' | 'public-internet';
}

/** Where a flow comes from: an address, and the workload that has it, if inventory knows one. */
export interface Source {
  readonly address: Address;
  readonly workload?: Workload;
}

/** Where a flow goes to, as far as groups look at it. */
export interface Destination {
  readonly address: Address;
  readonly names: readonly DomainName[];
}

/** Equal addresses have equal keys, others have not. */
export const addressKey = (address: Address): string => `${address.family}:${address.value}`;

const holdsAll = (
  wanted: Readonly<Record<string, string>> | undefined,
  present: Readonly<Record<string, string>>,
): boolean =>
  Object.entries(wanted ?? {}).every(([key, value]) => Object.hasOwn(present, key) && present[key] === value);

/** An absent key of a selector does not constrain; a key that the workload lacks does not match. */
const same = (wanted: string | undefined, present: string | undefined): boolean =>
  wanted === undefined || wanted === present;

/** Whether a selector names a workload by what inventory says of it. Address selectors never do. */
export const selectsWorkload = (selector: Selector, workload: Workload): boolean => {
  if (selector.kind !== 'workload') return false;
  const { agent, labels, kubernetes, cloud } = selector;
  const pod = workload.kubernetes;
  const machine = workload.cloud;
  return (
    same(agent, workload.name) &&
    holdsAll(labels, workload.labels) &&
    (kubernetes === undefined ||
      (pod !== undefined &&
        kubernetes.cluster === pod.cluster &&
        same(kubernetes.namespace, pod.namespace) &&
        holdsAll(kubernetes.labels, pod.labels))) &&
    (cloud === undefined ||
      (machine !== undefined &&
        cloud.provider === machine.provider &&
        cloud.account === machine.account &&
        same(cloud.region, machine.region) &&
        same(cloud.network, machine.network) &&
        same(cloud.subnet, machine.subnet) &&
        holdsAll(cloud.tags, machine.tags)))
  );
};

const nobody = { workloads: new Set<Workload>(), addresses: new Set<string>(), prefixes: [], hostnames: [] };

const resolveGroup = (group: SmartGroup, context: EvaluationContext): Members => {
  const workloads = new Set(context.workloads.filter((w) => group.any.some((s) => selectsWorkload(s, w))));
  return {
    name: group.name,
    ...(group.containment === undefined ? {} : { containment: group.containment }),
    workloads,
    addresses: new Set([...workloads].flatMap((w) => w.addresses.map(addressKey))),
    prefixes: group.any.flatMap((s) => (s.kind === 'cidr' ? [s.prefix] : [])),
    hostnames: group.any.flatMap((s) =>
      s.kind === 'hostname'
        ? [{ name: s.name, resolved: new Set((context.resolved.get(s.name) ?? []).map(addressKey)) }]
        : [],
    ),
  };
};

/** The members of a group by its name; a name that nobody wrote stands for nothing. */
export const membersOf = (policy: PolicySet, context: EvaluationContext, name: string): Members => {
  if (name === 'anywhere' || name === 'private-networks' || name === 'public-internet')
    return { name, ...nobody, builtIn: name };
  const group = policy.smartGroups.get(name);
  return group === undefined ? { name, ...nobody } : resolveGroup(group, context);
};

/** Whether a flow's source belongs to a group. A `cidr` is judged on the address that the flow really has. */
export const agentMatches = (members: Members, source: Source): boolean =>
  members.builtIn === 'anywhere' ||
  (members.builtIn === 'private-networks' && isPrivateNetwork(source.address)) ||
  (members.builtIn === 'public-internet' && isPublicInternet(source.address)) ||
  (source.workload !== undefined && members.workloads.has(source.workload)) ||
  members.prefixes.some((p) => prefixContains(p, source.address)) ||
  members.hostnames.some((h) => h.resolved.has(addressKey(source.address)));

/** The longest reserved range an address lies in itself, where it lies in one; an address of the gateway is a range of its own. */
export interface Reserved {
  readonly prefix: Prefix;
  readonly gateway: boolean;
}

export const reservedAs = (address: Address, gatewayKeys: ReadonlySet<string>): Reserved | undefined => {
  if (gatewayKeys.has(addressKey(address)))
    return { prefix: { address, length: address.family === 4 ? 32 : 128 }, gateway: true };
  const range = reservedRange(address);
  // A range of the other family is that of an embedded address, which is judged by itself.
  if (range === undefined || range.prefix.address.family !== address.family) return undefined;
  return { prefix: range.prefix, gateway: false };
};

/** One address of a destination: `publicAs` is the address that counts for `public-internet`. */
const holdsAddress = (
  members: Members,
  address: Address,
  publicAs: Address,
  names: readonly DomainName[],
  gatewayKeys: ReadonlySet<string>,
): boolean => {
  const reserved = reservedAs(address, gatewayKeys);
  if (reserved !== undefined)
    return members.prefixes.some((p) => prefixCovers(reserved.prefix, p) && prefixContains(p, address));
  return (
    members.builtIn === 'anywhere' ||
    (members.builtIn === 'private-networks' && isPrivateNetwork(address)) ||
    (members.builtIn === 'public-internet' &&
      isPublicInternet(publicAs) &&
      reservedAs(publicAs, gatewayKeys) === undefined) ||
    members.addresses.has(addressKey(address)) ||
    members.prefixes.some((p) => prefixContains(p, address)) ||
    members.hostnames.some((h) => names.includes(h.name) || h.resolved.has(addressKey(address)))
  );
};

/**
 * Whether a destination is in any of the groups of a rule's `to`.
 * IPv4 embedded in IPv6 is the same walk: a permit must hold both addresses, a denial either.
 */
export const destinationMatches = (
  groups: readonly Members[],
  destination: Destination,
  action: 'permit' | 'deny',
  gatewayKeys: ReadonlySet<string>,
): boolean => {
  const { address, names } = destination;
  const inner = embeddedIPv4(address);
  const holds = (a: Address): boolean =>
    groups.some((members) => holdsAddress(members, a, inner ?? a, names, gatewayKeys));
  if (inner === undefined) return holds(address);
  return action === 'permit' ? holds(address) && holds(inner) : holds(address) || holds(inner);
};

/**
 * Which of the workloads that have an address sends from it on an interface: one that names the interface goes before one that names none.
 * Undefined where inventory gives the address to none, or to other interfaces only.
 */
export const agentOf = (holders: readonly Workload[], interfaceName: string): Workload | undefined =>
  holders.find((w) => w.interface === interfaceName) ?? holders.find((w) => w.interface === undefined);

/**
 * Containment of one agent: what the groups it belongs to say. `enforce` wins where they differ, and is what counts
 * where none says anything.
 */
export const containmentOf = (groups: readonly Members[], agent: Source): Containment => {
  const said = new Set(groups.flatMap((g) => (g.containment && agentMatches(g, agent) ? [g.containment] : [])));
  return said.has('monitor') && !said.has('enforce') ? 'monitor' : 'enforce';
};
