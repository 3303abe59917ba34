import type { Socket } from 'node:net';
import type { Address } from '@cofferdam/net';
import type { Facts } from '@cofferdam/verdict';
import type { Arrival } from './arrival.ts';
import type { ByteStream } from './byte-stream.ts';
import { type Dial, dialFirst } from './dialler.ts';
import type { FirstBytes } from './first-bytes.ts';
import type { CurrentGate, Gate, GateAgent } from './gate.ts';
import { denial, type Judgement, judge, type Settled } from './judgement.ts';

/** A connection that came in and has to be given its other end. */
export interface Caller {
  readonly arrival: Arrival;
  readonly agent: GateAgent;
  readonly client: ByteStream;
  /** The client's connection is over. */
  readonly isGone: () => boolean;
}

/** How other ends are made. */
export interface Dialling {
  readonly gate: CurrentGate;
  readonly dial: Dial;
  /** Of a connection that was made, so that the proxy can cut it. */
  readonly streamOf: (socket: Socket) => ByteStream;
  /** Milliseconds for one address to answer. */
  readonly connectTimeout: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** TLS can be opened. */
  readonly opens: boolean;
  /** Until somebody has `spoken`, the connection is reset once policy denies what it was dialled for. */
  readonly whileSilent: (upstream: ByteStream, facts: Facts, spoken: Promise<unknown>) => Promise<void>;
}

/** Why there is none, and by which plan. */
interface Denied {
  readonly facts: Facts;
  readonly judgement: Settled;
  readonly by: Gate;
}

/** What became of it. `first`: what the client began with, or that the server spoke first, where that is known. */
export type Opened =
  | {
      readonly kind: 'connected';
      readonly facts: Facts;
      readonly upstream: ByteStream;
      readonly first?: FirstBytes | 'server';
    }
  /** Nothing was read that could be answered. */
  | ({ readonly kind: 'refused' } & Denied)
  | ({ readonly kind: 'denied'; readonly first: FirstBytes } & Denied);

export type Connected = Extract<Opened, { kind: 'connected' }>;
export type Refused = Extract<Opened, { kind: 'refused' }>;

export const refused = (by: Gate, facts: Facts, judgement: Settled): Refused => ({
  kind: 'refused',
  by,
  facts,
  judgement,
});

/** The candidates that are not denied; with none, why the first was. */
export const permittedOf = (
  candidates: readonly Address[],
  judged: (destination: Address) => Judgement,
): { readonly addresses: readonly Address[]; readonly denied: Settled | undefined } => {
  const addresses: Address[] = [];
  let denied: Settled | undefined;
  for (const destination of candidates) {
    const judgement = judged(destination);
    if (judgement.kind === 'deny') denied ??= judgement;
    else addresses.push(destination);
  }
  return { addresses, denied };
};

/**
 * Dials addresses that were judged, until one answers. There is at least one. `assumed`: what they were judged by, beside what is known. A failure is
 * named after the rule that permits, or waits.
 */
export const connectTo = async (
  { isGone }: Pick<Caller, 'isGone'>,
  { dial, connectTimeout, streamOf }: Dialling,
  by: Gate,
  facts: Facts,
  addresses: readonly Address[],
  assumed: Partial<Facts> = {},
): Promise<Connected | Refused> => {
  const dialled = await dialFirst(dial, addresses, facts.destinationPort ?? 0, connectTimeout, isGone);
  if (dialled.kind === 'connected')
    return {
      kind: 'connected',
      facts: { ...facts, destination: dialled.address },
      upstream: streamOf(dialled.socket),
    };
  const to = {
    ...facts,
    destination: dialled.kind === 'given-up' ? (addresses[0] ?? facts.destination) : dialled.address,
  };
  // What the plan could not know of is what it says of the gateway's own addresses: denied by the default.
  if (dialled.kind === 'own') return refused(by, to, denial('default', 'packet', 'gateway-port'));
  const unanswered = dialled.kind === 'given-up' ? 'undecided-closed' : 'upstream-unreachable';
  return refused(by, to, denial(judge(by, { ...to, ...assumed }).rule, 'packet', unanswered));
};

/** Where the first packet says where the connection leads: the proxy dials at once what the walk does not deny. */
export const openAtOnce = async (caller: Caller, dialling: Dialling, gate: Gate): Promise<Opened> => {
  const { facts, candidates } = caller.arrival;
  const { addresses, denied } = permittedOf(candidates, (destination) => judge(gate, { ...facts, destination }));
  if (addresses.length > 0) return connectTo(caller, dialling, gate, facts, addresses);
  const unmapped = denial('default', 'packet', 'address-unmapped');
  return refused(gate, { ...facts, destination: candidates[0] ?? facts.destination }, denied ?? unmapped);
};
