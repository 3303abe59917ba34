import { formatAddress } from '@cofferdam/net';
import type { Reason } from '@cofferdam/verdict';
import { agentText, flowName, isByDefault, verdictText, wouldBeOf } from './describe.ts';
import type { AnyRecord } from './record.ts';

/** What to show. Absent keys do not constrain; those given must all hold. */
export interface RecordFilter {
  /** Inventory name, or the source address where the agent is unknown. */
  readonly agent?: string;
  /** `lifted`: permitted only because it is monitored; those are among `permit` too. */
  readonly verdict?: 'permit' | 'deny' | 'would-deny';
  /** A rule's name, its id, or `ruleset/name`; `default` for the default. */
  readonly rule?: string;
  /** A DNS name or a destination address, in canonical form; a leading `*.` takes every name below. */
  readonly name?: string;
  /** Of the verdict, or of what it would have been with everything enforced. */
  readonly reason?: Reason;
  /** Milliseconds since the epoch, inclusive; judged on the end where there is one. */
  readonly since?: number;
}

const namesOf = (r: AnyRecord): readonly string[] => {
  // What it stands for may have been of any name.
  if (r.kind === 'suppressed') return [];
  if (r.kind === 'dns') return [r.name, ...[...r.synthetic, ...r.addresses].map(formatAddress)];
  const name = flowName(r);
  const claimed = r.claimedName.state === 'known' ? [r.claimedName.value] : [];
  return [...(name === undefined ? [] : [name]), ...r.addressNames, ...claimed, formatAddress(r.destination.address)];
};

const nameMatches = (wanted: string, name: string): boolean =>
  wanted.startsWith('*.') ? name.length > wanted.length - 1 && name.endsWith(wanted.slice(1)) : name === wanted;

const ruleMatches = (wanted: string, r: AnyRecord): boolean =>
  r.rule === undefined
    ? wanted === 'default' && isByDefault(r)
    : [r.rule.name, r.rule.id, `${r.rule.ruleset}/${r.rule.name}`].includes(wanted);

export const matchesFilter = (filter: RecordFilter, r: AnyRecord): boolean =>
  (filter.agent === undefined || agentText(r) === filter.agent || r.agent.name === filter.agent) &&
  (filter.verdict === undefined || r.verdict === filter.verdict || verdictText(r) === filter.verdict) &&
  (filter.rule === undefined || ruleMatches(filter.rule, r)) &&
  (filter.name === undefined || namesOf(r).some((name) => nameMatches(filter.name!, name))) &&
  (filter.reason === undefined || r.reason === filter.reason || wouldBeOf(r)?.reason === filter.reason) &&
  (filter.since === undefined || (r.end ?? r.start) >= filter.since);
