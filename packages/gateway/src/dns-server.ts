import type { Socket as UdpSocket } from 'node:dgram';
import type { Server, Socket } from 'node:net';
import type { Endpoint } from '@cofferdam/flows';
import type { DnsClient, DnsFilter } from './dns-filter.ts';
import { socketAddress } from './socket-address.ts';

export interface DnsServerOptions {
  readonly filter: DnsFilter;
  /** The server that a client addressed, before it was led here. Undefined: nobody knows, and the socket's own address is told. */
  readonly addressed: (client: Omit<DnsClient, 'server'>) => Endpoint | undefined;
  /** UDP queries being answered at once, over all agents; more are dropped, and clients ask again. */
  readonly udpPending: number;
  /** TCP connections at once, over all agents and of one source address. */
  readonly tcpConnections: number;
  readonly tcpOfOneSource: number;
  /** Queries being answered at once on one TCP connection; no more are read until one is. */
  readonly tcpPending: number;
  /** Milliseconds without a byte after which a TCP connection ends (RFC 7766, section 6.2.3). */
  readonly idle: number;
}

export const dnsServerDefaults = {
  udpPending: 1024,
  tcpConnections: 256,
  tcpOfOneSource: 16,
  tcpPending: 16,
  idle: 10_000,
} as const;

export interface DnsServer {
  /** Answers what comes in on a bound socket. `own`: its address. */
  readonly serveUdp: (socket: UdpSocket, onInterface: string, own: Endpoint) => void;
  /** Answers on the connections of a listening server. */
  readonly serveTcp: (server: Server, onInterface: string) => void;
  /** Ends the open TCP connections. The sockets given stay the caller's to close. */
  readonly close: () => void;
}

/** Frames of RFC 1035, 4.2.2: two length bytes before each message. */
const frame = (bytes: Uint8Array): Buffer => {
  const framed = Buffer.alloc(bytes.length + 2);
  framed.writeUInt16BE(bytes.length, 0);
  framed.set(bytes, 2);
  return framed;
};

export const createDnsServer = (options: DnsServerOptions): DnsServer => {
  let udpPending = 0;
  const connections = new Map<Socket, string>();
  const ofSource = (source: string): number => [...connections.values()].filter((one) => one === source).length;

  const clientOf = (client: Omit<DnsClient, 'server'>, own: Endpoint): DnsClient => ({
    ...client,
    server: options.addressed(client) ?? own,
  });

  const serveUdp = (socket: UdpSocket, onInterface: string, own: Endpoint): void => {
    socket.on('message', (datagram, from) => {
      const address = socketAddress(from.address);
      if (address === undefined || udpPending >= options.udpPending) return;
      udpPending += 1;
      const source = { address, port: from.port };
      const client = clientOf({ interface: onInterface, source, transport: 'udp' }, own);
      options.filter
        .handle(datagram, client)
        .then((answer) => {
          // An answer that cannot be sent is one that was lost; the client asks again.
          if (answer !== undefined) socket.send(answer, from.port, from.address, () => undefined);
        })
        .finally(() => {
          udpPending -= 1;
        });
    });
  };

  const serveConnection = (socket: Socket, client: DnsClient): void => {
    let received = Buffer.alloc(0);
    let pending = 0;
    const reply = async (bytes: Uint8Array): Promise<void> => {
      const answer = await options.filter.handle(bytes, client);
      pending -= 1;
      if (socket.destroyed) return;
      if (answer === undefined) socket.destroy();
      else socket.write(frame(answer));
      if (socket.writableLength > 262_144) socket.destroy();
      else read();
    };
    const read = (): void => {
      while (pending < options.tcpPending && received.length >= 2) {
        const length = received.readUInt16BE(0);
        if (received.length < length + 2) break;
        const message = received.subarray(2, length + 2);
        received = received.subarray(length + 2);
        pending += 1;
        void reply(message);
      }
      if (pending >= options.tcpPending) socket.pause();
      else socket.resume();
    };
    socket.setTimeout(options.idle, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      read();
    });
  };

  const serveTcp = (server: Server, onInterface: string): void => {
    server.on('connection', (socket) => {
      const address = socketAddress(socket.remoteAddress);
      const local = socketAddress(socket.localAddress);
      const source = socket.remoteAddress ?? '';
      if (
        address === undefined ||
        local === undefined ||
        connections.size >= options.tcpConnections ||
        ofSource(source) >= options.tcpOfOneSource
      ) {
        socket.destroy();
        return;
      }
      connections.set(socket, source);
      socket.on('close', () => connections.delete(socket));
      const client = {
        interface: onInterface,
        source: { address, port: socket.remotePort ?? 0 },
        transport: 'tcp',
      } as const;
      serveConnection(socket, clientOf(client, { address: local, port: socket.localPort ?? 53 }));
    });
  };

  return {
    serveUdp,
    serveTcp,
    close: () => {
      for (const socket of connections.keys()) socket.destroy();
    },
  };
};
