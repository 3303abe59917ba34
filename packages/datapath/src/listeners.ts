import { Socket } from 'node:net';
import { type Address, addressToBytes, formatAddress } from '@cofferdam/net';
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  closeDescriptor,
  connectSocket,
  isConnected,
  listenSocket,
  openSocket,
  SOCK_DGRAM,
  SOCK_STREAM,
  setSocketFlag,
  setSocketText,
} from './libc.ts';
import type { NetworkNamespace } from './network-namespace.ts';

/** Numbers of <sys/socket.h>, <netinet/in.h> and <linux/in6.h>. */
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_BINDTODEVICE = 25;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;

/** struct sockaddr_in or sockaddr_in6. */
export const socketAddress = (address: Address, port: number): Buffer => {
  const bytes = Buffer.alloc(address.family === 4 ? 16 : 28);
  bytes.writeUInt16LE(address.family === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(addressToBytes(address), address.family === 4 ? 4 : 8);
  return bytes;
};

export interface ListenerOptions {
  readonly address: Address;
  readonly port: number;
  readonly kind: 'tcp' | 'udp';
  /** Accepts connections to every address that is routed here: `localAddress` is then what the client dialled. */
  readonly transparent?: boolean;
  /** Takes only what comes in on this interface. */
  readonly device?: string;
}

/**
 * A bound socket inside a namespace, as a descriptor for `net.Server.listen({ fd })` or `dgram.Socket.bind({ fd })`. Node itself can
 * set neither the namespace nor what must be set before bind.
 */
export const openListener = (namespace: NetworkNamespace, options: ListenerOptions): number =>
  namespace.run(() => {
    const { address, port, kind } = options;
    const v6 = address.family === 6;
    const fd = openSocket(v6 ? AF_INET6 : AF_INET, kind === 'tcp' ? SOCK_STREAM : SOCK_DGRAM);
    try {
      if (v6) setSocketFlag(fd, SOL_IPV6, IPV6_V6ONLY);
      if (kind === 'tcp') setSocketFlag(fd, SOL_SOCKET, SO_REUSEADDR);
      if (options.transparent === true)
        setSocketFlag(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT);
      if (options.device !== undefined) setSocketText(fd, SOL_SOCKET, SO_BINDTODEVICE, options.device);
      bindSocket(fd, socketAddress(address, port), `${formatAddress(address)} port ${port}`);
      if (kind === 'tcp') listenSocket(fd, 511);
      return fd;
    } catch (e) {
      closeDescriptor(fd);
      throw e;
    }
  });

/** Milliseconds between two looks whether a connection is made. */
const look = 5;

/** A connection that begins inside a namespace, and leaves by `device` alone where one is given. It reports `connect` and fails as any socket does. */
export const connectFrom = (namespace: NetworkNamespace, address: Address, port: number, device?: string): Socket => {
  try {
    return connecting(beginConnection(namespace, address, port, device));
  } catch (e) {
    // No way there, or no such device any more: whoever listens for an error hears of it, as of one that comes later.
    return new Socket().destroy(e instanceof Error ? e : new Error(String(e)));
  }
};

const beginConnection = (namespace: NetworkNamespace, address: Address, port: number, device: string | undefined) =>
  namespace.run(() => {
    const made = openSocket(address.family === 6 ? AF_INET6 : AF_INET, SOCK_STREAM);
    try {
      if (device !== undefined) setSocketText(made, SOL_SOCKET, SO_BINDTODEVICE, device);
      connectSocket(made, socketAddress(address, port), `${formatAddress(address)} port ${port}`);
      return made;
    } catch (e) {
      closeDescriptor(made);
      throw e;
    }
  });

const connecting = (fd: number): Socket => {
  const socket = new Socket({ fd, allowHalfOpen: true });
  // Node takes a descriptor that it is given for connected.
  const timer = setInterval(() => {
    if (socket.destroyed || isConnected(fd)) clearInterval(timer);
    if (!socket.destroyed && isConnected(fd)) socket.emit('connect');
  }, look);
  socket.once('close', () => clearInterval(timer));
  return socket;
};
