import type { Socket } from 'node:net';
import type { Address } from '@cofferdam/net';

/**
 * Makes connections to real destinations: in the host's namespace, outside what the gateway filters. Undefined: an address of this
 * machine that the plan does not know as one, which is not dialled.
 */
export type Dial = (address: Address, port: number) => Socket | undefined;

/** Waits for a socket to connect. False: it failed or took longer than `timeout` milliseconds, and is destroyed. */
const connects = (socket: Socket, timeout: number): Promise<boolean> =>
  new Promise((resolve) => {
    const finish = (connected: boolean): void => {
      clearTimeout(timer);
      socket.off('connect', onConnect);
      socket.off('close', onClose);
      if (!connected) socket.destroy();
      resolve(connected);
    };
    const onConnect = (): void => finish(true);
    const onClose = (): void => finish(false);
    const timer = setTimeout(() => finish(false), timeout);
    socket.on('connect', onConnect);
    socket.on('close', onClose);
    // Without a listener an error would end the process; `close` follows it.
    socket.on('error', () => undefined);
  });

export type Dialled =
  | { readonly kind: 'connected'; readonly socket: Socket; readonly address: Address }
  /** `address`: the first that was tried without an answer, or the first that was not to be dialled where none was tried. */
  | { readonly kind: 'unanswered' | 'own'; readonly address: Address }
  | { readonly kind: 'given-up' };

/** Dials the addresses in their order until one answers. There is at least one. `givenUp` is asked before each attempt. */
export const dialFirst = async (
  dial: Dial,
  addresses: readonly Address[],
  port: number,
  timeout: number,
  givenUp: () => boolean,
): Promise<Dialled> => {
  let tried: Address | undefined;
  let own: Address | undefined;
  for (const address of addresses) {
    if (givenUp()) return { kind: 'given-up' };
    const socket = dial(address, port);
    if (socket === undefined) {
      own ??= address;
      continue;
    }
    tried ??= address;
    if (await connects(socket, timeout)) return { kind: 'connected', socket, address };
  }
  if (givenUp()) return { kind: 'given-up' };
  return tried === undefined && own !== undefined
    ? { kind: 'own', address: own }
    : { kind: 'unanswered', address: tried ?? addresses[0]! };
};
