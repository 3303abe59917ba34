import { connect } from 'node:net';
import { connectFrom, type NetworkNamespace, topology } from '@cofferdam/datapath';
import {
  type Address,
  addressesEqual,
  formatAddress,
  literalPrefix,
  type Prefix,
  prefixContains,
} from '@cofferdam/net';
import { mayDial } from './dial-guard.ts';
import type { Dial } from './dialler.ts';
import { localPrefixes } from './local-addresses.ts';

export interface GatewayDialOptions {
  readonly host: NetworkNamespace;
  readonly gateway: NetworkNamespace;
  /** The only interface of the host that leads out. Absent: those that its routes say. */
  readonly upstream?: string;
  readonly interfaces: readonly {
    /** The gateway's own addresses on it. */
    readonly own: readonly Address[];
    /** Where agents may be. */
    readonly behind: readonly Prefix[];
  }[];
  /** Whether the plan in force knows an address as the gateway's own or as reserved. */
  readonly isReserved: (address: Address) => boolean;
}

/** How the proxy makes connections: from the gateway's namespace to agents, which the host has no way to, and else as the host. */
export const gatewayDial = ({ host, gateway, upstream, interfaces, isReserved }: GatewayDialOptions): Dial => {
  const links = [literalPrefix(topology.own4), literalPrefix(topology.own6)];
  const isBehind = (address: Address): boolean =>
    interfaces.some(
      ({ own, behind }) =>
        behind.some((prefix) => prefixContains(prefix, address)) && !own.some((one) => addressesEqual(one, address)),
    );
  return (address, port) => {
    if (isBehind(address)) return connectFrom(gateway, address, port);
    const local = localPrefixes();
    if (!mayDial(address, { links, local, isReserved })) return undefined;
    // The host's own services are on no way out.
    if (upstream !== undefined && !local.some((prefix) => prefixContains(prefix, address)))
      return connectFrom(host, address, port, upstream);
    return connect({ host: formatAddress(address), port, allowHalfOpen: true, noDelay: true });
  };
};
