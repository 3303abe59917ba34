import { connect, createServer, type Server, type Socket } from 'node:net';
import type { FlowRecord } from '@cofferdam/flows';
import { syntheticWays } from '../src/arrival.ts';
import {
  type Binding,
  createProxy,
  type FlowProxy,
  type Gate,
  type ProxyOptions,
  proxyDefaults,
} from '../src/index.ts';
import { address, name, noClasses } from './fakes.ts';

/** Listens on an ephemeral port of 127.0.0.1. */
export const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = server.address();
  return typeof at === 'object' && at !== null ? at.port : 0;
};

export const loopbackBinding: Binding = {
  id: 7,
  name: name('api.example.com'),
  synthetic: { v4: address('127.0.0.1'), v6: address('::1') },
  addresses: [address('127.0.0.1')],
  classes: noClasses,
};

export interface Lab {
  readonly proxy: FlowProxy;
  /** Where clients connect: to them it is the destination. */
  readonly port: number;
  readonly records: FlowRecord[];
  readonly dialled: number[];
  /** The gate in force; may be replaced. */
  gate: Gate | undefined;
  /** Called when a connection is being made. */
  onDial: () => void;
  /** Flows that began and did not end. */
  readonly holding: () => number;
  readonly close: () => Promise<void>;
}

/** A proxy in front of a server of 127.0.0.1, for flows that would have gone to `api.example.com` (or to no name). */
export const lab = async (
  upstreamPort: number | (() => number),
  gate: Gate | undefined,
  over: Partial<ProxyOptions> & {
    readonly binding?: Binding | 'none' | 'unmapped';
    /** The address that clients connected to, as netfilter would have kept it. */
    readonly written?: () => string;
  } = {},
): Promise<Lab> => {
  const records: FlowRecord[] = [];
  const dialled: number[] = [];
  let id = 0;
  const binding = over.binding ?? loopbackBinding;
  const state = { gate, onDial: (): void => undefined };
  const { binding: _unused, written, ...options } = over;
  const proxy = createProxy({
    ...proxyDefaults,
    gateway: 'test',
    gate: () => state.gate,
    ways: syntheticWays({
      at: () => (typeof binding === 'object' ? binding : undefined),
      contains: () => binding !== 'none',
    }),
    dial: (to) => {
      const port = typeof upstreamPort === 'number' ? upstreamPort : upstreamPort();
      dialled.push(Number(to.value & 0xffn));
      state.onDial();
      return connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    },
    now: () => Date.now(),
    nextId: () => `f-${id++}`,
    emit: (record) => records.push(record),
    // Fails the test.
    fault: (e) => void Promise.reject(e),
    linger: 300,
    ...options,
  });
  const listener = createServer({ allowHalfOpen: true }, (socket) => {
    if (written !== undefined) Object.defineProperty(socket, 'localAddress', { value: written() });
    void proxy.handle(socket, 'lo');
  });
  const port = await listen(listener);
  return {
    proxy,
    port,
    records,
    dialled,
    get gate() {
      return state.gate;
    },
    set gate(next) {
      state.gate = next;
    },
    get onDial() {
      return state.onDial;
    },
    set onDial(next) {
      state.onDial = next;
    },
    holding: () => proxy.connections(),
    close: async () => {
      proxy.close();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
};

export interface Conversation {
  readonly received: string;
  /** How it ended for the client. */
  readonly end: 'end' | 'reset';
}

/** Sends pieces one after the other, each in a segment of its own, and reads until the end. `half`: ends its own side after them. */
export const converse = (
  port: number,
  pieces: readonly (string | Buffer)[],
  options: { half?: boolean; gap?: number } = {},
): Promise<Conversation> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const received: Buffer[] = [];
    let end: Conversation['end'] = 'end';
    socket.on('data', (chunk) => received.push(chunk));
    socket.on('error', () => {
      end = 'reset';
    });
    socket.on('end', () => socket.end());
    socket.on('close', () => resolve({ received: Buffer.concat(received).toString('latin1'), end }));
    const send = async (): Promise<void> => {
      for (const piece of pieces) {
        if (socket.destroyed) return;
        // An empty piece is a pause.
        if (piece.length > 0) socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
        await new Promise((go) => setTimeout(go, options.gap ?? 2));
      }
      if (options.half === true) socket.end();
    };
    socket.on('connect', () => void send());
  });

/** A TCP server that hands each connection to `serve`, and remembers all bytes that reached it. */
export const recordingServer = (serve: (socket: Socket) => void) => {
  const received: Buffer[] = [];
  let connections = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections += 1;
    socket.on('data', (chunk) => received.push(chunk));
    socket.on('error', () => socket.destroy());
    serve(socket);
  });
  return {
    server,
    text: () => Buffer.concat(received).toString('latin1'),
    bytes: () => Buffer.concat(received),
    connections: () => connections,
  };
};

/** Waits until `condition` holds; fails after 5 seconds. */
export const until = async (condition: () => boolean): Promise<void> => {
  for (let i = 0; i < 1000; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('waited 5 seconds in vain');
};
