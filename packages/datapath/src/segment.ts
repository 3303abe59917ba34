import { type Address, addressToBytes } from '@cofferdam/net';

/** One end of a TCP connection. */
export interface SegmentEnd {
  readonly address: Address;
  readonly port: number;
}

/** A TCP segment without data or options. */
export interface Segment {
  readonly from: SegmentEnd;
  readonly to: SegmentEnd;
  readonly sequence: number;
  /** Absent: it acknowledges nothing. */
  readonly acknowledgement?: number;
  readonly reset: boolean;
}

const tcpLength = 20;
const protocol = 6;
const flag = { reset: 0x04, acknowledgement: 0x10 } as const;

/** RFC 1071. `bytes` is of even length. */
const checksum = (bytes: Buffer): number => {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
};

/** RFC 9293, section 3.1: the pseudo header is the same sum for both families, whose lengths fit 16 bits here. */
const pseudoHeader = ({ from, to }: Segment): Buffer =>
  Buffer.concat([addressToBytes(from.address), addressToBytes(to.address), Buffer.from([0, protocol, 0, tcpLength])]);

const tcpHeader = (segment: Segment): Buffer => {
  const header = Buffer.alloc(tcpLength);
  header.writeUInt16BE(segment.from.port, 0);
  header.writeUInt16BE(segment.to.port, 2);
  header.writeUInt32BE(segment.sequence >>> 0, 4);
  header.writeUInt32BE((segment.acknowledgement ?? 0) >>> 0, 8);
  header[12] = (tcpLength / 4) << 4;
  header[13] = (segment.reset ? flag.reset : 0) | (segment.acknowledgement === undefined ? 0 : flag.acknowledgement);
  header.writeUInt16BE(checksum(Buffer.concat([pseudoHeader(segment), header])), 16);
  return header;
};

const hops = 64;

/** RFC 791, section 3.1. The checksum is the kernel's to fill in, as is the identification. */
const header4 = ({ from, to }: Segment): Buffer => {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(header.length + tcpLength, 2);
  header.writeUInt16BE(0x4000, 6);
  header[8] = hops;
  header[9] = protocol;
  header.set(addressToBytes(from.address), 12);
  header.set(addressToBytes(to.address), 16);
  return header;
};

/** RFC 8200, section 3. */
const header6 = ({ from, to }: Segment): Buffer => {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(tcpLength, 4);
  header[6] = protocol;
  header[7] = hops;
  header.set(addressToBytes(from.address), 8);
  header.set(addressToBytes(to.address), 24);
  return header;
};

/** The datagram of a segment, for a raw socket that takes the IP header from its caller. */
export const segmentBytes = (segment: Segment): Buffer =>
  Buffer.concat([segment.from.address.family === 4 ? header4(segment) : header6(segment), tcpHeader(segment)]);
