/**
 * DNS servers that record each question: one that claims every name for its own address (so that a client that was
 * answered by it is recognised), and a front that passes datagrams to a tunnel server on loopback. The question is read here,
 * not with the parser of the system under test.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import type { Endpoint } from '../arrivals.ts';
import { type Place, record } from './recorder.ts';

const typeNames: Readonly<Record<number, string>> = {
  1: 'A',
  2: 'NS',
  5: 'CNAME',
  6: 'SOA',
  10: 'NULL',
  12: 'PTR',
  15: 'MX',
  16: 'TXT',
  25: 'KEY',
  28: 'AAAA',
  33: 'SRV',
  64: 'SVCB',
  65: 'HTTPS',
  255: 'ANY',
};
const headLength = 12;

interface Question {
  readonly name: string;
  readonly type: number;
  /** Offset of the first octet behind it. */
  readonly end: number;
}

export function readQuestion(message: Buffer): Question | undefined {
  const labels: string[] = [];
  let at = headLength;
  for (let length = message[at]; length !== undefined && length > 0; length = message[at]) {
    if (length > 63) return undefined;
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  if (message.length < at + 5) return undefined;
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

/** Answers every A or AAAA question of its own family with its own address, TTL 1; other types with nothing. */
export function ownAddressAnswer(place: Place, source: Endpoint, message: Buffer): Buffer | undefined {
  const question = readQuestion(message);
  if (question === undefined) return undefined;
  recordQuestion(place, source, question);
  const six = place.address.includes(':');
  const matches = question.type === (six ? 28 : 1);
  const reply = Buffer.from(message.subarray(0, question.end));
  reply.writeUInt16BE(0x8180, 2);
  reply.writeUInt16BE(matches ? 1 : 0, 6);
  reply.writeUInt32BE(0, 8);
  if (!matches) return reply;
  const data = six ? sixteenOctets(place.address) : Buffer.from(place.address.split('.').map(Number));
  const answer = Buffer.from([0xc0, headLength, 0, question.type, 0, 1, 0, 0, 0, 1, 0, data.length]);
  return Buffer.concat([reply, answer, data]);
}

/** DNS over TCP (RFC 1035, 4.2.2): every message behind its length. */
export function serveDnsTcp(place: Place, socket: Socket, source: Endpoint): void {
  let buffered: Buffer = Buffer.alloc(0);
  socket.on('end', () => socket.end());
  socket.on('data', (data: Buffer) => {
    buffered = Buffer.concat([buffered, data]);
    while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
      const message = buffered.subarray(2, 2 + buffered.readUInt16BE(0));
      buffered = buffered.subarray(2 + message.length);
      const reply = ownAddressAnswer(place, source, message);
      if (reply === undefined) continue;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([length, reply]));
    }
  });
}

export function listenDns(place: Place): Promise<void> {
  const socket = createSocket(place.address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message, { address, port }) => {
    const reply = ownAddressAnswer(place, { address, port }, message);
    if (reply !== undefined) socket.send(reply, port, address);
  });
  return bound(socket, place);
}

/** One socket per client toward the real server, as address translation would have it, so that replies find their way. */
export function frontDns(place: Place, targetPort: number): Promise<void> {
  const outside = createSocket('udp4');
  const inside = new Map<string, ReturnType<typeof createSocket>>();
  outside.on('message', (message, { address, port }) => {
    const question = readQuestion(message);
    if (question !== undefined) recordQuestion(place, { address, port }, question);
    const label = `${address} ${port}`;
    let socket = inside.get(label);
    if (socket === undefined) {
      const created = createSocket('udp4');
      created.on('message', (reply) => outside.send(reply, port, address));
      // The tunnel server may be stopped: its silence is the client's to notice.
      created.on('error', () => created.close());
      created.on('close', () => inside.delete(label));
      inside.set(label, created);
      socket = created;
      if (inside.size > frontClients) inside.values().next().value?.close();
    }
    socket.send(message, targetPort, '127.0.0.1');
  });
  return bound(outside, place);
}

/** Resolvers use a new port for each question, so the oldest clients are forgotten. */
const frontClients = 512;

function recordQuestion(place: Place, source: Endpoint, { name, type }: Question): void {
  record(place, source, { kind: 'query', name, type: typeNames[type] ?? `TYPE${type}` });
}

function bound(socket: ReturnType<typeof createSocket>, place: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(place.port, place.address, () => {
      socket.off('error', reject);
      resolve();
    });
  });
}

function sixteenOctets(address: string): Buffer {
  const [left = '', right] = address.split('::');
  const groups = (text: string): number[] =>
    text
      .split(':')
      .filter((group) => group !== '')
      .map((group) => Number.parseInt(group, 16));
  const head = groups(left);
  const tail = right === undefined ? [] : groups(right);
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
