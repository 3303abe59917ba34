/** Recursive resolvers of the lab's internet: configuration for unbound and dnsmasq, and what their logs say arrived. */
import type { Arrival } from './arrivals.ts';
import { type DnsRecord, familyOf, specialRecords, tunnelServers, worldHosts } from './world.ts';

export type ResolverProgram = 'unbound' | 'dnsmasq';

/** Answers may be kept for this many seconds. Short, since tests move names between addresses. */
const ttl = 5;

export function initialRecords(): readonly DnsRecord[] {
  const ofHosts = worldHosts.flatMap((host) => host.names.map((name) => ({ name, addresses: host.addresses })));
  return [...ofHosts, ...specialRecords];
}

/** @param dataFile the included file that `unboundData` fills and SIGHUP reads again */
export function unboundConfiguration(addresses: readonly string[], dataFile: string): string {
  const delegations = Object.values(tunnelServers).map(
    ({ zone, address }) => `stub-zone:\n  name: ${zone}.\n  stub-addr: ${address}\n`,
  );
  return `server:
${addresses.map((address) => `  interface: ${address}`).join('\n')}
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  username: ""
  chroot: ""
  directory: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  log-queries: yes
  num-threads: 1
  module-config: iterator
  do-not-query-localhost: no
  qname-minimisation: no
  include: ${dataFile}
remote-control:
  control-enable: no
${delegations.join('')}`;
}

export function unboundData(records: readonly DnsRecord[]): string {
  const lines = ['local-zone: "." static'];
  for (const { zone } of Object.values(tunnelServers)) lines.push(`local-zone: "${zone}." transparent`);
  for (const { name, addresses, wildcard, https } of records) {
    lines.push(`local-zone: "${name}." ${wildcard ? 'redirect' : 'static'}`);
    for (const address of addresses) {
      lines.push(`local-data: "${name}. ${ttl} IN ${familyOf(address) === 4 ? 'A' : 'AAAA'} ${address}"`);
    }
    if (https !== undefined) lines.push(`local-data: '${name}. ${ttl} IN HTTPS 1 . ${https}'`);
  }
  return lines.map((line) => `  ${line}\n`).join('');
}

/** dnsmasq names no address twice, so all its data is on its command line's configuration file and a change restarts it. */
export function dnsmasqConfiguration(addresses: readonly string[], records: readonly DnsRecord[]): string {
  const lines = [
    'no-resolv',
    'no-hosts',
    'keep-in-foreground',
    'bind-interfaces',
    'user=root',
    'pid-file',
    'log-queries=extra',
    'log-facility=-',
  ];
  lines.push('address=/#/', `local-ttl=${ttl}`, ...addresses.map((address) => `listen-address=${address}`));
  for (const { zone, address } of Object.values(tunnelServers)) lines.push(`server=/${zone}/${address}`);
  for (const record of records) {
    for (const address of record.addresses) {
      lines.push(
        record.wildcard ? `address=/${record.name}/${address}` : `host-record=${record.name},${address},${ttl}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Reads one line of a resolver's log; undefined when it reports no question. */
export function questionFromLog(line: string, server: string, local: string): Arrival | undefined {
  const match = unboundQuestion.exec(line) ?? dnsmasqQuestion.exec(line);
  if (match?.groups === undefined) return undefined;
  const { address = '', port = '0', name = '', type = '' } = match.groups;
  return {
    kind: 'query',
    server,
    source: { address, port: Number(port) },
    local: { address: local, port: 53 },
    at: Date.now(),
    name: name.toLowerCase().replace(/\.$/, ''),
    type,
  };
}

const unboundQuestion = /info: (?<address>[0-9a-f.:]+) (?<name>\S+) (?<type>[A-Z0-9]+) IN$/;
const dnsmasqQuestion = /: \d+ (?<address>[0-9a-f.:]+)\/(?<port>\d+) query\[(?<type>[^\]]+)\] (?<name>\S*) from /;
