import type { Socket } from 'node:net';
import type { Address } from '@cofferdam/net';

/** Makes connections to real destinations: in the host's namespace, outside what the gateway filters. */
export type Dial = (address: Address, port: number) => Socket;

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

export interface Dialled {
  readonly socket: Socket;
  readonly address: Address;
}

/** Dials the addresses in their order until one answers. `given up` is asked between attempts. */
export const dialFirst = async (
  dial: Dial,
  addresses: readonly Address[],
  port: number,
  timeout: number,
  givenUp: () => boolean,
): Promise<Dialled | undefined> => {
  for (const address of addresses) {
    if (givenUp()) return undefined;
    const socket = dial(address, port);
    if (await connects(socket, timeout)) return { socket, address };
  }
  return undefined;
};
