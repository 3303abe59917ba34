import { mkdirSync, rmSync } from 'node:fs';
import { type Address, formatAddress, formatPrefix, type Prefix, parseAddress, parsePrefix } from '@cofferdam/net';
import { ip, ipList, setKernel } from './ip-command.ts';
import { interfaceIndex } from './libc.ts';
import { heldNamespace, holdNamespace, type NetworkNamespace, releaseNamespace } from './network-namespace.ts';
import { gatewaySettings, newLinks } from './run-network.ts';
import { topology as t } from './topology.ts';

/**
 * The network of a gateway in front of subnets. Its agent interfaces are the host's, moved into a namespace that outlives this process:
 * programs, tables and routes in it go on without anybody, and a later start finds them there.
 */
export interface SubnetNetwork {
  readonly gateway: NetworkNamespace;
  readonly interfaces: readonly SubnetInterface[];
  /** Whether the namespace was there already, with what an earlier process made in it. */
  readonly standing: boolean;
  /** Lets go of it, and leaves everything as it is. */
  detach(): void;
  /** Gives the interfaces back to the host, with their addresses and routes, and takes the namespace away. */
  remove(): void;
}

export interface SubnetInterface {
  readonly name: string;
  readonly ifindex: number;
  /** The gateway's own addresses there. */
  readonly own: readonly Address[];
  /** Prefixes that agents behind it may have: its subnets, and what is routed over it. */
  readonly behind: readonly Prefix[];
}

/** What an interface takes with it from one namespace to another. */
interface Configuration {
  readonly addresses: readonly { readonly text: string; readonly family: 4 | 6 }[];
  readonly routes: readonly { readonly text: string; readonly family: 4 | 6 }[];
}

interface ShownLink {
  readonly ifname: string;
  readonly flags?: readonly string[];
}
interface ShownAddress {
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number; readonly scope?: string }[];
}
interface ShownRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly protocol?: string;
  readonly metric?: number;
  readonly flags?: readonly string[];
}

const families = [4, 6] as const;

const configurationOf = (namespace: NetworkNamespace, name: string): Configuration => ({
  addresses: families.flatMap((family) =>
    (ipList(namespace, [`-${family}`, 'address', 'show', 'dev', name]) as ShownAddress[]).flatMap(({ addr_info }) =>
      (addr_info ?? []).flatMap(({ local, prefixlen }) =>
        local === undefined ? [] : [{ text: `${local}/${prefixlen}`, family }],
      ),
    ),
  ),
  routes: families.flatMap((family) =>
    (ipList(namespace, [`-${family}`, 'route', 'show', 'dev', name]) as ShownRoute[])
      // Those that the kernel makes come with the addresses.
      .filter(({ protocol }) => protocol !== 'kernel' && protocol !== 'ra')
      .map(({ dst, gateway, metric, flags }) => ({
        text: [
          dst,
          ...(gateway === undefined ? [] : [`via ${gateway}`]),
          `dev ${name}`,
          ...(flags?.includes('onlink') ? ['onlink'] : []),
          ...(metric === undefined ? [] : [`metric ${metric}`]),
        ].join(' '),
        family,
      })),
  ),
});

const configure = (namespace: NetworkNamespace, name: string, { addresses, routes }: Configuration): void => {
  ip(namespace, [
    ...addresses.map(({ text, family }) => `address replace ${text} dev ${name}${family === 6 ? ' nodad' : ''}`),
    `link set ${name} up`,
  ]);
  for (const family of families)
    ip(
      namespace,
      routes.filter((one) => one.family === family).map(({ text }) => `route replace ${text}`),
      family,
    );
};

const move = (from: NetworkNamespace, to: NetworkNamespace, name: string): void => {
  const configuration = configurationOf(from, name);
  try {
    ip(from, [`link set ${name} netns ${to.path}`]);
  } catch (e) {
    const said = e instanceof Error ? e.message : String(e);
    throw new Error(
      `the interface ${name} cannot be moved into the gateway (${said}); of a bridge or bond give a port instead: ` +
        `ip link add agents type veth peer name agents-port && ip link set agents-port master ${name} up`,
    );
  }
  configure(to, name, configuration);
};

const linksOf = (namespace: NetworkNamespace): readonly string[] =>
  (ipList(namespace, ['link', 'show']) as ShownLink[]).map(({ ifname }) => ifname);

const prefix = (text: string): Prefix[] => {
  const parsed = parsePrefix(text);
  return parsed.ok ? [parsed.value] : [];
};

const isLinkLocal = ({ address }: Prefix): boolean =>
  address.family === 6 && formatAddress(address).startsWith('fe80:');

const shownInterface = (gateway: NetworkNamespace, name: string): SubnetInterface => {
  const own = families.flatMap((family) =>
    (ipList(gateway, [`-${family}`, 'address', 'show', 'dev', name]) as ShownAddress[]).flatMap(({ addr_info }) =>
      (addr_info ?? []).flatMap(({ local }) => (local === undefined ? [] : (parseAddress(local) ?? []))),
    ),
  );
  const behind = families.flatMap((family) =>
    (ipList(gateway, [`-${family}`, 'route', 'show', 'dev', name]) as ShownRoute[]).flatMap(({ dst }) =>
      dst === 'default' ? [] : prefix(dst),
    ),
  );
  return {
    name,
    ifindex: gateway.run(() => interfaceIndex(name)),
    own,
    behind: behind.filter((one) => !isLinkLocal(one)),
  };
};

/** Forwarded replies have a next hop that nobody is, on every agent interface: see `topology.nowhere4`. */
const aimReplies = (gateway: NetworkNamespace, { name, behind }: SubnetInterface): void => {
  ip(gateway, [
    `neigh replace ${t.nowhere4} lladdr ${t.nowhereMac} dev ${name} nud permanent`,
    `neigh replace ${t.nowhere6} lladdr ${t.nowhereMac} dev ${name} nud permanent`,
  ]);
  for (const family of families)
    ip(
      gateway,
      behind
        .filter(({ address }) => address.family === family)
        .map(
          (one) =>
            `route replace ${formatPrefix(one)} via ${family === 4 ? t.nowhere4 : t.nowhere6} dev ${name} onlink table ${t.replyTable}`,
        ),
      family,
    );
};

/** `directory`: where the namespace is held, for root alone. `names`: agent interfaces, in the host or in the gateway already. */
export const openSubnetNetwork = (
  host: NetworkNamespace,
  directory: string,
  names: readonly string[],
): SubnetNetwork => {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = `${directory}/netns`;
  const found = heldNamespace(file);
  const gateway = found ?? holdNamespace(file);
  const moved: string[] = [];
  const giveBack = (): void => {
    const there = linksOf(gateway);
    for (const name of names) if (there.includes(name)) move(gateway, host, name);
  };
  try {
    if (found === undefined) {
      setKernel(gateway, { ...newLinks, ...gatewaySettings });
      ip(gateway, ['link set lo up']);
    }
    const there = linksOf(gateway);
    const outside = linksOf(host);
    for (const name of names) {
      if (there.includes(name)) continue;
      if (!outside.includes(name)) throw new Error(`no interface \`${name}\` here: there are ${outside.join(', ')}`);
      move(host, gateway, name);
      moved.push(name);
    }
    const interfaces = names.map((name) => shownInterface(gateway, name));
    for (const one of interfaces) {
      if (one.behind.length === 0)
        throw new Error(
          `the interface ${one.name} has no address: give it the one that its agents use as their gateway`,
        );
      aimReplies(gateway, one);
    }
    return {
      gateway,
      interfaces,
      standing: found !== undefined,
      detach: gateway.close,
      remove() {
        giveBack();
        gateway.close();
        releaseNamespace(file);
        rmSync(directory, { recursive: true, force: true });
      },
    };
  } catch (e) {
    for (const name of moved) move(gateway, host, name);
    gateway.close();
    if (found === undefined) releaseNamespace(file);
    throw e;
  }
};
