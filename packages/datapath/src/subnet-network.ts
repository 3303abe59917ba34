import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Address, formatAddress, formatPrefix, type Prefix, parseAddress, parsePrefix } from '@cofferdam/net';
import { closedRuleset } from './gateway-ruleset.ts';
import { ip, ipList } from './ip-command.ts';
import { detachTc } from './libbpf.ts';
import { interfaceIndex } from './libc.ts';
import { alone } from './lock.ts';
import {
  claimNamespace,
  heldNamespace,
  holdNamespace,
  keepNamespace,
  type NetworkNamespace,
  releaseNamespace,
} from './network-namespace.ts';
import { openNftables } from './nftables.ts';
import { setGateway } from './run-network.ts';
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
  /**
   * Puts back what somebody took away: what holds the namespace, and routes and neighbours that went with an interface that was down. Says
   * whether there was anything. To be called now and then.
   */
  mend(): boolean;
  /** Lets go of it, and leaves everything as it is. */
  close(): void;
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

/** Batches of `ip`, one for each family. */
const configuring = (name: string, { addresses, routes }: Configuration): readonly string[] =>
  families.map((family) =>
    [
      ...addresses
        .filter((one) => one.family === family)
        .map(({ text }) => `address replace ${text} dev ${name}${family === 6 ? ' nodad' : ''}`),
      `link set ${name} up`,
      ...routes.filter((one) => one.family === family).map(({ text }) => `route replace ${text}`),
      '',
    ].join('\n'),
  );

/**
 * One child does all of it: where this process is killed meanwhile, the interface still gets there with all that it had. Its arguments are the
 * name, then for each family the commands for the new place; its descriptors 3 and 4 are the namespaces.
 */
const movement = `
nsenter --net=/proc/self/fd/3 ip link set "$1" netns /proc/self/fd/4 || exit 9
printf %s "$2" | nsenter --net=/proc/self/fd/4 ip -batch - && printf %s "$3" | nsenter --net=/proc/self/fd/4 ip -6 -batch -
`;
const notMoved = 9;

const move = (from: NetworkNamespace, to: NetworkNamespace, name: string): void => {
  const commands = configuring(name, configurationOf(from, name));
  const { status, stderr, error } = spawnSync('sh', ['-c', movement, 'sh', name, ...commands], {
    stdio: ['ignore', 'ignore', 'pipe', from.fd, to.fd],
    encoding: 'utf8',
  });
  if (error) throw error;
  const said = stderr.trim().split('\n')[0];
  if (status === notMoved)
    throw new Error(
      `the interface ${name} cannot be moved into the gateway (${said}); of a bridge or bond give a port instead: ` +
        `ip link add agents type veth peer name agents-port && ip link set agents-port master ${name} up`,
    );
  if (status !== 0) throw new Error(`the interface ${name} was moved, and lost of its addresses or routes: ${said}`);
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

const namespaceFile = (directory: string): string => `${directory}/netns`;

/** Gateways come and go one at a time. */
const onGateways = <T>(directory: string, work: () => T): T => alone(`${dirname(directory)}/start.lock`, work);

/** The namespace is there and ours alone, until it is closed. */
const claimed = (namespace: NetworkNamespace, what: string): void => {
  if (claimNamespace(namespace)) return;
  namespace.close();
  throw new Error(what);
};

/** Another gateway that has an interface, in words. */
const whereIs = (directory: string, name: string): string | undefined => {
  const other = readdirSync(dirname(directory)).find((one) => {
    const found = heldNamespace(namespaceFile(join(dirname(directory), one)));
    const has = found !== undefined && found.run(() => interfaceIndex(name)) !== 0;
    found?.close();
    return has;
  });
  return other === undefined ? undefined : `the gateway \`${other}\` has it`;
};

/** Of netfilter, before there is anything to pass: who is killed on the way to the rules leaves a namespace that is closed. */
const closeNamespace = (gateway: NetworkNamespace): void => {
  const nft = openNftables(gateway);
  try {
    nft.run(closedRuleset);
  } finally {
    nft.close();
  }
};

/** What goes when an interface is down for a moment, as text: neighbours as far as they are fixed, routes without their counters. */
const pictureOf = (gateway: NetworkNamespace): string =>
  gateway.run(() => {
    const lines = (name: string): readonly string[] =>
      readFileSync(`/proc/thread-self/net/${name}`, 'latin1').split('\n');
    return [
      ...lines('fib_trie'),
      ...lines('ipv6_route').map((line) => line.replace(/^((?:\S+ +){6})\S+ +\S+/, '$1')),
      ...lines('arp').filter((line) => line.includes(t.nowhereMac)),
    ].join('\n');
  });

const isUp = (gateway: NetworkNamespace, name: string): boolean =>
  (ipList(gateway, ['link', 'show', 'up']) as ShownLink[]).some(({ ifname }) => ifname === name);

/** Routes that were given by hand, and the aim of replies. An interface that is down takes none. */
const restoreRoutes = (gateway: NetworkNamespace, name: string, { routes }: Configuration): void => {
  if (!isUp(gateway, name)) return;
  for (const family of families)
    ip(
      gateway,
      routes.filter((one) => one.family === family).map(({ text }) => `route replace ${text}`),
      family,
    );
  aimReplies(gateway, shownInterface(gateway, name));
};

/** Whether a gateway's namespace is held there. */
export const standsSubnetNetwork = (directory: string): boolean => {
  const found = heldNamespace(namespaceFile(directory));
  found?.close();
  return found !== undefined;
};

/**
 * Gives all interfaces back to the host, with their addresses and routes, and takes the namespace away with all that is in it. Returns the
 * interfaces; undefined where there is no such namespace.
 */
export const removeSubnetNetwork = (
  host: NetworkNamespace,
  directory: string,
  next: () => void = () => undefined,
): readonly string[] | undefined =>
  onGateways(directory, () => {
    const gateway = heldNamespace(namespaceFile(directory));
    if (gateway === undefined) return undefined;
    claimed(gateway, 'a process is serving this gateway: end it first');
    const names = dissolve(host, gateway, directory);
    next();
    return names;
  });

const dissolve = (host: NetworkNamespace, gateway: NetworkNamespace, directory: string): readonly string[] => {
  const names = linksOf(gateway).filter((name) => name !== 'lo' && name !== t.uplinkInterface);
  for (const name of names) {
    gateway.run(() => detachTc(interfaceIndex(name)));
    move(gateway, host, name);
  }
  gateway.close();
  releaseNamespace(namespaceFile(directory));
  rmSync(directory, { recursive: true, force: true });
  return names;
};

/** `directory`: where the namespace is held, for root alone. `names`: agent interfaces, in the host or in the gateway already. */
export const openSubnetNetwork = (host: NetworkNamespace, directory: string, names: readonly string[]): SubnetNetwork =>
  onGateways(directory, () => open(host, directory, names));

const open = (host: NetworkNamespace, directory: string, names: readonly string[]): SubnetNetwork => {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = namespaceFile(directory);
  const found = heldNamespace(file);
  const gateway = found ?? holdNamespace(file);
  claimed(gateway, 'another process is serving this gateway already: end it first, or give this one another --name');
  const before = linksOf(gateway);
  try {
    // Also where it was found: who made it may not have come this far.
    closeNamespace(gateway);
    setGateway(gateway, { 'ipv6/conf/all/keep_addr_on_down': 1 });
    ip(gateway, ['link set lo up']);
    const outside = linksOf(host);
    for (const name of names) {
      if (before.includes(name)) continue;
      if (!outside.includes(name))
        throw new Error(
          `no interface \`${name}\` here: ${whereIs(directory, name) ?? `there are ${outside.join(', ')}`}`,
        );
      move(host, gateway, name);
    }
    const interfaces = names.map((name) => shownInterface(gateway, name));
    for (const one of interfaces) {
      if (one.behind.length === 0)
        throw new Error(
          `the interface ${one.name} has no address: give it the one that its agents use as their gateway`,
        );
      aimReplies(gateway, one);
    }
    const configurations = names.map((name) => [name, configurationOf(gateway, name)] as const);
    let picture = pictureOf(gateway);
    return {
      gateway,
      interfaces,
      standing: found !== undefined,
      mend() {
        keepNamespace(gateway, file);
        if (pictureOf(gateway) === picture) return false;
        for (const [name, configuration] of configurations) restoreRoutes(gateway, name, configuration);
        picture = pictureOf(gateway);
        return true;
      },
      close: gateway.close,
    };
  } catch (e) {
    for (const name of linksOf(gateway)) if (names.includes(name) && !before.includes(name)) move(gateway, host, name);
    gateway.close();
    if (found === undefined) {
      releaseNamespace(file);
      rmSync(directory, { recursive: true, force: true });
    }
    throw e;
  }
};
