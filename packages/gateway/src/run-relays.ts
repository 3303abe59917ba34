import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import { connectFrom, type NetworkNamespace, openListener } from '@cofferdam/datapath';
import { parseAddress } from '@cofferdam/net';
import { listenOn } from './listen.ts';
import { createRelay } from './relay.ts';
import { seldom } from './seldom.ts';

export interface RelayedPorts {
  readonly hostPorts: readonly number[];
  readonly publish: readonly number[];
  readonly warn: (text: string) => void;
}

const loopback = parseAddress('127.0.0.1')!;

const bindHere = (host: NetworkNamespace, port: number): number => {
  try {
    return openListener(host, { address: loopback, port, kind: 'tcp' });
  } catch (e) {
    throw new Error(
      `--publish: port ${port} cannot be opened on this machine: ${e instanceof Error ? e.message : String(e)}`,
    );
  }
};

/** Ports joined between the command's loopback and the host's, by sockets of this process in both. */
export const openRelays = (
  options: RelayedPorts,
  host: NetworkNamespace,
  agent: NetworkNamespace,
  undo: (step: () => void) => void,
): void => {
  const limits = { connections: 256, idle: 3_600_000 } as const;
  const warn = seldom(options.warn, () => performance.now());
  for (const port of options.hostPorts) {
    const listener = listenOn(openListener(agent, { address: loopback, port, kind: 'tcp' }), warn);
    const relay = createRelay({
      ...limits,
      listener,
      warn: (text) => warn(`--host-port ${port}: ${text}`),
      dial: () => connect({ host: '127.0.0.1', port, allowHalfOpen: true }),
    });
    undo(() => {
      listener.close();
      relay.close();
    });
  }
  for (const port of options.publish) {
    // Bound at once, so that a port that is taken is an error before the command starts.
    const listener = listenOn(bindHere(host, port), warn);
    const relay = createRelay({
      ...limits,
      listener,
      warn: (text) => warn(`--publish ${port}: ${text}`),
      dial: () => connectFrom(agent, loopback, port),
    });
    undo(() => {
      listener.close();
      relay.close();
    });
  }
};
