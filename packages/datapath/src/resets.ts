import type { Family } from '@cofferdam/net';
import type { FlowKey } from './layout.ts';
import {
  AF_INET,
  AF_INET6,
  closeDescriptor,
  IPPROTO_RAW,
  openSocket,
  SOCK_RAW,
  sendTo,
  setSocketNumber,
} from './libc.ts';
import { socketAddress } from './listeners.ts';
import { marks } from './marks.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import { type Segment, type SegmentEnd, segmentBytes } from './segment.ts';

/** Speaks to an agent's end of a TCP flow as if it were the server, so that a flow without traffic ends at both ends. */
export interface Resets {
  /**
   * A segment from before the window, which an idle end answers at once with where it stands (RFC 9293, section 3.10.7.4). Of a flow that was
   * cut, the kernel program makes the server's reset of that answer.
   */
  readonly probe: (key: FlowKey, clientAck: number) => void;
  /** Resets the agent's end. `clientAck`: what it acknowledged last. */
  readonly reset: (key: FlowKey, clientAck: number) => void;
  readonly close: () => void;
}

/** Numbers of <sys/socket.h>. */
const SOL_SOCKET = 1;
const SO_MARK = 36;

const families: readonly (readonly [Family, number])[] = [
  [4, AF_INET],
  [6, AF_INET6],
];

export const openResets = (gateway: NetworkNamespace): Resets => {
  const open = (domain: number): number => {
    const fd = openSocket(domain, SOCK_RAW, IPPROTO_RAW);
    setSocketNumber(fd, SOL_SOCKET, SO_MARK, marks.cut);
    return fd;
  };
  const sockets = gateway.run(() => new Map(families.map(([family, domain]) => [family, open(domain)])));
  const send = (key: FlowKey, more: Pick<Segment, 'sequence' | 'acknowledgement' | 'reset'>): void => {
    const from: SegmentEnd = { address: key.destination, port: key.destinationPort };
    const to: SegmentEnd = { address: key.source, port: key.sourcePort };
    const bytes = segmentBytes({ from, to, ...more });
    // An agent that cannot be reached is cut by what the kernel program says of its next packet.
    sendTo(sockets.get(key.source.family)!, bytes, socketAddress(key.source, 0));
  };
  return {
    probe: (key, clientAck) => send(key, { sequence: clientAck - 1, acknowledgement: 0, reset: false }),
    reset: (key, clientAck) => send(key, { sequence: clientAck, reset: true }),
    close: () => {
      for (const fd of sockets.values()) closeDescriptor(fd);
    },
  };
};
