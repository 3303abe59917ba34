import type { Socket as UdpSocket } from 'node:dgram';
import type { Socket as TcpSocket } from 'node:net';
import { type Address, formatAddress } from '@cofferdam/net';
import { answersQuery, type DnsMessage, type DnsQuery, encodeDns, parseDnsResponse } from '@cofferdam/wire';

/** A resolver to ask. */
export interface UpstreamServer {
  readonly address: Address;
  readonly port: number;
}

/** Makes the sockets that questions leave by: in the host's namespace, which is not the gateway's own. */
export interface UpstreamSockets {
  /** A new socket that was neither bound nor connected, so that the kernel draws a random port for each question. */
  readonly openUdp: (family: 4 | 6) => UdpSocket;
  /** A socket that connects, or is connected. */
  readonly connectTcp: (address: Address, port: number) => TcpSocket;
}

export type ExchangeOutcome =
  | { readonly kind: 'response'; readonly message: DnsMessage }
  | { readonly kind: 'failed'; readonly because: 'timeout' | 'unreachable' | 'unreadable' };

const failed = (because: Extract<ExchangeOutcome, { kind: 'failed' }>['because']): ExchangeOutcome => ({
  kind: 'failed',
  because,
});

const encoded = (query: DnsQuery): Uint8Array | undefined => {
  const result = encodeDns(query);
  return result.ok ? result.value.bytes : undefined;
};

/** What the bytes say, if they answer this very query. */
const reading = (query: DnsQuery, bytes: Uint8Array): DnsMessage | undefined => {
  const parsed = parseDnsResponse(bytes);
  return parsed.ok && answersQuery(query, parsed.value) ? parsed.value : undefined;
};

/**
 * One question over UDP, on a port of its own. Datagrams from elsewhere, with another id or another question are passed
 * over and the wait goes on: they are guesses, and giving up on them would let anyone stop the answer.
 */
export const askUdp = (
  sockets: UpstreamSockets,
  server: UpstreamServer,
  query: DnsQuery,
  timeout: number,
): Promise<ExchangeOutcome> =>
  new Promise((resolve) => {
    const bytes = encoded(query);
    if (bytes === undefined) return resolve(failed('unreadable'));
    const socket = sockets.openUdp(server.address.family);
    const host = formatAddress(server.address);
    let over = false;
    const finish = (outcome: ExchangeOutcome): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.close();
      resolve(outcome);
    };
    const timer = setTimeout(() => finish(failed('timeout')), timeout);
    socket.on('error', () => finish(failed('unreachable')));
    socket.on('message', (datagram, from) => {
      if (from.port !== server.port || from.address !== host) return;
      const message = reading(query, datagram);
      if (message !== undefined) finish({ kind: 'response', message });
    });
    // By its event and not by a callback, which would be called for a failure too, and keep it from being told as an error.
    socket.once('connect', () => {
      if (!over) socket.send(bytes);
    });
    socket.connect(server.port, host);
  });

/** One question over TCP, on a connection of its own (RFC 7766 allows to share one; a shared one would order answers). */
export const askTcp = (
  sockets: UpstreamSockets,
  server: UpstreamServer,
  query: DnsQuery,
  timeout: number,
): Promise<ExchangeOutcome> =>
  new Promise((resolve) => {
    const bytes = encoded(query);
    if (bytes === undefined) return resolve(failed('unreadable'));
    const socket = sockets.connectTcp(server.address, server.port);
    let received = Buffer.alloc(0);
    const finish = (outcome: ExchangeOutcome): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => finish(failed('timeout')), timeout);
    socket.on('error', () => finish(failed('unreachable')));
    socket.on('close', () => finish(failed('unreachable')));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2) return;
      const length = received.readUInt16BE(0);
      if (received.length < length + 2) return;
      const message = reading(query, received.subarray(2, length + 2));
      finish(message === undefined ? failed('unreadable') : { kind: 'response', message });
    });
    const frame = Buffer.alloc(bytes.length + 2);
    frame.writeUInt16BE(bytes.length, 0);
    frame.set(bytes, 2);
    socket.write(frame);
  });
