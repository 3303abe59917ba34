import type { Address, DomainName } from '@cofferdam/net';
import type { Bitmap } from './bitmap.ts';
import { activeAt, type LoadedPlan } from './load.ts';
import { destinationOf, toWord } from './walk.ts';

/**
 * Whether agents of a class may learn what a name resolves to: an enforced, active permit of theirs has a `web` domain, a `hostname` in
 * `to`, or a `resolve` that covers it. Where containment is monitored, DNS refusals are lifted, and everything resolves.
 */
export const resolvable = (loaded: LoadedPlan, agentClass: number, name: DomainName, at: number): boolean =>
  liftsRefusals(loaded, agentClass) || someWord(loaded, agentClass, name, at, () => -1);

/**
 * Whether an address may stand for a name in an answer: one permit covers the name and holds the address. A permit that does not look at
 * names does not count here, so that a name of the internet cannot be pointed at a private address which another permit opens. A
 * reserved range is answered only through a `cidr` inside it, in monitored runs too.
 */
export const usableAddress = (
  loaded: LoadedPlan,
  agentClass: number,
  name: DomainName,
  address: Address,
  at: number,
): boolean => {
  if (liftsRefusals(loaded, agentClass) && !isReservedDestination(loaded, address)) return true;
  const destination = destinationOf(loaded, { destination: address });
  const { host } = loaded.names.classify(name);
  return someWord(loaded, agentClass, name, at, (w) => toWord(loaded, destination, host[w]!, w));
};

const liftsRefusals = (loaded: LoadedPlan, agentClass: number): boolean =>
  loaded.plan.monitored || (loaded.agentClasses[agentClass]?.monitored ?? false);

const someWord = (
  loaded: LoadedPlan,
  agentClass: number,
  name: DomainName,
  at: number,
  also: (w: number) => number,
): boolean => {
  const from: Bitmap = loaded.agentClasses[agentClass]?.from ?? loaded.none;
  const { resolves } = loaded.names.classify(name);
  const active = activeAt(loaded, at);
  const { enforced } = loaded.properties;
  for (let w = 0; w < loaded.words; w++) {
    if ((from[w]! & resolves[w]! & active[w]! & enforced[w]! & also(w)) !== 0) return true;
  }
  return false;
};

/** Whether the address, or the IPv4 address inside it, is a platform, loopback, link-local, multicast or gateway address. */
export const isReservedDestination = (loaded: LoadedPlan, address: Address): boolean => {
  const { own, inner } = destinationOf(loaded, { destination: address });
  return own.kind !== 'plain' || (inner !== undefined && inner.kind !== 'plain');
};
