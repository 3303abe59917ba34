import { connect, type Server, Socket } from 'node:net';
import type { FlowRecord } from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import { ownWays } from '../src/arrival.ts';
import { createFollow } from '../src/claimed-destinations.ts';
import { createTunnelBudget, defaultPool, defaultTunnelBudget, type Gate, type ProxyOptions } from '../src/index.ts';
import { poolHolds } from '../src/synthetic-pool.ts';
import { compiledGate, type Sketch } from './compiled-gate.ts';
import { type FakeResolver, fakeResolver } from './fake-resolver.ts';
import { type Lab, lab, listen, recordingServer, until } from './proxy-lab.ts';

/** No answer leads there. */
export const attacker = '93.184.220.66';
export const internal = '10.0.0.5';

export const sketch: Sketch = {
  mode: 'own',
  web: { named: ['api.example.com', 'six.example.com', '*.wild.example.com'], denied: ['bad.wild.example.com'] },
  to: { internal: ['10.0.0.0/8'] },
  rules: [
    { name: 'named', web: ['named'] },
    { name: 'internal', to: ['internal'] },
  ],
};

const zone = {
  'api.example.com': ['93.184.216.34', '93.184.216.35', '2606:2800:220:1::1'],
  'six.example.com': ['2606:2800:220:1::6'],
  'other.wild.example.com': ['93.184.216.40'],
  'bad.wild.example.com': ['93.184.216.41'],
  'rebind.wild.example.com': ['127.0.0.1', '169.254.169.254', '168.63.129.16', '10.0.0.1', '::1', '::ffff:127.0.0.1'],
  'mixed.wild.example.com': ['169.254.169.254', '93.184.216.42'],
  'private.wild.example.com': ['10.0.0.7'],
  'pool.wild.example.com': ['198.18.1.0', 'fdc0:ffe7:da11:198::100'],
  'poolandreal.wild.example.com': ['198.18.1.0', '93.184.216.43'],
  'many.wild.example.com': Array.from({ length: 60 }, (_, i) => `93.184.217.${i}`),
  'dead.wild.example.com': 'failed',
  localhost: ['127.0.0.1'],
  printer: ['93.184.216.50'],
  'host.local': ['93.184.216.51'],
} as const;

export interface OwnLab extends Omit<Lab, 'dialled'> {
  readonly resolver: FakeResolver;
  /** Each address that a connection was made to, in order. */
  readonly dialled: string[];
  /** Connections that a server at an address holds. */
  readonly heldAt: (address: string) => number;
  /** What a server at an address got. */
  readonly received: (address: string) => string;
  /** The address that the next clients connect to. */
  written: string;
  /** The record of the end of the one flow. */
  readonly end: () => Promise<FlowRecord>;
}

export interface OwnOptions extends Partial<ProxyOptions> {
  readonly uniqueNames?: number;
  /** Addresses where nobody answers. */
  readonly dead?: readonly string[];
  /** Addresses from where nothing ever comes. */
  readonly hanging?: readonly string[];
  /** Addresses of this machine. */
  readonly guarded?: readonly string[];
  /** What a server there says first. */
  readonly greets?: Readonly<Record<string, string>>;
  readonly ipv6?: boolean;
}

/** A proxy in own mode. Servers at every address echo what they get, but for requests, which they answer. */
export const ownLab = async (gate: Gate = compiledGate(sketch), over: OwnOptions = {}): Promise<OwnLab> => {
  const { uniqueNames, dead = [], hanging = [], guarded = [], greets = {}, ipv6 = true, ...options } = over;
  const dialled: string[] = [];
  const held = new Map<string, number>();
  const servers = new Map<string, { readonly port: number; readonly server: Server; readonly text: () => string }>();
  const serverAt = async (address: string): Promise<void> => {
    const { server, text } = recordingServer((socket) => {
      held.set(address, (held.get(address) ?? 0) + 1);
      socket.on('close', () => held.set(address, (held.get(address) ?? 1) - 1));
      const greeting = greets[address];
      if (greeting !== undefined) socket.write(greeting);
      socket.on('data', (bytes) => {
        const isRequest = bytes.toString('latin1', 0, 4) === 'GET ';
        socket.write(isRequest ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok' : bytes);
      });
      socket.on('end', () => socket.end());
    });
    servers.set(address, { port: await listen(server), server, text });
  };
  const resolver = fakeResolver(zone);
  const everywhere = [
    ...new Set([attacker, internal, ...Object.values(zone).flatMap((all) => (all === 'failed' ? [] : all))]),
  ];
  for (const one of everywhere) await serverAt(one);
  const isPooled = poolHolds(defaultPool);
  const budget = createTunnelBudget({ ...defaultTunnelBudget, ...(uniqueNames === undefined ? {} : { uniqueNames }) });
  const state = { written: attacker };
  const made = await lab(0, gate, {
    ways: ownWays(isPooled, createFollow({ resolver, budget, ipv6, isPooled, now: Date.now })),
    dial: (to) => {
      const text = formatAddress(to);
      if (guarded.includes(text)) return undefined;
      dialled.push(text);
      if (hanging.includes(text)) return new Socket();
      const port = dead.includes(text) ? 1 : (servers.get(text)?.port ?? 1);
      return connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    },
    written: () => state.written,
    undecidedTimeout: 400,
    ...options,
  });
  return {
    ...made,
    get gate() {
      return made.gate;
    },
    set gate(next) {
      made.gate = next;
    },
    get written() {
      return state.written;
    },
    set written(next) {
      state.written = next;
    },
    resolver,
    dialled,
    heldAt: (address) => held.get(address) ?? 0,
    received: (address) => servers.get(address)?.text() ?? '',
    end: async () => {
      const found = () => made.records.find((record) => record.kind === 'flow' && record.end !== undefined);
      await until(() => found() !== undefined);
      return found()!;
    },
    close: async () => {
      await made.close();
      for (const { server } of servers.values()) await new Promise((resolve) => server.close(resolve));
    },
  };
};
