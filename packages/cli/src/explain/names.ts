import type { Address, DomainName } from '@cofferdam/net';
import { type EvaluationContext, isLocalName, type PolicySet } from '@cofferdam/policy';
import { isCovered, type LookUp, lookUp } from './look-up.ts';
import type { Question } from './question.ts';

/** In own mode, the name that a client claims, as the gateway would resolve it. */
export interface ClaimedName {
  readonly name: DomainName;
  readonly address: Address;
  /** The address was assumed, not given. */
  readonly assumed: boolean;
  /** An enforced, active permit covers the name, so that the proxy resolves it. */
  readonly resolved: boolean;
  /** The same with every monitored rule and the containment enforced. */
  readonly resolvedEnforced: boolean;
}

/** What becomes of names beside the facts of the first packet, by the DNS mode. */
export interface Names {
  /** Of the name that the agent connects to; absent where it connects to an address. In own mode nobody sees it asked: it is always answered. */
  readonly found?: LookUp;
  /** In own mode, where the client claims a name. */
  readonly claimed?: ClaimedName;
}

/** The name that a client claims by what it says first; undefined where it claims none, or what is none. */
export const claimedBy = ({ speech, protocol }: Pick<Question, 'speech' | 'protocol'>): DomainName | undefined => {
  if (protocol !== 'tcp' || speech.kind === 'other') return undefined;
  const fact = speech.kind === 'tls' ? speech.claimed : speech.host;
  return fact.state === 'known' ? fact.value : undefined;
};

export const namesOf = (policy: PolicySet, context: EvaluationContext, agent: string, question: Question): Names => {
  const { target, address, at } = question;
  const ask = (name: DomainName): LookUp =>
    lookUp(policy, context, agent, name, name === target.name ? address : undefined, at);
  const found = target.name === undefined ? {} : { found: ask(target.name) };
  if (context.dnsMode !== 'own') return found;
  const written = found.found && { address: found.found.address, assumed: found.found.assumed };
  const name = claimedBy(question);
  const claimed = (claims: DomainName): ClaimedName => {
    const { address: leads, assumed, enforced } = ask(claims);
    const isAsked = !isLocalName(claims);
    return {
      name: claims,
      address: leads,
      assumed,
      resolved: isAsked && isCovered(policy, context, agent, claims, at),
      resolvedEnforced: isAsked && enforced !== 'dns-not-permitted',
    };
  };
  return {
    ...(written !== undefined && { found: { ...written, outcome: 'answered' } }),
    ...(name !== undefined && { claimed: claimed(name) }),
  };
};

/** As if every look-up were answered: for an instant at which other rules are in force. */
export const allAnswered = ({ found, claimed }: Names): Names => ({
  ...(found !== undefined && { found: { ...found, outcome: 'answered' } }),
  ...(claimed !== undefined && { claimed: { ...claimed, resolved: true } }),
});
