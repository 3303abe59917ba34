import type { DomainName } from '@cofferdam/net';
import type { Facts } from '@cofferdam/verdict';
import type { LoadedPlan } from './load.ts';
import type { DnsMode } from './model.ts';
import type { NameClass, NameSetClass } from './name-classes.ts';

/** How the names of one flow are read, by what is known of them and by the DNS mode: which bitmaps count, and masks of all ones or none. */
export interface NameReading {
  readonly names: NameSetClass;
  /** Known, on TCP. */
  readonly claimed: NameClass | undefined;
  /** It is one of the address names, and takes the place of the others. */
  readonly member: boolean;
  /** Track mode, before the claimed name is read. */
  readonly early: boolean;
  /** What becomes of denies with `web` that match no name. */
  readonly rest: 'yes' | 'no' | 'waits';
  /** Permits with `web` match nothing. */
  readonly bare: number;
  /** But for those of `any-web`: the client shows that it claims no name. */
  readonly unnamed: number;
  /** Permits with `web` wait for the claimed name, whatever the address names. */
  readonly deferred: number;
  /** Rules with `web` hold every destination, since the name that is to come says where it leads. */
  readonly anywhere: number;
}

/** The address names, or the claimed name in their place. */
export const namesOf = (mode: DnsMode, action: 'permit' | 'deny', facts: Facts): readonly DomainName[] => {
  const { addressNames, claimedName } = facts;
  if (claimedName.state !== 'known' || facts.protocol !== 'tcp') return addressNames;
  const { value } = claimedName;
  if (addressNames.includes(value)) return action === 'deny' || mode === 'track' ? [value] : addressNames;
  if (action === 'deny') return [...addressNames, value];
  return mode === 'track' ? [] : addressNames;
};

const restOfDenies = (facts: Facts, monitored: boolean): 'yes' | 'no' | 'waits' => {
  if (facts.protocol !== 'tcp') return 'no';
  switch (facts.claimedName.state) {
    case 'unknown':
      return 'waits';
    case 'unreadable':
      return monitored ? 'yes' : 'waits';
    case 'known':
      return 'no';
    case 'absent': {
      const readable = facts.tls.state === 'known' || facts.plainHttpSeen || facts.request.state === 'known';
      return facts.addressNames.length === 0 && readable ? 'yes' : 'no';
    }
  }
};

const ifTrue = (holds: boolean): number => (holds ? -1 : 0);

export const readNames = (loaded: LoadedPlan, facts: Facts, monitored: boolean): NameReading => {
  const { dnsMode } = loaded.plan;
  const { addressNames, claimedName, tls, request } = facts;
  const tcp = facts.protocol === 'tcp';
  const unknown = tcp && claimedName.state === 'unknown';
  const broken = tcp && claimedName.state === 'unreadable';
  const track = dnsMode === 'track';
  const own = dnsMode === 'own';
  const value = tcp && claimedName.state === 'known' ? claimedName.value : undefined;
  const member = value !== undefined && addressNames.includes(value);
  const early = track && (unknown || broken);
  const says = tls.state === 'known' || request.state === 'known';
  return {
    // In own mode an address has a name once one was claimed.
    names: loaded.names.join(own && unknown ? [] : addressNames),
    claimed: value === undefined ? undefined : loaded.names.classify(value),
    member,
    early,
    rest: restOfDenies(facts, monitored),
    bare: ifTrue(track && (early ? broken && monitored : !member)),
    unnamed: ifTrue(tcp && claimedName.state === 'absent' && addressNames.length > 0 && says),
    deferred: ifTrue(own && (unknown || (broken && !monitored && addressNames.length === 0))),
    anywhere: ifTrue(own && unknown),
  };
};

/** How 32 rules stand by the names of a flow. */
export interface SaidOfNames {
  /** Nothing more need be read for their `web`. */
  sure: number;
  /** A URL pattern of them has such a host: the request decides. */
  url: number;
  /** They wait for the claimed name. */
  waits: number;
}

/** Writes into `said`, since this is done for every word of a walk. */
export const sayOfNames = (loaded: LoadedPlan, reading: NameReading, w: number, said: SaidOfNames): void => {
  const { properties } = loaded;
  const { names, claimed, member, early } = reading;
  const denyWeb = properties.denyWeb[w]!;
  const permitWeb = properties.web[w]! & ~denyWeb;
  let sure = early ? names.every[w]! : names.sure[w]!;
  let url = names.web[w]!;
  let waits = (reading.rest === 'waits' ? denyWeb : 0) | (permitWeb & reading.deferred);
  if (early) {
    waits |= url & permitWeb & ~reading.bare;
    url = 0;
  }
  if (claimed !== undefined) {
    const before = member ? ~denyWeb : -1;
    sure = (sure & before) | (claimed.sure[w]! & denyWeb);
    url = (url & before) | (claimed.web[w]! & denyWeb);
    if (member && loaded.plan.dnsMode === 'track') {
      sure = (sure & ~permitWeb) | (claimed.sure[w]! & permitWeb);
      url = (url & ~permitWeb) | (claimed.web[w]! & permitWeb);
    }
  }
  sure = (sure & ~(permitWeb & reading.bare)) | (permitWeb & properties.anyWeb[w]! & reading.bare & reading.unnamed);
  url &= ~(permitWeb & reading.bare);
  if (reading.rest === 'yes') sure |= denyWeb;
  said.sure = sure;
  said.url = url & ~sure;
  said.waits = waits;
};
