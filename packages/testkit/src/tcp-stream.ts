import { type Address, formatAddress } from '@cofferdam/net';
import type { Packet } from './packets.ts';

/** One direction of one TCP connection, put together from a capture. */
export interface TcpStream {
  readonly source: Address;
  readonly sourcePort: number;
  readonly destination: Address;
  readonly destinationPort: number;
  /** From the first byte after the SYN (or of the first segment captured) up to the first gap. */
  readonly bytes: Uint8Array;
  /** Every segment with payload, in the order captured; offsets into the stream, which may lie beyond `bytes`. */
  readonly segments: readonly { readonly frame: number; readonly start: number; readonly end: number }[];
}

interface Gathering {
  readonly first: Packet;
  /** Sequence number of the stream's first byte. */
  readonly base: number;
  readonly segments: { frame: number; start: number; payload: Uint8Array }[];
}

/** In the order of their first packet. A SYN with another sequence number on known ports begins a new stream. */
export const tcpStreams = (packets: readonly Packet[]): TcpStream[] => {
  const all: Gathering[] = [];
  const current = new Map<string, Gathering>();
  for (const packet of packets) {
    if (packet.tcp === undefined) continue;
    const key = [
      formatAddress(packet.source),
      packet.sourcePort,
      formatAddress(packet.destination),
      packet.destinationPort,
    ].join(' ');
    const base = (packet.tcp.sequence + (packet.tcp.syn ? 1 : 0)) >>> 0;
    let gathering = current.get(key);
    if (gathering === undefined || (packet.tcp.syn && gathering.base !== base)) {
      gathering = { first: packet, base, segments: [] };
      current.set(key, gathering);
      all.push(gathering);
    }
    // Signed 32-bit difference, so that sequence numbers may wrap.
    const start = (base - gathering.base) | 0;
    if (packet.payload.length > 0) gathering.segments.push({ frame: packet.frame, start, payload: packet.payload });
  }
  return all.map(assemble);
};

const assemble = ({ first, segments }: Gathering): TcpStream => {
  const parts: Uint8Array[] = [];
  let length = 0;
  // What was sent first counts; a retransmission adds only what lies beyond.
  for (const { start, payload } of segments.toSorted((a, b) => a.start - b.start || a.frame - b.frame)) {
    if (start > length) break;
    const fresh = payload.subarray(length - start);
    parts.push(fresh);
    length += fresh.length;
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return {
    source: first.source,
    sourcePort: first.sourcePort!,
    destination: first.destination,
    destinationPort: first.destinationPort!,
    bytes,
    segments: segments.map(({ frame, start, payload }) => ({ frame, start, end: start + payload.length })),
  };
};
