import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import {
  type Address,
  addressFromBytes,
  addressToBytes,
  type DomainName,
  isPublicInternet,
  type Prefix,
  parseAddress,
  prefixContains,
} from '@cofferdam/net';
import { loadPlan, resolvable, usableAddress } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet } from '@cofferdam/policy';

/** What the gateway's resolver would say to a name, and the address that stands for it in what follows. */
export interface LookUp {
  readonly outcome: 'answered' | 'dns-not-permitted' | 'dns-address-denied';
  readonly address: Address;
  /** The address was assumed, not given. */
  readonly assumed: boolean;
  /** What would be said with every monitored rule and the containment enforced; absent: it would be answered. */
  readonly enforced?: 'dns-not-permitted' | 'dns-address-denied';
}

/** An address of the public internet that stands for any other; it is never contacted and never shown. */
export const placeholder: Address = parseAddress('93.184.216.34')!;

/** An address inside a prefix that is no network address. */
const within = ({ address, length }: Prefix): Address => {
  const bytes = addressToBytes(address);
  if (length < bytes.length * 8 - 1) bytes[bytes.length - 1] = bytes[bytes.length - 1]! | 1;
  return addressFromBytes(bytes);
};

/** Addresses that permits of the policy ask for, other than the public internet. */
const candidates = (policy: PolicySet): readonly Address[] =>
  policy.rulesets
    .flatMap(({ rules }) => rules.filter(({ action }) => action === 'permit').flatMap(({ to }) => to))
    .flatMap((name): readonly Address[] => {
      if (name === 'private-networks') return [parseAddress('10.0.0.1')!];
      const selectors = policy.smartGroups.get(name)?.any ?? [];
      return selectors.flatMap((selector) => (selector.kind === 'cidr' ? [within(selector.prefix)] : []));
    });

/**
 * Asks the compiled policy what the resolver asks it. An answer counts only if one permit matches name and address together, so
 * where the public internet will not do, the first address that a permit asks for is taken.
 */
export const lookUp = (
  policy: PolicySet,
  context: EvaluationContext,
  agent: string,
  name: DomainName,
  given: Address | undefined,
  at: number,
): LookUp => {
  const now = lookUpOnce(policy, context, agent, name, given, at);
  const { outcome, address } = lookUpOnce(enforcing(policy), { ...context, monitor: false }, agent, name, given, at);
  if (outcome !== 'answered') return { ...now, enforced: outcome };
  return now.outcome === 'answered' ? { ...now, address } : now;
};

/**
 * Whether an enforced, active permit of the agent covers a name. What monitoring lifts does not count: that answers questions, but leads no
 * claimed name elsewhere.
 */
export const isCovered = (
  policy: PolicySet,
  context: EvaluationContext,
  agent: string,
  name: DomainName,
  at: number,
): boolean =>
  !context.monitor &&
  lookUpOnce(containing(policy), context, agent, name, undefined, at).outcome !== 'dns-not-permitted';

/** The policy once every containment is promoted. */
const containing = (policy: PolicySet): PolicySet => ({
  ...policy,
  smartGroups: new Map(
    [...policy.smartGroups].map(([name, group]) => [
      name,
      group.containment === 'monitor' ? { ...group, containment: 'enforce' as const } : group,
    ]),
  ),
});

/** The same with every monitored rule. */
const enforcing = (policy: PolicySet): PolicySet => ({
  ...containing(policy),
  rulesets: policy.rulesets.map((ruleset) => ({
    ...ruleset,
    rules: ruleset.rules.map((rule) => (rule.mode === 'monitor' ? { ...rule, mode: 'enforce' as const } : rule)),
  })),
});

const lookUpOnce = (
  policy: PolicySet,
  context: EvaluationContext,
  agent: string,
  name: DomainName,
  given: Address | undefined,
  at: number,
): LookUp => {
  const { plan } = compile(policy, {
    ...context,
    at,
    revision: 1,
    digest: (text) => createHash('sha256').update(text).digest('hex'),
  });
  const loaded = loadPlan(plan);
  const agentClass = loaded.agents.find((one) => one.name === agent)?.class ?? -1;
  const address = given ?? placeholder;
  const assumed = given === undefined;
  if (!resolvable(loaded, agentClass, name, at)) return { outcome: 'dns-not-permitted', address, assumed };
  const tried = given === undefined ? [placeholder, ...candidates(policy)] : [given];
  const usable = tried.find((one) => usableAddress(loaded, agentClass, name, one, at));
  return usable === undefined
    ? { outcome: 'dns-address-denied', address, assumed }
    : { outcome: 'answered', address: usable, assumed };
};

/** The group that an address was taken from; undefined for the public internet. */
export const groupOfAddress = (policy: PolicySet, address: Address): string | undefined => {
  if (isPublicInternet(address)) return undefined;
  const group = [...policy.smartGroups.values()].find(({ any }) =>
    any.some((selector) => selector.kind === 'cidr' && prefixContains(selector.prefix, address)),
  );
  return group?.name ?? 'private-networks';
};

/** How an assumed address is spoken of. */
export const addressWords = (policy: PolicySet, address: Address): string => {
  const group = groupOfAddress(policy, address);
  return group === undefined ? 'an address of the public internet' : `an address in \`${group}\``;
};
