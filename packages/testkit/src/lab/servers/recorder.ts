/** Arrivals leave the process as JSON lines. Writing to a pipe is synchronous here, so they leave in the order they happened. */
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import type { Arrival, ArrivalEvent, Endpoint } from '../arrivals.ts';
import type { ServersMessage } from './configuration.ts';

const keptBytes = 512;

export interface Place {
  readonly server: string;
  readonly address: string;
  readonly port: number;
}

export function report(message: ServersMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

export function record(place: Place, source: Endpoint, event: ArrivalEvent): void {
  const local = { address: place.address, port: place.port };
  const arrival: Arrival = { server: place.server, source, local, at: Date.now(), ...event };
  process.stdout.write(`${JSON.stringify(arrival)}\n`);
}

export const firstBytes = (data: Uint8Array): string => Buffer.from(data.subarray(0, keptBytes)).toString('latin1');

/** Where a socket came from; kept by value, since a socket forgets it when it closes. */
export const sourceOf = (socket: Socket): Endpoint => ({
  address: socket.remoteAddress ?? '',
  port: socket.remotePort ?? 0,
});

/**
 * Listens, records the connection, its first bytes and its end, and hands the socket on with nothing consumed.
 * @param greets the server speaks first, so the socket is handed on before any byte has come
 */
export function listenTcp(
  place: Place,
  greets: boolean,
  serve: (socket: Socket, source: Endpoint) => void,
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const source = sourceOf(socket);
    record(place, source, { kind: 'connection' });
    socket.setNoDelay(true);
    // A reset by the client (or by a gateway that cuts the flow) is an end like any other.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => record(place, source, { kind: 'close', received: socket.bytesRead }));
    if (greets) {
      socket.once('data', (data: Buffer) => record(place, source, { kind: 'bytes', bytes: firstBytes(data) }));
      serve(socket, source);
      return;
    }
    socket.once('readable', () => {
      const data: Buffer | null = socket.read();
      if (data === null) {
        socket.end();
        return;
      }
      record(place, source, { kind: 'bytes', bytes: firstBytes(data) });
      socket.unshift(data);
      serve(socket, source);
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: place.address, port: place.port, backlog: 1024 }, () => resolve(server));
  });
}
