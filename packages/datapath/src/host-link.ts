import { existsSync, readFileSync } from 'node:fs';
import { literalPrefix, parsePrefix, prefixesOverlap } from '@cofferdam/net';
import {
  acceptInForeignChains,
  guardRuleset,
  guardTable,
  hostRuleset,
  rememberAdvertised,
  rememberedAdvertised,
  removeTable,
  removeTagged,
  runsIn,
  tableOf,
} from './host-ruleset.ts';
import { ip, ipList, setKernel } from './ip-command.ts';
import { interfaceIndex } from './libc.ts';
import { addLinkRules, removeLinkRules } from './link-rules.ts';
import { alone } from './lock.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import type { Nftables } from './nftables.ts';
import { topology as t, type Uplink, uplink, uplinkCount } from './topology.ts';

/** The way from a gateway's namespace through its host to the world, and its undoing. */
export interface HostLink {
  readonly uplink: Uplink;
  readonly interfaceName: string;
  /** Undoes everything. Safe to call twice. */
  close(): void;
}

export interface HostLinkOptions {
  readonly host: NetworkNamespace;
  readonly nft: Nftables;
  readonly gateway: NetworkNamespace;
  /** Hexadecimal, unique on this host; names the link and the table. */
  readonly run: string;
  /** Whether a run of this name is still alive: what others left behind is taken away. */
  readonly isAlive: (run: string) => boolean;
  /** The only interface of the host that leads out. Absent: those that its routes say. */
  readonly upstream?: string;
}

const linkPrefix = 'cfd';
export const linkName = (run: string): string => `${linkPrefix}${run}`;

const readSetting = (host: NetworkNamespace, name: string): string =>
  host.run(() => readFileSync(`/proc/sys/net/${name}`, 'ascii').trim());
const existsSetting = (host: NetworkNamespace, name: string): boolean =>
  host.run(() => existsSync(`/proc/sys/net/${name}`));

interface Route {
  readonly dst?: string;
  readonly dev?: string;
}

/**
 * Prefixes that the host has a way of their own to. What is wider than all of our addresses is, like the default, a way to everything
 * (VPNs write `128.0.0.0/1` or `fc00::/7`): a link is nearer than that.
 */
const takenPrefixes = (host: NetworkNamespace) =>
  [t.own4, t.own6].flatMap((own) => {
    const ours = literalPrefix(own);
    const routes = ipList(host, [`-${ours.address.family}`, 'route', 'show', 'table', 'all']) as Route[];
    return routes.flatMap(({ dst }) => {
      const parsed = dst === undefined || dst === 'default' ? undefined : parsePrefix(dst);
      return parsed?.ok && parsed.value.length >= ours.length ? [parsed.value] : [];
    });
  });

interface Addressed {
  readonly addr_info?: readonly { readonly local?: string }[];
}

const addressesOf = (host: NetworkNamespace, family: 4 | 6): readonly string[] => {
  const shown = ipList(host, [`-${family}`, 'address', 'show']) as Addressed[];
  return [...new Set(shown.flatMap(({ addr_info }) => (addr_info ?? []).flatMap(({ local }) => local ?? [])))];
};

/** The first free pair of addresses, looked for from a place of the run's own so that two starts seldom meet. */
const freeUplink = (host: NetworkNamespace, run: string): Uplink => {
  const taken = takenPrefixes(host);
  const start = Number.parseInt(run.slice(-4), 16) % uplinkCount;
  for (let i = 0; i < 256; i++) {
    const candidate = uplink((start + i) % uplinkCount);
    const mine = [candidate.host4, candidate.gateway4, candidate.host6].map(literalPrefix);
    if (!mine.some((address) => taken.some((one) => prefixesOverlap(one, address)))) return candidate;
  }
  throw new Error(`no free addresses for the link to the host in ${t.links4} and ${t.links6}`);
};

/** Interfaces that take router advertisements only while they do not forward: they have to be told to take them all the same. */
const advertised = (host: NetworkNamespace): readonly string[] =>
  (ipList(host, ['link', 'show']) as { ifname: string }[])
    .map(({ ifname }) => ifname)
    .filter((name) => readSetting(host, `ipv6/conf/${name}/accept_ra`) === '1');

/** `from` to `to` on those of the interfaces that still are so: another hand may have changed them. */
const setAdvertisements = (host: NetworkNamespace, names: readonly string[], from: number, to: number): void => {
  for (const name of names) {
    const setting = `ipv6/conf/${name}/accept_ra`;
    if (existsSetting(host, setting) && readSetting(host, setting) === String(from)) setKernel(host, { [setting]: to });
  }
};

/**
 * Turns forwarding on where it is off, behind a table that forwards nothing but what runs send. That table is also the memory
 * of what has to be undone: chains say which family was off, a set holds the interfaces whose settings were changed with it.
 */
const forward = (host: NetworkNamespace, nft: Nftables): void => {
  const off4 = readSetting(host, 'ipv4/ip_forward') === '0';
  const off6 = readSetting(host, 'ipv6/conf/all/forwarding') === '0';
  if (!off4 && !off6) return;
  nft.run(guardRuleset(`${linkPrefix}*`));
  if (off4) nft.run(`add chain inet ${guardTable} was_off_ipv4`);
  if (off6) {
    nft.run(`add chain inet ${guardTable} was_off_ipv6`);
    const names = advertised(host);
    nft.apply(rememberAdvertised(names));
    setAdvertisements(host, names, 1, 2);
  }
  setKernel(host, {
    ...(off4 ? { 'ipv4/ip_forward': 1 } : {}),
    ...(off6 ? { 'ipv6/conf/all/forwarding': 1 } : {}),
  });
};

const restoreForwarding = (host: NetworkNamespace, nft: Nftables): void => {
  const listing = nft.list('list ruleset');
  const ruleset = JSON.stringify(listing);
  if (!ruleset.includes(`"${guardTable}"`)) return;
  setKernel(host, {
    ...(ruleset.includes('"was_off_ipv4"') ? { 'ipv4/ip_forward': 0 } : {}),
    ...(ruleset.includes('"was_off_ipv6"') ? { 'ipv6/conf/all/forwarding': 0 } : {}),
  });
  setAdvertisements(host, rememberedAdvertised(listing), 2, 1);
  nft.run(`delete table inet ${guardTable}`);
};

/** Takes away what a run left in the host: table, tagged rules, and after the last run the forwarding and the routing it needed. */
const clean = (host: NetworkNamespace, nft: Nftables, run: string): void => {
  const listing = nft.list('list ruleset');
  const hasTable = JSON.stringify(listing).includes(`"${tableOf(run)}"`);
  nft.apply([...removeTagged(listing, run), ...(hasTable ? [removeTable(run)] : [])]);
  if (runsIn(nft.list('list ruleset')).length > 0) return;
  restoreForwarding(host, nft);
  removeLinkRules(host);
};

/** One run at a time changes the host: the last one to end must not turn off what the next has just found on. */
const onHost = <T>(work: () => T): T => alone('/run/cofferdam/host.lock', work);

/** Takes away what runs that are dead have left in the host. Returns their names. */
export const cleanHost = (
  host: NetworkNamespace,
  nft: Nftables,
  isAlive: (run: string) => boolean,
): readonly string[] => onHost(() => cleanDead(host, nft, isAlive));

const cleanDead = (host: NetworkNamespace, nft: Nftables, isAlive: (run: string) => boolean): readonly string[] => {
  const dead = runsIn(nft.list('list ruleset')).filter((run) => !isAlive(run));
  for (const run of dead) clean(host, nft, run);
  return dead;
};

export const linkToHost = (options: HostLinkOptions): HostLink => {
  const link = onHost(() => makeLink(options));
  return { ...link, close: () => onHost(link.close) };
};

/** The addresses of a link that an earlier process made. Undefined: there is none. */
const standingUplink = (host: NetworkNamespace, gateway: NetworkNamespace, link: string): Uplink | undefined => {
  const at = (namespace: NetworkNamespace, name: string, family: 4 | 6): string | undefined => {
    if (!(ipList(namespace, ['link', 'show']) as { ifname: string }[]).some(({ ifname }) => ifname === name))
      return undefined;
    const shown = ipList(namespace, [`-${family}`, 'address', 'show', 'dev', name, 'scope', 'global']) as Addressed[];
    return shown.flatMap(({ addr_info }) => (addr_info ?? []).flatMap(({ local }) => local ?? []))[0];
  };
  const [host4, host6] = [at(host, link, 4), at(host, link, 6)];
  const [gateway4, gateway6] = [at(gateway, t.uplinkInterface, 4), at(gateway, t.uplinkInterface, 6)];
  return host4 === undefined || host6 === undefined || gateway4 === undefined || gateway6 === undefined
    ? undefined
    : { host4, host6, gateway4, gateway6 };
};

const deleteLink = (host: NetworkNamespace, link: string): void => {
  const isThere = (): boolean => host.run(() => interfaceIndex(link)) !== 0;
  if (!isThere()) return;
  try {
    ip(host, [`link delete ${link}`]);
  } catch (e) {
    // It may go by itself at the same moment, with the namespace of its other end.
    if (isThere()) throw e;
  }
};

const unlink = (host: NetworkNamespace, nft: Nftables, run: string): void => {
  deleteLink(host, linkName(run));
  clean(host, nft, run);
};

/** Takes away the link of a gateway that another process made. */
export const unlinkHost = (host: NetworkNamespace, nft: Nftables, run: string): void =>
  onHost(() => unlink(host, nft, run));

const makeLink = ({ host, nft, gateway, run, isAlive, upstream }: HostLinkOptions): HostLink => {
  cleanDead(host, nft, isAlive);
  const link = linkName(run);
  const standing = standingUplink(host, gateway, link);
  const addresses = standing ?? freeUplink(host, run);
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    unlink(host, nft, run);
  };
  try {
    const { gateway4, gateway6 } = addresses;
    const own = hostRuleset({
      run,
      link,
      gateway4,
      gateway6,
      host4: addressesOf(host, 4),
      host6: addressesOf(host, 6),
      ...(upstream === undefined ? {} : { upstream }),
    });
    // Anew also where it stands: in one step. Other tables may have lost our accept meanwhile, and a link may be gone without its table.
    nft.run(`table inet ${tableOf(run)} {}\ndelete table inet ${tableOf(run)}\n${own}`);
    nft.apply(removeTagged(nft.list('list ruleset'), run));
    nft.apply(acceptInForeignChains(nft.list('list chains'), run, link));
    forward(host, nft);
    addLinkRules(host);
    if (standing !== undefined) return { uplink: addresses, interfaceName: link, close };
    // Half of one, of a process that ended while it made it.
    deleteLink(host, link);
    ip(host, [
      `link add ${link} type veth peer name ${t.uplinkInterface} netns ${gateway.path}`,
      `addr add ${addresses.host4}/${t.uplinkLength4} dev ${link}`,
      `addr add ${addresses.host6}/${t.uplinkLength6} dev ${link} nodad`,
      `link set ${link} up`,
    ]);
    ip(gateway, [
      `addr add ${addresses.gateway4}/${t.uplinkLength4} dev ${t.uplinkInterface}`,
      `addr add ${addresses.gateway6}/${t.uplinkLength6} dev ${t.uplinkInterface} nodad`,
      `link set ${t.uplinkInterface} up`,
    ]);
    setKernel(host, {
      [`ipv4/conf/${link}/rp_filter`]: 0,
      [`ipv6/conf/${link}/accept_ra`]: 0,
      [`ipv6/conf/${link}/keep_addr_on_down`]: 1,
    });
    return { uplink: addresses, interfaceName: link, close };
  } catch (e) {
    close();
    throw e;
  }
};
