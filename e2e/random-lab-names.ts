/** Names in the randomised lab: what policy lets agents ask for, what they are then told, and what is remembered of it. */
import { type Address, type DomainName, domainPatternMatches, prefixContains } from '@cofferdam/net';
import {
  agentMatches,
  containmentOf,
  destinationMatches,
  type Prepared,
  type Rule,
  scheduleActive,
  type Workload,
} from '@cofferdam/policy';
import { address, name as nameOf, prefix } from '@cofferdam/testkit';
import type { FlowSpec } from './random-lab-flows.ts';
import { familyOf, type PlannedWorld } from './random-lab-world.ts';

type Web = NonNullable<Prepared['rules'][number]['web']>;

/** A policy in a network, and what is known beside it. */
export interface Judge {
  readonly prepared: Prepared;
  /** Every WebGroup: rules are prepared with those of `web`, and `resolve` names groups too. */
  readonly webGroups: ReadonlyMap<string, Web>;
  readonly world: PlannedWorld;
  /** All that resolvers know of a name. */
  readonly addressesOf: (name: string) => readonly string[];
  /** Track mode: the names that a workload was given an address for. */
  readonly toldNames: (workload: string, address: string) => readonly DomainName[];
}

export interface Sender {
  readonly address: Address;
  readonly workload: Workload;
}

/** Undefined: inventory gives the source to nobody there. */
export const senderOf = ({ prepared, world }: Judge, { source, subnet }: FlowSpec): Sender | undefined => {
  const from = address(source);
  const workload = prepared.holders
    .get(`${from.family}:${from.value}`)
    ?.find((one) => one.interface === undefined || one.interface === world.subnets[subnet]!.device);
  return workload === undefined ? undefined : { address: from, workload };
};

const isActive = (rule: Rule, at: number): boolean =>
  (rule.expires === undefined || at < rule.expires) &&
  (rule.schedule === undefined || scheduleActive(rule.schedule, at));

const webCovers = ({ any, domains, urls }: Web, name: DomainName): boolean =>
  any ||
  domains.some((one) => domainPatternMatches(one, name)) ||
  urls.some(({ host }) => domainPatternMatches(host, name));

/** DESIGN 6, as it is written: an active permit of the agent covers the name, and the address as well where one is given. */
const somePermit = (
  { prepared, webGroups }: Judge,
  sender: Sender,
  name: DomainName,
  at: number,
  modes: readonly Rule['mode'][],
  to?: Address,
): boolean =>
  prepared.rules.some(({ rule, from, to: groups, web }) => {
    if (rule.action !== 'permit' || !modes.includes(rule.mode)) return false;
    if (!isActive(rule, at) || !from.some((members) => agentMatches(members, sender))) return false;
    const resolve = rule.resolve ?? [];
    const covers =
      (web !== undefined && webCovers(web, name)) ||
      resolve.includes('any-web') ||
      resolve.some((group) => webCovers(webGroups.get(group) ?? { any: false, domains: [], urls: [] }, name)) ||
      groups.some(({ hostnames }) => hostnames.some((one) => one.name === name));
    return (
      covers &&
      (to === undefined || destinationMatches(groups, { address: to, names: [name] }, 'permit', prepared.gatewayKeys))
    );
  });

const isMonitored = ({ prepared }: Judge, sender: Sender): boolean =>
  prepared.context.monitor || containmentOf(prepared.groups, sender) === 'monitor';

const reservedPrefixes = ['169.254.0.0/16', '168.63.129.16/32', 'fd00:ec2::254/128', '127.0.0.0/8', '::1/128'].map(
  prefix,
);
const isReserved = ({ prepared }: Judge, to: Address): boolean =>
  reservedPrefixes.some((one) => prefixContains(one, to)) || prepared.gatewayKeys.has(`${to.family}:${to.value}`);

/** The agent may ask for the name. */
const isOpen = (judge: Judge, sender: Sender, name: DomainName, at: number): boolean =>
  isMonitored(judge, sender) || somePermit(judge, sender, name, at, ['enforce']);

/** The address may stand for the name. */
const isUsable = (judge: Judge, sender: Sender, name: DomainName, to: Address, at: number): boolean =>
  (isMonitored(judge, sender) && !isReserved(judge, to)) || somePermit(judge, sender, name, at, ['enforce'], to);

/**
 * Own mode: the gateway resolves the name for an agent that claims it. Not where nothing but monitoring opens it, though what a monitored rule names
 * counts for a monitored agent.
 */
export const isFollowed = (judge: Judge, sender: Sender, name: DomainName, at: number): boolean =>
  somePermit(judge, sender, name, at, isMonitored(judge, sender) ? ['enforce', 'monitor'] : ['enforce']);

/** What becomes of a question for addresses of a flow's name. */
export interface Answer {
  /** It may be asked of anybody. */
  readonly asks: boolean;
  /** Real addresses that the answer may lead to. In synthetic mode one of the pool stands for them; else they are the answer. */
  readonly addresses: readonly string[];
}

export const answerTo = (judge: Judge, spec: FlowSpec, at: number): Answer => {
  const sender = senderOf(judge, spec);
  if (spec.name === undefined || sender === undefined) return { asks: false, addresses: [] };
  const name = nameOf(spec.name);
  if (!isOpen(judge, sender, name, at)) return { asks: false, addresses: [] };
  const family = familyOf(spec.source);
  const other = family === 4 ? 6 : 4;
  // Only an address of the pool leads to one of another family.
  const crosses =
    judge.prepared.context.dnsMode === 'synthetic' && sender.workload.addresses.every((one) => one.family === family);
  const usable = judge.addressesOf(spec.name).filter((to) => isUsable(judge, sender, name, address(to), at));
  const of = (wanted: number): readonly string[] => usable.filter((to) => familyOf(to) === wanted);
  const addresses = of(family).length === 0 && crosses ? of(other) : of(family);
  return { asks: true, addresses };
};

/** Why what an agent was told is not what it may be; undefined where it is. */
export const answerFault = (judge: Judge, expected: Answer, told: readonly string[]): string | undefined => {
  const { addresses } = expected;
  const isRight =
    judge.prepared.context.dnsMode === 'synthetic'
      ? told.length === Math.min(1, addresses.length)
      : told.length === addresses.length && addresses.every((one) => told.includes(one));
  return isRight ? undefined : `it was told ${told.join() || 'no address'}, and may use ${addresses.join() || 'none'}`;
};

/** What agents were told, for as long as a network stands: a gateway remembers it for an hour past the answer. */
export interface Told {
  readonly note: (workload: string, name: string, addresses: readonly string[]) => void;
  readonly names: Judge['toldNames'];
}

export const createTold = (): Told => {
  const names = new Map<string, Set<DomainName>>();
  return {
    note(workload, name, addresses) {
      for (const to of addresses) {
        const key = `${workload} ${to}`;
        names.set(key, (names.get(key) ?? new Set()).add(nameOf(name)));
      }
    },
    names: (workload, to) => [...(names.get(`${workload} ${to}`) ?? [])],
  };
};
