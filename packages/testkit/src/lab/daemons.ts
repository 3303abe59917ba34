/** The servers of the internet machine that can be stopped and started again while the lab runs. */
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Arrival } from './arrivals.ts';
import type { GitServer } from './git-server.ts';
import type { Machine } from './machine.ts';
import type { LabProcess } from './process.ts';
import {
  dnsmasqConfiguration,
  questionFromLog,
  type ResolverProgram,
  unboundConfiguration,
  unboundData,
} from './resolver.ts';
import { type DnsRecord, resolverAddresses, tunnelServers } from './world.ts';

export type DaemonName = 'resolver' | 'resolver2' | 'sshd' | 'iodined' | 'dns2tcpd';

export interface Daemon {
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
  /** Takes a changed configuration into use; nothing happens when it is not running. */
  readonly reload: () => Promise<void>;
}

function daemon(
  machine: Machine,
  argv: readonly string[],
  ready: RegExp,
  reloadSignal?: 'SIGHUP',
  onLine?: (line: string) => void,
): Daemon {
  let running: LabProcess | undefined;
  const start = async (): Promise<void> => {
    if (running !== undefined) return;
    running = machine.spawn(argv);
    if (onLine !== undefined)
      for (const stream of [running.child.stdout!, running.child.stderr!]) eachLine(stream, onLine);
    await running.waitFor(ready);
  };
  const stop = async (): Promise<void> => {
    const stopped = running;
    running = undefined;
    await stopped?.kill('SIGTERM');
    await stopped?.ended;
  };
  const reload = async (): Promise<void> => {
    if (running === undefined) return;
    if (reloadSignal === undefined) {
      await stop();
      await start();
      return;
    }
    // The line that said it was ready is said again.
    const before = running.stderr().length;
    await running.kill(reloadSignal);
    const again = running;
    while (!ready.test(again.stderr().slice(before))) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  return { start, stop, reload };
}

export function eachLine(stream: NodeJS.ReadableStream, take: (line: string) => void): void {
  let rest = '';
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) take(line);
  });
}

export interface DaemonSetting {
  readonly machine: Machine;
  readonly directory: string;
  readonly git: GitServer;
  readonly resolver: ResolverProgram;
  readonly arrived: (arrival: Arrival) => void;
}

export async function prepareDaemons(setting: DaemonSetting): Promise<Readonly<Record<DaemonName, Daemon>>> {
  const { machine, directory, git } = setting;
  const { iodine, dns2tcp } = tunnelServers;
  const tunnelFile = join(directory, 'dns2tcpd.conf');
  const tunnelLines = {
    listen: '127.0.0.1',
    port: dns2tcp.port,
    user: 'root',
    chroot: '/',
    domain: dns2tcp.zone,
    key: dns2tcp.key,
    resources: `${dns2tcp.resource}:104.131.20.7:7`,
  };
  await writeFile(
    tunnelFile,
    Object.entries(tunnelLines)
      .map(([name, value]) => `${name} = ${value}\n`)
      .join(''),
  );
  const iodineArgv = [
    'iodined',
    '-f',
    '-c',
    '-P',
    iodine.password,
    '-l',
    '127.0.0.1',
    '-p',
    String(iodine.port),
    iodine.network,
    iodine.zone,
  ];
  return {
    resolver: await resolverDaemon(setting, 0),
    resolver2: await resolverDaemon(setting, 1),
    sshd: daemon(machine, git.daemon, /listening on/),
    iodined: daemon(machine, iodineArgv, /Listening to dns/),
    dns2tcpd: daemon(machine, ['dns2tcpd', '-F', '-d', '1', '-f', tunnelFile], /Starting Server|Listening/i),
  };
}

/** Rewrites what the resolvers answer from; `reload` then takes it into use. */
export async function writeRecords(directory: string, records: readonly DnsRecord[]): Promise<void> {
  await writeFile(join(directory, 'records.conf'), unboundData(records));
  for (const [index, addresses] of resolverAddresses.entries()) {
    await writeFile(join(directory, `dnsmasq${index}.conf`), dnsmasqConfiguration(addresses, records));
  }
}

async function resolverDaemon({ machine, directory, resolver, arrived }: DaemonSetting, index: 0 | 1): Promise<Daemon> {
  const addresses = resolverAddresses[index]!;
  const server = index === 0 ? 'resolver' : 'resolver2';
  const onLine = (line: string): void => {
    const arrival = questionFromLog(line, server, addresses[0]!);
    if (arrival !== undefined) arrived(arrival);
  };
  if (resolver === 'dnsmasq') {
    return daemon(
      machine,
      ['dnsmasq', `--conf-file=${join(directory, `dnsmasq${index}.conf`)}`],
      /started, version/,
      undefined,
      onLine,
    );
  }
  const file = join(directory, `unbound${index}.conf`);
  await writeFile(file, unboundConfiguration(addresses, join(directory, 'records.conf')));
  // A copy, since Debian's AppArmor profile keeps the installed program from reading configuration elsewhere than in /etc.
  const program = join(directory, `unbound${index}`);
  await copyFile('/usr/sbin/unbound', program);
  return daemon(machine, [program, '-d', '-c', file], /start of service/, 'SIGHUP', onLine);
}
