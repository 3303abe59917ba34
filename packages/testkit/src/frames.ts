import { type Address, addressToBytes } from '@cofferdam/net';

/**
 * Ethernet frames as a machine sends them, with checksums that hold, and with lies where a test asks for them. The other way round is
 * `packets.ts`.
 */

const concat = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

const u8 = (value: number): Uint8Array => Uint8Array.of(value & 0xff);
const u16 = (value: number): Uint8Array => Uint8Array.of((value >>> 8) & 0xff, value & 0xff);
const u32 = (value: number): Uint8Array => concat(u16(value >>> 16), u16(value & 0xffff));

/** RFC 1071. */
const checksum = (...parts: readonly Uint8Array[]): number => {
  let sum = 0;
  for (const part of parts) for (let i = 0; i < part.length; i += 2) sum += part[i]! * 256 + (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65_536);
  return ~sum & 0xffff;
};

export const protocolNumbers = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

export const macBytes = (text: string): Uint8Array =>
  Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));

export interface EthernetWords {
  readonly source?: string;
  readonly destination?: string;
  /** 802.1Q or 802.1ad tags, outermost first. */
  readonly tags?: readonly { readonly type?: number; readonly id: number }[];
}

export const agentMac = '02:00:00:00:00:07';
export const gatewayMac = '02:00:00:00:00:01';

export const ethernet = (type: number, payload: Uint8Array, words: EthernetWords = {}): Uint8Array =>
  concat(
    macBytes(words.destination ?? gatewayMac),
    macBytes(words.source ?? agentMac),
    ...(words.tags ?? []).map(({ type: tagType = 0x8100, id }) => concat(u16(tagType), u16(id))),
    u16(type),
    payload,
  );

/** What of an IP header a test may bend. */
export interface IpWords extends EthernetWords {
  /** IPv4 only; a multiple of four bytes. */
  readonly options?: Uint8Array;
  /** IPv4 `tot_len` or IPv6 payload length instead of the true one. */
  readonly length?: number;
  readonly version?: number;
  readonly headerWords?: number;
  readonly ttl?: number;
  /** IPv4 identification. */
  readonly id?: number;
  /** IPv4 flags and fragment offset field: 0x2000 more fragments, 0x4000 do not fragment, then the offset in units of 8. */
  readonly fragment?: number;
}

const ipv4 = (
  source: Address,
  destination: Address,
  protocol: number,
  payload: Uint8Array,
  words: IpWords,
): Uint8Array => {
  const options = words.options ?? new Uint8Array(0);
  const headerLength = 20 + options.length;
  const header = (sum: number): Uint8Array =>
    concat(
      u8(((words.version ?? 4) << 4) | (words.headerWords ?? headerLength / 4)),
      u8(0),
      u16(words.length ?? headerLength + payload.length),
      u16(words.id ?? 1),
      u16(words.fragment ?? 0x4000),
      u8(words.ttl ?? 64),
      u8(protocol),
      u16(sum),
      addressToBytes(source),
      addressToBytes(destination),
      options,
    );
  return concat(header(checksum(header(0))), payload);
};

const ipv6 = (
  source: Address,
  destination: Address,
  protocol: number,
  payload: Uint8Array,
  words: IpWords,
): Uint8Array =>
  concat(
    u32(((words.version ?? 6) << 28) >>> 0),
    u16(words.length ?? payload.length),
    u8(protocol),
    u8(words.ttl ?? 64),
    addressToBytes(source),
    addressToBytes(destination),
    payload,
  );

/** An IP packet, without Ethernet: what an ICMP error carries inside. */
export const ipPacket = (
  source: Address,
  destination: Address,
  protocol: number,
  payload: Uint8Array,
  words: IpWords = {},
): Uint8Array => (source.family === 4 ? ipv4 : ipv6)(source, destination, protocol, payload, words);

/** A frame with any IP payload. IPv6 extension headers are part of the payload. */
export const ipFrame = (
  source: Address,
  destination: Address,
  protocol: number,
  payload: Uint8Array,
  words: IpWords = {},
): Uint8Array =>
  ethernet(source.family === 4 ? 0x0800 : 0x86dd, ipPacket(source, destination, protocol, payload, words), words);

const pseudoHeader = (source: Address, destination: Address, protocol: number, length: number): Uint8Array =>
  concat(
    addressToBytes(source),
    addressToBytes(destination),
    source.family === 4 ? concat(u8(0), u8(protocol), u16(length)) : concat(u32(length), u32(protocol)),
  );

export interface Ends {
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export const reversed = (ends: Ends): Ends => ({
  source: ends.destination,
  destination: ends.source,
  sourcePort: ends.destinationPort,
  destinationPort: ends.sourcePort,
});

export interface TcpWords extends IpWords {
  /** Letters of FIN, SYN, RST, PSH, ACK, URG: `S`, `SA`, `PA`, `R`, `FA`, `U`. Default `A`. */
  readonly flags?: string;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly urgent?: number;
  /** Default 65,535. */
  readonly window?: number;
  /** A multiple of four bytes. */
  readonly tcpOptions?: Uint8Array;
  /** Data offset in words instead of the true one. */
  readonly dataOffset?: number;
  readonly payload?: Uint8Array;
}

const flagBits: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32 };

export const tcpHeaderAndPayload = (ends: Ends, words: TcpWords = {}): Uint8Array => {
  const options = words.tcpOptions ?? new Uint8Array(0);
  const payload = words.payload ?? new Uint8Array(0);
  const flags = [...(words.flags ?? 'A')].reduce((bits, letter) => bits | (flagBits[letter] ?? 0), 0);
  const segment = (sum: number): Uint8Array =>
    concat(
      u16(ends.sourcePort),
      u16(ends.destinationPort),
      u32((words.sequence ?? 0) >>> 0),
      u32((words.acknowledgement ?? 0) >>> 0),
      u8((words.dataOffset ?? 5 + options.length / 4) << 4),
      u8(flags),
      u16(words.window ?? 65_535),
      u16(sum),
      u16(words.urgent ?? 0),
      options,
      payload,
    );
  const bare = segment(0);
  return segment(checksum(pseudoHeader(ends.source, ends.destination, protocolNumbers.tcp, bare.length), bare));
};

export const tcpFrame = (ends: Ends, words: TcpWords = {}): Uint8Array =>
  ipFrame(ends.source, ends.destination, protocolNumbers.tcp, tcpHeaderAndPayload(ends, words), words);

export interface UdpWords extends IpWords {
  readonly payload?: Uint8Array;
  /** UDP length field instead of the true one. */
  readonly udpLength?: number;
}

export const udpHeaderAndPayload = (ends: Ends, words: UdpWords = {}): Uint8Array => {
  const payload = words.payload ?? Uint8Array.of(1, 2, 3, 4);
  const length = words.udpLength ?? 8 + payload.length;
  const datagram = (sum: number): Uint8Array =>
    concat(u16(ends.sourcePort), u16(ends.destinationPort), u16(length), u16(sum), payload);
  const bare = datagram(0);
  const sum = checksum(pseudoHeader(ends.source, ends.destination, protocolNumbers.udp, bare.length), bare);
  return datagram(sum === 0 ? 0xffff : sum);
};

export const udpFrame = (ends: Ends, words: UdpWords = {}): Uint8Array =>
  ipFrame(ends.source, ends.destination, protocolNumbers.udp, udpHeaderAndPayload(ends, words), words);

export interface IcmpWords extends IpWords {
  readonly type: number;
  readonly code?: number;
  /** The four bytes behind the checksum; of an echo: identifier and sequence. */
  readonly rest?: Uint8Array;
  readonly payload?: Uint8Array;
}

export const icmpMessage = (source: Address, destination: Address, words: IcmpWords): Uint8Array => {
  const payload = words.payload ?? Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const message = (sum: number): Uint8Array =>
    concat(u8(words.type), u8(words.code ?? 0), u16(sum), words.rest ?? new Uint8Array(4), payload);
  const bare = message(0);
  const pseudo =
    source.family === 4 ? new Uint8Array(0) : pseudoHeader(source, destination, protocolNumbers.icmp6, bare.length);
  return message(checksum(pseudo, bare));
};

export const icmpFrame = (source: Address, destination: Address, words: IcmpWords): Uint8Array =>
  ipFrame(
    source,
    destination,
    source.family === 4 ? protocolNumbers.icmp : protocolNumbers.icmp6,
    icmpMessage(source, destination, words),
    words,
  );

const echoTypes = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;

export const echoFrame = (
  source: Address,
  destination: Address,
  kind: 'request' | 'reply',
  identifier: number,
  words: IpWords = {},
): Uint8Array =>
  icmpFrame(source, destination, {
    ...words,
    type: echoTypes[source.family][kind],
    rest: concat(u16(identifier), u16(1)),
  });

/** An IPv6 extension header of the usual form: next header, length in units of 8 bytes beyond the first, filler. */
export const extensionHeader = (next: number, data = new Uint8Array(6)): Uint8Array =>
  concat(u8(next), u8((data.length + 2) / 8 - 1), data);

/** `offset` in bytes, a multiple of 8. */
export const fragmentHeader = (next: number, offset: number, more: boolean, id = 1): Uint8Array =>
  concat(u8(next), u8(0), u16(offset | (more ? 1 : 0)), u32(id));
