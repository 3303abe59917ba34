import { type FlowRecord, type Hint, hint, recordVersion } from '@cofferdam/flows';
import type { LookUp } from './look-up.ts';
import type { Question } from './question.ts';
import type { Outcome } from './stages.ts';

const nothing = { bytes: 0n, packets: 0n };

/** What to add to permit the connection: what `run` would say of its record. Undefined where nothing stops it. */
export const hintFor = (
  { verdict, reason, facts, path, wouldBe, rule }: Outcome,
  question: Question,
  agent: string,
  group: string,
  found: LookUp | undefined,
  assumedGroup: string | undefined,
): Hint | undefined => {
  const lifted = verdict === 'permit' && reason === 'monitored';
  if (verdict === 'permit' && !lifted) return undefined;
  // A rule for it is written already, and only watches.
  if (wouldBe !== undefined && wouldBe !== 'unknown' && wouldBe.verdict === 'permit' && wouldBe.rule !== rule) {
    return lifted ? undefined : { kind: 'advice', note: 'remove `mode: monitor` from the rule that would permit it' };
  }
  const { destination, destinationPort } = facts;
  const head = {
    version: recordVersion,
    id: '',
    gateway: '',
    start: facts.at,
    agent: { name: agent, labels: {} },
    source: { address: facts.source },
    verdict,
    reason,
    enforced: !lifted,
    revision: 0,
  } as const;
  // A refused look-up is asked about as the connection it stands for: the port is known here.
  const flow: FlowRecord = {
    ...head,
    kind: 'flow',
    interface: facts.interface,
    destination: { address: destination, ...(destinationPort !== undefined && { port: destinationPort }) },
    // A record whose synthetic address is its destination was never dialled: its real address is not known.
    ...(found?.assumed === true && { synthetic: destination }),
    protocol: question.protocol,
    addressNames: facts.addressNames,
    tls: facts.tls,
    claimedName: facts.claimedName,
    request: facts.request,
    mcp: facts.mcp,
    stage: 'packet',
    path,
    toDestination: nothing,
    toAgent: nothing,
  };
  const suggested = hint(flow, { group });
  if (assumedGroup === undefined || suggested?.kind !== 'rule') return suggested;
  // The name resolves into a group of the policy, and the hint, which sees no policy, took the public internet.
  return {
    ...suggested,
    rule: suggested.rule.replace('to: ["public-internet"]', `to: [${JSON.stringify(assumedGroup)}]`),
  };
};
