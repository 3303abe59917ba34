import {
  type HostLink,
  interfaceIndex,
  type Kernel,
  type NetworkNamespace,
  openNftables,
  type SubnetNetwork,
  topology,
} from '@cofferdam/datapath';

/** What a gateway keeps up, and how. */
export interface Upkeep {
  readonly host: NetworkNamespace;
  readonly network: SubnetNetwork;
  readonly kernel: Kernel;
  readonly link: () => HostLink;
  /** Makes the link to the host anew. */
  readonly relink: () => void;
  /** Puts routes back that need the link. */
  readonly reroute: () => void;
  /** Said once for each new finding. */
  readonly warn: (text: string) => void;
}

interface Finding {
  readonly what: string;
  readonly mend?: () => void;
}

/**
 * One look at what another hand may have taken from a gateway that stands, and its mending. Nothing here keeps anything closed: that is so
 * without it. It is what opens permitted ways again.
 */
export const createUpkeep = ({ host, network, kernel, link, relink, reroute, warn }: Upkeep) => {
  const { gateway, interfaces } = network;
  const uplink = topology.uplinkInterface;
  const nft = openNftables(gateway);
  let known: readonly string[] = [];

  const isLinked = (): boolean =>
    host.run(() => interfaceIndex(link().interfaceName) !== 0) && gateway.run(() => interfaceIndex(uplink) !== 0);

  const findings = (): readonly Finding[] => {
    const detached = interfaces
      .map(({ name }) => name)
      .filter((name) => gateway.run(() => interfaceIndex(name) !== 0 && !kernel.isAttached(name)));
    const lost = interfaces.filter(({ name }) => gateway.run(() => interfaceIndex(name)) === 0);
    return [
      ...(isLinked() ? [] : [{ what: 'its link to the host was gone', mend: relink }]),
      ...detached.map((name) => ({
        what: `the program on ${name} was gone`,
        mend: () => gateway.run(() => void kernel.attach(name)),
      })),
      ...(gateway.run(() => interfaceIndex(uplink) !== 0 && !kernel.isUplinkAttached(uplink))
        ? [{ what: `the program on ${uplink} was gone`, mend: () => gateway.run(() => kernel.attachUplink(uplink)) }]
        : []),
      ...lost.map(({ name }) => ({ what: `the interface ${name} is gone: its agents reach nothing` })),
      ...(nft.run('list tables').includes('table inet cofferdam\n')
        ? []
        : [{ what: 'its netfilter rules are gone: nothing new passes until it is started again' }]),
    ];
  };

  return {
    look(): void {
      const found = findings();
      for (const { what } of found) if (!known.includes(what)) warn(`somebody changed the gateway: ${what}`);
      known = found.map(({ what }) => what);
      for (const { mend } of found) mend?.();
      if (network.mend()) reroute();
    },
    close: nft.close,
  };
};
