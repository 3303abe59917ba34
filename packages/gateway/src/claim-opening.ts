import { addressesEqual, type DomainName } from '@cofferdam/net';
import type { Facts } from '@cofferdam/verdict';
import type { Follow } from './claimed-destinations.ts';
import { type FirstBytes, sniff } from './first-bytes.ts';
import { factsOfFirst, nothingClaimed, nothingRead } from './first-facts.ts';
import type { Gate } from './gate.ts';
import { mayReadCalls, readRequest, settleRequest } from './http-claim.ts';
import {
  denial,
  denialUnread,
  isOpened,
  type Judgement,
  judge,
  liftable,
  refuseEncrypted,
  type Settled,
  settleFacts,
  waitsForCalls,
} from './judgement.ts';
import { type Caller, type Connected, connectTo, type Dialling, type Opened, permittedOf, refused } from './opening.ts';

/** What a client's first bytes say, and how a flow that begins so is settled. */
interface Claim {
  readonly facts: Partial<Facts>;
  /** Claimed in a way that may lead somewhere. */
  readonly name: DomainName | undefined;
  /** Undecided: what decides is inside TLS that is to be opened, or in the body of a request. */
  readonly settle: (gate: Gate, facts: Facts) => Judgement;
}

const nameIn = ({ claimedName }: Partial<Facts>): DomainName | undefined =>
  claimedName?.state === 'known' ? claimedName.value : undefined;

const claimOf = (first: FirstBytes, isSilent: boolean, flow: Facts, opens: boolean): Claim => {
  const settledAs =
    (otherwise: Settled['reason']) =>
    (gate: Gate, facts: Facts): Settled =>
      settleFacts(gate, facts, otherwise);
  switch (first.kind) {
    case 'http': {
      const { head } = first;
      const read = readRequest(head, flow, flow.destination, undefined);
      const walked = settledAs('request-unreadable');
      return {
        facts: read.facts,
        name: read.denied === undefined ? read.name : undefined,
        settle(gate, facts) {
          if (mayReadCalls(head, read) && waitsForCalls(gate, facts)) return judge(gate, facts);
          return settleRequest(head, read, walked(gate, facts), gate, facts).judgement;
        },
      };
    }
    case 'closed':
    case 'timeout': {
      const reason = first.kind === 'closed' ? 'undecided-closed' : 'undecided-timeout';
      const walked = settledAs(reason);
      const unread = isSilent ? nothingClaimed : nothingRead;
      return {
        facts: {},
        name: undefined,
        settle(gate, facts) {
          const waiting = walked(gate, facts);
          if (waiting.kind === 'deny') return waiting;
          return denialUnread(gate, { ...facts, ...unread }, { ...waiting, stage: 'name', reason });
        },
      };
    }
    default: {
      const facts = factsOfFirst(first);
      const isTls = first.kind === 'tls' || first.kind === 'tls-unreadable';
      const walked = settledAs(isTls ? 'would-need-opening' : 'request-unreadable');
      const isEncrypted = first.kind === 'tls' && first.encrypted;
      return {
        facts,
        name: nameIn(facts),
        settle(gate, at) {
          if (opens && first.kind === 'tls' && isOpened(gate, at)) return judge(gate, at);
          return isEncrypted ? refuseEncrypted(gate, walked(gate, at)) : walked(gate, at);
        },
      };
    }
  }
};

/**
 * Where what the client claims says where the connection leads: nothing is dialled before it is known, since every connection to an address of the
 * client's choice would be a message. But where the flow would be permitted though the client claims nothing, it is dialled at once to the address
 * as written, for servers that speak first.
 *
 * Then, by the first bytes of the client, 1. a name that a permit of the agent covers is resolved, and its addresses are the candidates; without one
 * the address as written is the only one; 2. each candidate is judged with all that is known by then, the request as well; 3. those that are
 * permitted are dialled in order.
 */
export const openByClaim = async (
  caller: Caller,
  dialling: Dialling,
  gate: Gate,
  follow: Follow,
  undecidedTimeout: number,
): Promise<Opened> => {
  const { client } = caller;
  const { facts, candidates } = caller.arrival;
  const [written] = candidates;
  if (written === undefined) return refused(gate, facts, denial('default', 'packet', 'address-unmapped'));
  const packet = judge(gate, facts);
  if (packet.kind === 'deny') return refused(gate, facts, packet);

  let early: Connected | undefined;
  if (judge(gate, { ...facts, ...nothingClaimed }).kind === 'permit') {
    const opened = await connectTo(caller, dialling, gate, facts, [written], nothingClaimed);
    if (opened.kind === 'connected') {
      const spoken = Promise.race([client.readable(), opened.upstream.readable()]);
      await dialling.whileSilent(opened.upstream, { ...opened.facts, ...nothingClaimed }, spoken);
      // The server spoke, or one side ended without a word: either way the client's facts are absent for good.
      if (!client.hasBytes()) return { ...opened, first: 'server' };
      early = opened;
    } else if (!client.hasBytes()) return opened;
  }

  const first = await sniff(client, undecidedTimeout);
  const claim = claimOf(first, !client.hasBytes(), facts, dialling.opens);
  // The client took its time, and another plan may be in force. What is decided by then rests on no name, and so on the address as written.
  const then = dialling.gate() ?? gate;
  const waits = judge(then, { ...facts, at: dialling.now() }).kind === 'undecided';
  const led = waits && claim.name !== undefined ? await follow(then, caller.agent, claim.name, written) : undefined;
  // So did resolving.
  const by = dialling.gate() ?? then;
  const drop = (judgement: Settled, at: Facts): Opened => {
    early?.upstream.reset();
    return { kind: 'denied', first, by, judgement, facts: at };
  };
  if (led?.kind === 'denied') {
    // No rule of the policy says so, as of a question that is refused for the same.
    const judgement = liftable(by, facts, { rule: 'default', stage: 'name', reason: led.reason });
    if (judgement.kind === 'deny') return drop(judgement, { ...facts, ...claim.facts });
  }
  const isLed = led?.kind === 'resolved' && claim.name !== undefined;
  const said = { ...facts, ...claim.facts, at: dialling.now(), addressNames: isLed ? [claim.name] : [] };
  const ways = isLed ? led.addresses : [written];
  const { addresses, denied } = permittedOf(ways, (destination) => claim.settle(by, { ...said, destination }));
  const [best] = addresses;
  if (best === undefined) {
    const judgement = denied ?? denial('default', 'name', 'no-decision');
    return drop(judgement, { ...said, destination: ways[0] ?? written });
  }
  if (early !== undefined && addressesEqual(best, written))
    return { ...early, facts: { ...said, destination: best }, first };
  early?.upstream.reset();
  const opened = await connectTo(caller, dialling, by, said, addresses);
  return opened.kind === 'connected' ? { ...opened, first } : opened;
};
