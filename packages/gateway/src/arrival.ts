import type { Socket } from 'node:net';
import type { Address, DomainName } from '@cofferdam/net';
import { type Facts, unknown } from '@cofferdam/verdict';
import { type Follow, inDialOrder } from './claimed-destinations.ts';
import type { FlowSubject } from './flow-log.ts';
import type { Gate } from './gate.ts';
import type { NameBook } from './name-book.ts';
import { socketAddress } from './socket-address.ts';
import type { TrackedNames } from './tracked-names.ts';

/** Where a connection to an address leads, as far as its first packet tells. */
export interface Way {
  readonly addressNames: readonly DomainName[];
  /** Real addresses, in the order of dialling. None: an address of the pool that stands for nothing. */
  readonly candidates: readonly Address[];
  /** The address lies in the pool. */
  readonly isPooled: boolean;
}

/** What tells the DNS modes apart in the proxy. */
export interface Ways {
  readonly at: (agent: string | undefined, destination: Address) => Way;
  /** Absent: what a client claims leads nowhere else. */
  readonly follow?: Follow;
}

const nowhere: Way = { addressNames: [], candidates: [], isPooled: true };
const asWritten = (destination: Address, addressNames: readonly DomainName[] = []): Way => ({
  addressNames,
  candidates: [destination],
  isPooled: false,
});

/** An address of the pool stands for one name, and leads to that name's real addresses. */
export const syntheticWays = (book: Pick<NameBook, 'at' | 'contains'>): Ways => ({
  at(_agent, destination) {
    const binding = book.at(destination);
    if (binding === undefined) return book.contains(destination) ? nowhere : asWritten(destination);
    return {
      addressNames: [binding.name],
      candidates: inDialOrder(binding.addresses, destination),
      isPooled: true,
    };
  },
});

/** An address has the names that this agent was given it for. */
export const trackedWays = (tracked: Pick<TrackedNames, 'namesAt'>, isPooled: (address: Address) => boolean): Ways => ({
  at: (agent, destination) =>
    isPooled(destination)
      ? nowhere
      : asWritten(destination, agent === undefined ? [] : tracked.namesAt(agent, destination)),
});

/** An address has no name, and what the client claims says where it leads. */
export const ownWays = (isPooled: (address: Address) => boolean, follow: Follow): Ways => ({
  at: (_agent, destination) => (isPooled(destination) ? nowhere : asWritten(destination)),
  follow,
});

/** An agent's connection, before anything is dialled. */
export interface Arrival {
  readonly subject: FlowSubject;
  readonly facts: Facts;
  readonly candidates: readonly Address[];
}

/** Of an accepted socket, whose local address and port are the flow's original destination. Undefined: it is gone already. */
export const arrivalOf = (
  socket: Socket,
  onInterface: string,
  gate: Gate | undefined,
  ways: Ways,
  { now, nextId }: { readonly now: () => number; readonly nextId: () => string },
): Arrival | undefined => {
  const [source, destination] = [socketAddress(socket.remoteAddress), socketAddress(socket.localAddress)];
  if (source === undefined || destination === undefined) return undefined;
  const agent = gate?.agentAt(source, onInterface);
  const { addressNames, candidates, isPooled } = ways.at(agent?.name, destination);
  return {
    subject: {
      id: nextId(),
      start: now(),
      agent,
      source: { address: source, port: socket.remotePort ?? 0 },
      synthetic: isPooled ? destination : undefined,
    },
    facts: {
      at: now(),
      source,
      interface: onInterface,
      protocol: 'tcp',
      destination,
      destinationPort: socket.localPort ?? 0,
      addressNames,
      path: 'proxy',
      tls: unknown,
      claimedName: unknown,
      plainHttpSeen: false,
      request: unknown,
      mcp: unknown,
    },
    candidates,
  };
};
