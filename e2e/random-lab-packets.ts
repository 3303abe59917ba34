/** Which flow a packet belongs to that arrived somewhere, and whether the reference evaluator permits it there. */
import { addressFromBytes, formatAddress } from '@cofferdam/net';
import { type CapturedFrame, decodePacket, type Packet } from '@cofferdam/testkit';
import type { Expectation } from './random-lab-expect.ts';
import type { FlowSpec } from './random-lab-flows.ts';
import type { Seen } from './random-lab-world.ts';

/** A flow that was sent, with what its packets are known by. */
export interface SentFlow {
  readonly spec: FlowSpec;
  /** Where its packets are sent; undefined: none are. */
  readonly written: string | undefined;
  readonly expected: Expectation;
  readonly token: string;
  readonly sourcePort: number;
}

export interface Ledger {
  readonly byToken: ReadonlyMap<string, SentFlow>;
  /** By protocol and source port. */
  readonly byPort: ReadonlyMap<string, SentFlow>;
  /** Those that the proxy may dial for now; it begins nothing for a client that is gone. */
  readonly recent: readonly SentFlow[];
  /** First packets of proxied connections that were seen: source and destination, with ports. */
  readonly dialled: Set<string>;
  /** Names that may be asked for now. */
  readonly asked: ReadonlySet<string>;
  readonly resolvers: readonly string[];
  /** What leaves the host has one of these sources. */
  readonly host: readonly string[];
  readonly gateways: readonly string[];
}

export interface Arrived {
  readonly token: string;
  readonly to: string;
}

export type Word =
  | { readonly kind: 'fine'; readonly arrived?: Arrived }
  | { readonly kind: 'wrong'; readonly because: string; readonly flow?: SentFlow };

const fine: Word = { kind: 'fine' };
const tokenShape = /tk\d{7}x/;

/** The ends of any IP packet, fragments too, and what is behind the IP header. */
const endsOf = ({ bytes }: CapturedFrame) => {
  let at = 12;
  while (bytes[at] === 0x81 && bytes[at + 1] === 0) at += 4;
  const type = bytes[at]! * 256 + bytes[at + 1]!;
  const ip = bytes.subarray(at + 2);
  const text = (from: number, length: number): string => formatAddress(addressFromBytes(ip.slice(from, from + length)));
  if (type === 0x0800)
    return { family: 4, source: text(12, 4), to: text(16, 4), protocol: ip[9]!, rest: ip.subarray((ip[0]! & 15) * 4) };
  if (type === 0x86dd)
    return { family: 6, source: text(8, 16), to: text(24, 16), protocol: ip[6]!, rest: ip.subarray(40) };
  return undefined;
};

const isError = (family: number, protocol: number, type: number): boolean =>
  family === 4 ? protocol === 1 && [3, 4, 5, 11, 12].includes(type) : protocol === 58 && type < 128;

/** Router and neighbour discovery, and listener reports (RFC 4861, 2710, 3810). */
const isNeighbourly = (protocol: number, type: number): boolean =>
  protocol === 58 && ((type >= 130 && type <= 137) || type === 143);

const begins = (flow: SentFlow, to: string): boolean =>
  flow.expected.chances.some((one) => one.address === to && one.begins);
const delivers = (flow: SentFlow, to: string): boolean =>
  flow.expected.chances.some((one) => one.address === to && one.delivers);

const withToken = (token: string, ledger: Ledger, packet: NonNullable<ReturnType<typeof endsOf>>): Word => {
  const flow = ledger.byToken.get(token);
  const { source, to } = packet;
  if (flow === undefined) return { kind: 'wrong', because: `${source} → ${to} carries ${token}, which no flow has` };
  const { spec, expected } = flow;
  if (isError(packet.family, packet.protocol, packet.rest[0]!)) {
    if (to === spec.source || expected.chances.some((one) => one.delivers)) return fine;
    return { kind: 'wrong', because: `an ICMP error ${source} → ${to} of a denied flow`, flow };
  }
  // By the proxy an answer comes from the address that was dialled too, so that ends are enough.
  const forward = expected.chances.some((one) => one.address === to);
  if (forward && delivers(flow, to)) return { kind: 'fine', arrived: { token, to } };
  if (forward) {
    const why = expected.chances.filter((one) => one.address === to).map(({ reason }) => reason);
    return { kind: 'wrong', because: `its bytes arrived at ${to}, which the evaluator denies (${why.join()})`, flow };
  }
  const back = to === spec.source || ledger.gateways.includes(to);
  if (back && expected.chances.some((one) => one.delivers)) return fine;
  return { kind: 'wrong', because: `its bytes arrived at ${to} from ${source}, where they never belong`, flow };
};

const ofProxy = (flows: Iterable<SentFlow>, to: string, port: number): boolean =>
  [...flows].some(
    ({ spec, expected }) =>
      spec.protocol === 'tcp' &&
      spec.port === port &&
      expected.chances.some((one) => one.address === to && one.begins && one.path === 'proxy'),
  );

const tcpWord = (
  ledger: Ledger,
  { sourcePort = 0, destinationPort = 0, tcp, payload }: Packet,
  source: string,
  to: string,
): Word => {
  const out = ledger.byPort.get(`tcp ${sourcePort}`);
  if (out?.expected.chances.some((one) => one.address === to) && out.spec.port === destinationPort)
    return begins(out, to)
      ? fine
      : { kind: 'wrong', because: `its first packets arrived at ${to}, which the evaluator denies`, flow: out };
  const back = ledger.byPort.get(`tcp ${destinationPort}`);
  if (back?.spec.source === to) {
    // The proxy accepts before it knows whether anybody can be reached.
    const held = back.expected.chances.some((one) => one.path === 'proxy') && payload.length === 0;
    return tcp?.rst === true || held || back.expected.isHeld || back.expected.chances.some((one) => one.begins)
      ? fine
      : { kind: 'wrong', because: `an answer came back from ${source}, though it is denied`, flow: back };
  }
  if (ofProxy(ledger.byPort.values(), source, sourcePort)) return fine;
  const connection = `${source} ${sourcePort} ${to} ${destinationPort}`;
  const isNew = tcp?.syn === true && !ledger.dialled.has(connection);
  if (ofProxy(isNew ? ledger.recent : ledger.byPort.values(), to, destinationPort)) {
    if (isNew) ledger.dialled.add(connection);
    return fine;
  }
  return {
    kind: 'wrong',
    because: `TCP ${source} port ${sourcePort} → ${to} port ${destinationPort} belongs to no flow`,
  };
};

const questionOf = (payload: Uint8Array): string => {
  const labels: string[] = [];
  for (let at = 12; payload[at] !== undefined && payload[at] !== 0; at += payload[at]! + 1)
    labels.push(Buffer.from(payload.subarray(at + 1, at + 1 + payload[at]!)).toString('latin1'));
  return labels.join('.').toLowerCase();
};

const udpWord = (ledger: Ledger, packet: Packet, source: string, to: string): Word => {
  if (packet.destinationPort === 53 && ledger.resolvers.includes(to)) {
    const name = questionOf(packet.payload);
    return ledger.asked.has(name)
      ? fine
      : { kind: 'wrong', because: `${name} was asked of ${to}, and no permit covers it` };
  }
  // Answers of the name server: they carry no token, and come under whatever address was asked.
  if (packet.sourcePort === 53) return fine;
  const back = ledger.byPort.get(`udp ${packet.destinationPort}`);
  if (back?.spec.source === to && back.expected.chances.some((one) => one.delivers)) return fine;
  return {
    kind: 'wrong',
    because: `UDP ${source} port ${packet.sourcePort} → ${to} port ${packet.destinationPort} belongs to no permitted flow`,
  };
};

/** Undefined: not of any interest. */
export const judgePacket = ({ place, frame }: Seen, ledger: Ledger): Word | undefined => {
  const ends = endsOf(frame);
  if (ends === undefined) return undefined;
  const { source, to, protocol } = ends;
  // What comes back to the host from the internet is judged where it arrives.
  if (place === 'beyond' && !ledger.host.includes(source)) return undefined;
  if (isNeighbourly(protocol, ends.rest[0] ?? 0) || protocol === 0) return undefined;
  const token = tokenShape.exec(Buffer.from(frame.bytes).toString('latin1'))?.[0];
  if (token !== undefined) return withToken(token, ledger, ends);
  const packet = decodePacket(frame);
  if (packet === undefined) return { kind: 'wrong', because: `a fragment ${source} → ${to} of no flow` };
  if (packet.tcp !== undefined) return tcpWord(ledger, packet, source, to);
  if (packet.protocol === 17) return udpWord(ledger, packet, source, to);
  if (isError(ends.family, protocol, ends.rest[0]!))
    return place === 'beyond' ? { kind: 'wrong', because: `an ICMP error ${source} → ${to} of no flow` } : fine;
  return { kind: 'wrong', because: `protocol ${protocol} ${source} → ${to} of no flow` };
};

/** What was seen of a flow's bytes, one line for each packet, for people. */
export const traceOf = (token: string, seen: readonly Seen[]): readonly string[] =>
  seen
    .filter(({ frame }) => Buffer.from(frame.bytes).includes(token))
    .map(({ place, frame }) => {
      const ends = endsOf(frame);
      const head = Buffer.from(ends?.rest.subarray(0, 8) ?? []).toString('hex');
      return `${new Date(frame.at).toISOString().slice(11)} at ${place}: ${ends?.source} → ${ends?.to} protocol ${ends?.protocol}, ${head}`;
    });
