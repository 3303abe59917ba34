import { type Address, addressFromBytes } from '@cofferdam/net';
import type { CapturedFrame } from './pcap.ts';

/** Captured frames to packets: Ethernet (with VLAN tags), raw IP, BSD loopback, PPP, Linux cooked v1 and v2; IPv4, IPv6. */

export interface Packet {
  readonly frame: number;
  readonly source: Address;
  readonly destination: Address;
  /** IP protocol number after the extension headers that were stepped over: 6 TCP, 17 UDP. */
  readonly protocol: number;
  /** TCP and UDP. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly tcp?: { readonly sequence: number; readonly syn: boolean; readonly fin: boolean; readonly rst: boolean };
  /** What the transport carries; everything after the IP header for other protocols. */
  readonly payload: Uint8Array;
}

/** The IP packet inside a frame, `undefined` where it carries none or the link type is none of those above. */
const ipOf = ({ bytes, linkType }: CapturedFrame): Uint8Array | undefined => {
  const type = (at: number): number => bytes[at]! * 256 + bytes[at + 1]!;
  const whenIp = (etherType: number, at: number) =>
    etherType === 0x0800 || etherType === 0x86dd ? bytes.subarray(at) : undefined;
  switch (linkType) {
    case 0: // BSD loopback: four bytes of address family in the recorder's byte order
      return bytes.subarray(4);
    case 1: {
      let at = 12;
      while (type(at) === 0x8100 || type(at) === 0x88a8) at += 4;
      return whenIp(type(at), at + 2);
    }
    case 9: {
      const at = bytes[0] === 0xff && bytes[1] === 3 ? 2 : 0;
      return type(at) === 0x0021 || type(at) === 0x0057 ? bytes.subarray(at + 2) : undefined;
    }
    case 12:
    case 14:
    case 101:
    case 228:
    case 229:
      return bytes;
    case 113:
      return whenIp(type(14), 16);
    case 276:
      return whenIp(type(0), 20);
    default:
      return undefined;
  }
};

interface Inside {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly payload: Uint8Array;
}

const inIPv4 = (ip: Uint8Array): Inside | undefined => {
  const header = (ip[0]! & 15) * 4;
  // A total length of 0 is a segment that the network card cut later: it goes to the end of what was captured.
  const total = ip[2]! * 256 + ip[3]! || ip.length;
  const isFragment = ((ip[6]! & 0x3f) | ip[7]!) !== 0;
  if (ip.length < 20 || header < 20 || total < header || isFragment) return undefined;
  const payload = ip.subarray(header, total);
  return { source: ip.subarray(12, 16), destination: ip.subarray(16, 20), protocol: ip[9]!, payload };
};

const inIPv6 = (ip: Uint8Array): Inside | undefined => {
  if (ip.length < 40) return undefined;
  const end = 40 + (ip[4]! * 256 + ip[5]! || ip.length - 40);
  let protocol = ip[6]!;
  let at = 40;
  // Hop-by-hop, routing and destination options tell their own length; a fragment is not reassembled here.
  while ((protocol === 0 || protocol === 43 || protocol === 60) && at + 8 <= ip.length) {
    protocol = ip[at]!;
    at += 8 + ip[at + 1]! * 8;
  }
  const payload = ip.subarray(at, end);
  return { source: ip.subarray(8, 24), destination: ip.subarray(24, 40), protocol, payload };
};

/** `undefined` for what is neither IPv4 nor IPv6, for fragments and for what the capture cut before its payload. */
export const decodePacket = (captured: CapturedFrame): Packet | undefined => {
  const ip = ipOf(captured);
  const version = (ip?.[0] ?? 0) >> 4;
  const inside = ip === undefined ? undefined : version === 4 ? inIPv4(ip) : version === 6 ? inIPv6(ip) : undefined;
  if (inside === undefined) return undefined;
  const { payload, protocol } = inside;
  const base = {
    frame: captured.frame,
    source: addressFromBytes(inside.source),
    destination: addressFromBytes(inside.destination),
    protocol,
  };
  const data = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (protocol === 6 && payload.length >= 20) {
    const flags = payload[13]!;
    return {
      ...base,
      sourcePort: data.getUint16(0),
      destinationPort: data.getUint16(2),
      tcp: {
        sequence: data.getUint32(4),
        syn: (flags & 2) !== 0,
        fin: (flags & 1) !== 0,
        rst: (flags & 4) !== 0,
      },
      payload: payload.subarray((payload[12]! >> 4) * 4),
    };
  }
  if (protocol === 17 && payload.length >= 8) {
    const ports = { sourcePort: data.getUint16(0), destinationPort: data.getUint16(2) };
    return { ...base, ...ports, payload: payload.subarray(8, data.getUint16(4) || payload.length) };
  }
  return { ...base, payload };
};

export const decodePackets = (frames: readonly CapturedFrame[]): Packet[] =>
  frames.flatMap((frame) => decodePacket(frame) ?? []);
