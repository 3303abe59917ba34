/** What the reference evaluator makes of a flow of the randomised lab, with the facts that the DNS mode gives it. */
import { type DomainName, prefixContains } from '@cofferdam/net';
import { evaluatePrepared, finalDecisionPrepared } from '@cofferdam/policy';
import { address, type Conduct, name as nameOf, prefix, readOf } from '@cofferdam/testkit';
import { absent, type Facts, known, type Path, unknown } from '@cofferdam/verdict';
import { answers, type FlowSpec, isThere, type Words } from './random-lab-flows.ts';
import { answerTo, isFollowed, type Judge, senderOf } from './random-lab-names.ts';
import { familyOf } from './random-lab-world.ts';

/** What the reference evaluator says of a flow to one of the addresses that it may have. */
export interface Chance {
  readonly address: string;
  /** Its first packet may arrive; what it says may. */
  readonly begins: boolean;
  readonly delivers: boolean;
  readonly path: Path;
  readonly reason: string;
}

export interface Expectation {
  readonly chances: readonly Chance[];
  /** Its address names. */
  readonly names: readonly DomainName[];
  /** The proxy takes it and reads what it says, whether or not anybody is dialled, and may answer by itself. */
  readonly isHeld: boolean;
  /** The gateway resolves this name for itself, since the client claims it. */
  readonly follows?: DomainName;
  /** What it says has to arrive, and, where somebody answers there, the answer too. */
  readonly must: boolean;
  readonly answered: boolean;
}

/** Where a flow may lead. */
interface Ways {
  readonly chances: readonly Chance[];
  readonly names: readonly DomainName[];
  /** It goes to one of these, where each of them is permitted. */
  readonly meant: readonly Chance[];
  /** Its proxied packets go nowhere before more is known. Absent: the proxy dials at once. */
  readonly isHeld?: boolean;
  readonly follows?: DomainName;
}

const pools = ['198.18.0.0/15', 'fdc0:ffe7:da11::/48'].map(prefix);
const isPooled = (to: string): boolean => pools.some((one) => prefixContains(one, address(to)));

const conductOf = (words: Words): Conduct => {
  switch (words.kind) {
    case 'opaque':
      return { kind: words.after ? 'server-first' : 'opaque' };
    case 'tls':
      return {
        kind: 'tls',
        name: words.sni === undefined ? absent : known(nameOf(words.sni)),
        inside: { request: absent, mcp: absent },
      };
    case 'http':
      return {
        kind: 'http',
        host: known(nameOf(words.host)),
        request: known({ method: words.method, scheme: 'http', host: nameOf(words.host), path: words.path }),
        mcp: absent,
      };
  }
};

const firstFacts = (judge: Judge, spec: FlowSpec, to: string, names: readonly DomainName[], at: number): Facts => ({
  at,
  source: address(spec.source),
  interface: judge.world.subnets[spec.subnet]!.device,
  protocol: spec.protocol,
  destination: address(to),
  ...(spec.protocol === 'icmp' ? {} : { destinationPort: spec.port }),
  addressNames: names,
  tls: unknown,
  claimedName: unknown,
  plainHttpSeen: false,
  request: unknown,
  mcp: unknown,
});

const isTorn = ({ manner }: FlowSpec): boolean => manner === 'torn' || manner === 'orphan';

/** To an address that is known at the first packet. */
const chanceOf = ({ prepared }: Judge, spec: FlowSpec, to: string, first: Facts): Chance => {
  // Only the proxy goes from one family to the other.
  const crosses = familyOf(to) !== familyOf(spec.source);
  const packet = crosses ? { ...first, path: 'proxy' as const } : first;
  const decision = evaluatePrepared(prepared, packet);
  const begins = decision.kind === 'undecided' || decision.verdict === 'permit';
  const path = crosses ? 'proxy' : decision.path;
  const final =
    spec.protocol === 'tcp' && begins
      ? finalDecisionPrepared(prepared, readOf(conductOf(spec.words), packet, path))
      : finalDecisionPrepared(prepared, { ...packet, path });
  return {
    address: to,
    begins: begins && !isTorn(spec),
    delivers: begins && !isTorn(spec) && final.verdict === 'permit',
    path,
    reason: final.reason,
  };
};

/** The address stands for one name, and leads to that name's addresses, whatever was written. */
const syntheticWays = (judge: Judge, spec: FlowSpec, written: string, at: number): Ways => {
  const names = spec.name === undefined ? [] : [nameOf(spec.name)];
  const real = spec.name === undefined ? (isPooled(written) ? [] : [written]) : judge.addressesOf(spec.name);
  const chances = real
    .filter((to) => familyOf(to) === familyOf(spec.source) || spec.protocol === 'tcp')
    .map((to) => chanceOf(judge, spec, to, firstFacts(judge, spec, to, names, at)));
  const meant = chances.filter((one) => familyOf(one.address) === familyOf(spec.source));
  if (spec.name === undefined) return { chances, names, meant };
  // It may have been told of fewer than there are now, or under an earlier policy of more.
  const usable = answerTo(judge, spec, at).addresses;
  return { chances, names, meant: meant.every(({ address: to }) => usable.includes(to)) ? meant : [] };
};

const trackedWays = (judge: Judge, spec: FlowSpec, written: string, at: number): Ways => {
  if (isPooled(written)) return { chances: [], names: [], meant: [] };
  const sender = senderOf(judge, spec);
  const names = sender === undefined ? [] : judge.toldNames(sender.workload.name, written);
  const chances = [chanceOf(judge, spec, written, firstFacts(judge, spec, written, names, at))];
  return { chances, names, meant: chances };
};

/** What the proxy holds goes where the claimed name leads, where a permit makes the gateway resolve it; else where it was written. */
const ownWays = (judge: Judge, spec: FlowSpec, written: string, at: number): Ways => {
  if (isPooled(written)) return { chances: [], names: [], meant: [] };
  const { prepared } = judge;
  const first = firstFacts(judge, spec, written, [], at);
  const decision = evaluatePrepared(prepared, first);
  if (decision.path === 'kernel') {
    const chances = [chanceOf(judge, spec, written, first)];
    return { chances, names: [], meant: chances };
  }
  // A connection that nobody completes is never given another end.
  if (spec.manner !== 'socket') return { chances: [], names: [], meant: [], isHeld: true };
  const sender = senderOf(judge, spec);
  const said = readOf(conductOf(spec.words), first, 'proxy');
  const claimed = said.claimedName.state === 'known' ? said.claimedName.value : undefined;
  const leads =
    decision.kind === 'undecided' &&
    claimed !== undefined &&
    sender !== undefined &&
    isFollowed(judge, sender, claimed, at);
  const names = leads ? [claimed] : [];
  // Servers that speak first are dialled at once where the flow would be permitted though its client claims nothing.
  const unclaimed = finalDecisionPrepared(prepared, readOf({ kind: 'silent' }, first, 'proxy'));
  const ways = leads ? judge.addressesOf(claimed) : [];
  const chances = [...new Set([...ways, written])].map((to): Chance => {
    const final = finalDecisionPrepared(prepared, { ...said, destination: address(to), addressNames: names });
    const delivers = (!leads || ways.includes(to)) && final.verdict === 'permit';
    const early = to === written && unclaimed.verdict === 'permit';
    return { address: to, begins: delivers || early, delivers, path: 'proxy', reason: final.reason };
  });
  // The proxy dials what is permitted, of the family that was written first, until somebody answers.
  const dialled = chances.filter(({ delivers }) => delivers);
  const near = dialled.filter((one) => familyOf(one.address) === familyOf(written));
  // Where the early connection is refused, the client's is reset unless it has spoken by then, so nobody knows which comes first.
  const isRace = leads && unclaimed.verdict === 'permit' && !isThere(judge.world, spec, written);
  return {
    chances,
    names,
    meant: isRace ? [] : near.length > 0 ? near : dialled,
    isHeld: true,
    ...(leads ? { follows: claimed } : {}),
  };
};

const waysIn = { synthetic: syntheticWays, track: trackedWays, own: ownWays };

/** `written`: where its packets are sent; undefined: it has no address, and sends none. */
export const expect = (judge: Judge, spec: FlowSpec, written: string | undefined, at: number): Expectation => {
  if (written === undefined) return { chances: [], names: [], isHeld: false, must: false, answered: false };
  const { world, prepared } = judge;
  const { meant, ...ways } = waysIn[prepared.context.dnsMode](judge, spec, written, at);
  const must =
    spec.manner === 'socket' &&
    meant.length > 0 &&
    meant.every((one) => one.delivers && isThere(world, spec, one.address));
  return {
    isHeld: ways.chances.some(({ begins, path }) => begins && path === 'proxy'),
    ...ways,
    must,
    answered: must && meant.every((one) => answers(world, spec, one.address)),
  };
};
