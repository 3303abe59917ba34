/**
 * Cables, addresses and routes.
 *
 *      host                          internet                                    spoke
 *   eth0 192.168.50.2/24 ───── 192.168.50.1/24 host          spoke 10.20.0.1/16 ───── 10.20.0.2/16 eth0
 *        2a01:4f8:50::2/64     2a01:4f8:50::1/64                   fd20::1/64         fd20::2/64
 *   default routes to the      lo: every public address of `worldHosts`, and         lo: 10.20.0.10, …
 *   internet machine           169.254.169.254; no way out of the machine
 */
import type { Machine } from './machine.ts';
import { run } from './process.ts';
import { deadAddresses, familyOf, hostLink, resolverAddresses, spokeLink, tunnelServers, worldHosts } from './world.ts';

export interface Machines {
  readonly host: Machine;
  readonly internet: Machine;
  readonly spoke: Machine;
}

export async function connect({ host, internet, spoke }: Machines): Promise<void> {
  await Promise.all([
    // No duplicate address detection: an address would be unusable for its first seconds.
    settings(host, [
      'net.ipv6.conf.default.accept_dad=0',
      'net.ipv4.ip_forward=0',
      'net.ipv4.ping_group_range=0 2147483647',
    ]),
    settings(internet, [
      'net.ipv6.conf.default.accept_dad=0',
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
    ]),
    settings(spoke, ['net.ipv6.conf.default.accept_dad=0']),
  ]);
  await cable(host, 'eth0', internet, 'host');
  await cable(spoke, 'eth0', internet, 'spoke');
  await Promise.all([
    // The router has its addresses and links first, so that no route of its neighbours is refused.
    links(internet, [
      ...up('host', hostLink.router),
      ...up('spoke', spokeLink.router),
      ...publicAddresses().map((address) => `address add ${single(address)} dev lo`),
      ...deadAddresses.map((address) => `route add blackhole ${single(address)}`),
    ]),
    links(host, [...up('eth0', hostLink.host), ...defaultRoutes(hostLink.router)]),
    links(spoke, [
      ...up('eth0', spokeLink.spoke),
      ...defaultRoutes(spokeLink.router),
      ...addressesOf('spoke').map((address) => `address add ${single(address)} dev eth0`),
    ]),
  ]);
}

/** Addresses of the internet machine that answer to nothing but their own names. */
function publicAddresses(): readonly string[] {
  return [
    ...addressesOf('internet'),
    ...resolverAddresses.flat(),
    tunnelServers.iodine.address,
    tunnelServers.dns2tcp.address,
  ];
}

const addressesOf = (machine: 'internet' | 'spoke'): readonly string[] =>
  worldHosts.filter((host) => host.machine === machine).flatMap((host) => host.addresses);

const single = (address: string): string => `${address}/${familyOf(address) === 4 ? 32 : 128}`;

export const up = (device: string, prefixes: readonly string[]): readonly string[] => [
  `link set ${device} up`,
  ...prefixes.map((prefix) => `address add ${prefix} dev ${device}${familyOf(prefix) === 6 ? ' nodad' : ''}`),
];

const defaultRoutes = (routers: readonly string[]): readonly string[] =>
  routers.map((router) => `route add default via ${router.split('/')[0]}`);

export async function cable(left: Machine, leftDevice: string, right: Machine, rightDevice: string): Promise<void> {
  const ends = [leftDevice, 'netns', left.pid, 'type', 'veth', 'peer', 'name', rightDevice, 'netns', right.pid].map(
    String,
  );
  succeed('ip link add', await run(['ip', 'link', 'add', 'name', ...ends], {}).ended);
}

export async function settings(machine: Machine, assignments: readonly string[]): Promise<void> {
  succeed('sysctl', await machine.exec(['sysctl', '--quiet', '--write', ...assignments]));
}

export async function links(machine: Machine, commands: readonly string[]): Promise<void> {
  succeed('ip -batch', await machine.exec(['ip', '-batch', '-'], { input: `${commands.join('\n')}\n` }));
}

function succeed(what: string, result: { readonly code: number; readonly stderr: string }): void {
  if (result.code !== 0) throw new Error(`${what} failed with ${result.code}: ${result.stderr.trim()}`);
}
