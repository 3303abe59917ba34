/** Starts, offers and stops the lab. */
import { randomUUID } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Arrival, type ArrivalFilter, ArrivalLog } from './arrivals.ts';
import { type Capture, startCapture } from './capture.ts';
import { type CertificateAuthority, issueCertificates } from './certificates.ts';
import { type DaemonName, eachLine, prepareDaemons, writeRecords } from './daemons.ts';
import { prepareGitServer, type SshClient, sshPort } from './git-server.ts';
import { type Machine, startMachine } from './machine.ts';
import { claimDirectory } from './owner.ts';
import type { ExecOptions, ExecResult, LabProcess } from './process.ts';
import { initialRecords, type ResolverProgram } from './resolver.ts';
import type { ServersConfiguration, ServersMessage } from './servers/configuration.ts';
import { connect } from './topology.ts';
import {
  type DnsRecord,
  familyOf,
  hostLink,
  type MachineName,
  resolverAddresses,
  tunnelServers,
  worldHosts,
} from './world.ts';

export interface LabOptions {
  /** Daemons to start at once, default all; others can be started later. The Node servers always run. */
  readonly daemons?: readonly DaemonName[];
  /** The program that plays both resolvers, default unbound. */
  readonly resolver?: ResolverProgram;
  /** Names beside those of `world.ts`; a name that is there gets these addresses instead. */
  readonly records?: readonly DnsRecord[];
}

export interface Lab {
  /** State of this lab, readable by all; gone after `stop`. */
  readonly directory: string;
  readonly machines: Readonly<Record<MachineName, Machine>>;
  readonly ca: CertificateAuthority;
  readonly ssh: SshClient;
  /** Address of the first resolver by family, and of all. */
  readonly resolver4: string;
  readonly resolver6: string;
  readonly resolvers: readonly string[];
  readonly tunnels: typeof tunnelServers;
  /** The contained host's own addresses. */
  readonly host4: string;
  readonly host6: string;
  /** Runs a program in a machine to its end. */
  exec(machine: MachineName, argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  spawn(machine: MachineName, argv: readonly string[], options?: ExecOptions): LabProcess;
  /** First address of a name; throws when the lab does not have it. */
  address(name: string, family?: 4 | 6): string;
  addresses(name: string): readonly string[];
  /** What has reached the servers by the time of the call, oldest first. */
  arrivals(filter?: ArrivalFilter): Promise<readonly Arrival[]>;
  /** A place in the log, for `since`. */
  mark(): Promise<number>;
  /** Gives a name other addresses, at both resolvers. An empty list: the name exists and has none. */
  setRecord(name: string, addresses: readonly string[]): Promise<void>;
  startServer(name: DaemonName): Promise<void>;
  stopServer(name: DaemonName): Promise<void>;
  /** Takes an address of the internet machine off the net: nothing sent to it is answered, until it is put back. */
  silence(address: string, silent: boolean): Promise<void>;
  /** Records packets on a device, default the internet machine's link to the host. */
  capture(machine?: MachineName, device?: string): Promise<Capture>;
  /** Ends every process in it and removes its folder; a second call does nothing. */
  stop(): Promise<void>;
  /** For `await using`: a test that fails does not leave its lab running, which would keep the test's process alive. */
  [Symbol.asyncDispose](): Promise<void>;
}

const programs = [
  'unshare',
  'nsenter',
  'setpriv',
  'ip',
  'openssl',
  'unbound',
  'dnsmasq',
  'sshd',
  'ssh-keygen',
  'git',
  'iodined',
  'dns2tcpd',
  'tcpdump',
];

/** Why the lab cannot run here, or undefined when it can: for the `skip` of a test. */
export function labUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return 'the lab needs root, to make network namespaces';
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin'];
  const missing = programs.filter((program) => !folders.some((folder) => executable(join(folder, program))));
  return missing.length === 0 ? undefined : `the lab needs ${missing.join(', ')}; \`make setup\` installs them`;
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const directory = await claimDirectory();
  const started: Machine[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(started.splice(0).map((machine) => machine.stop()));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    return await assemble(directory, options, started, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function assemble(
  directory: string,
  options: LabOptions,
  started: Machine[],
  stop: () => Promise<void>,
): Promise<Lab> {
  const records = new Map([...initialRecords(), ...(options.records ?? [])].map((record) => [record.name, record]));
  const log = new ArrivalLog();
  const sshHosts = worldHosts
    .filter((host) => host.services.includes('ssh'))
    .flatMap((host) => [...host.names, ...host.addresses]);
  const certified = [...records.values()].filter(({ addresses }) => addresses.some(servesTls)).map(({ name }) => name);
  const [git, ca] = await Promise.all([
    prepareGitServer(directory, sshHosts),
    issueCertificates(join(directory, 'certificates'), certified),
    writeRecords(directory, [...records.values()]),
  ]);
  const boot = async (name: MachineName, files: Readonly<Record<string, string>>): Promise<Machine> => {
    const machine = await startMachine(name, directory, { ...plainFiles, ...files });
    started.push(machine);
    return machine;
  };
  const resolvers = resolverAddresses.flat();
  const nameservers = resolverAddresses.map(([four]) => `nameserver ${four}\n`).join('');
  const [host, internet, spoke] = await Promise.all([
    boot('host', { 'resolv.conf': `${nameservers}options timeout:2 attempts:2\n` }),
    boot('internet', git.etc),
    boot('spoke', {}),
  ]);
  const machines = { host, internet, spoke };
  await connect(machines);
  const arrived = (arrival: Arrival): void => log.add(arrival);
  const daemons = await prepareDaemons({
    machine: internet,
    directory,
    git,
    resolver: options.resolver ?? 'unbound',
    arrived,
  });
  const configuration = (name: 'internet' | 'spoke'): ServersConfiguration => ({
    hosts: worldHosts
      .filter((each) => each.machine === name)
      .map((each) => ({ ...each, names: namesAt(each.addresses, records) })),
    certificates: ca.directory,
    repositories: git.repositories,
    sshPort,
    dnsFronts: name === 'spoke' ? [] : dnsFronts,
  });
  const [internetServers, spokeServers] = await Promise.all([
    startServers(internet, join(directory, 'internet.json'), configuration('internet'), arrived),
    startServers(spoke, join(directory, 'spoke.json'), configuration('spoke'), arrived),
    ...(options.daemons ?? (Object.keys(daemons) as DaemonName[])).map((name) => daemons[name].start()),
  ]);
  const settle = async (): Promise<void> => {
    await Promise.all([internetServers.flush(), spokeServers.flush()]);
    // What the resolvers wrote before that is read in the next two turns of the loop at the latest.
    for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  const addresses = (name: string): readonly string[] => records.get(name)?.addresses ?? [];
  return {
    directory,
    machines,
    ca,
    ssh: git.client,
    resolver4: resolverAddresses[0]![0]!,
    resolver6: resolverAddresses[0]![1]!,
    resolvers,
    tunnels: tunnelServers,
    host4: hostLink.host[0].split('/')[0]!,
    host6: hostLink.host[1].split('/')[0]!,
    exec: (machine, argv, execOptions) => machines[machine].exec(argv, execOptions),
    spawn: (machine, argv, execOptions) => machines[machine].spawn(argv, execOptions),
    addresses,
    address(name, family = 4) {
      const found = addresses(name).find((address) => familyOf(address) === family);
      if (found === undefined) throw new Error(`the lab has no IPv${family} address for ${name}`);
      return found;
    },
    async arrivals(filter = {}) {
      await settle();
      return log.select(filter);
    },
    async mark() {
      await settle();
      return log.length;
    },
    async setRecord(name, changed) {
      records.set(name, { ...records.get(name), name, addresses: changed });
      await writeRecords(directory, [...records.values()]);
      await Promise.all([daemons.resolver.reload(), daemons.resolver2.reload()]);
    },
    startServer: (name) => daemons[name].start(),
    stopServer: (name) => daemons[name].stop(),
    async silence(address, silent) {
      const prefix = `${address}/${familyOf(address) === 4 ? 32 : 128}`;
      const family = `-${familyOf(address)}`;
      const addressCommand = ['ip', family, 'address', silent ? 'del' : 'add', prefix, 'dev', 'lo'];
      const routeCommand = ['ip', family, 'route', silent ? 'add' : 'del', 'blackhole', prefix];
      for (const command of silent ? [addressCommand, routeCommand] : [routeCommand, addressCommand]) {
        const { code, stderr } = await internet.exec(command);
        if (code !== 0) throw new Error(`${command.join(' ')}: ${stderr.trim()}`);
      }
    },
    capture: (machine = 'internet', device = 'host') => startCapture(machines[machine], device, directory),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Nothing of the real machine's name resolution is used: no hosts file, no resolver daemon behind nsswitch. */
const plainFiles = {
  hosts: '127.0.0.1 localhost\n::1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n',
  'resolv.conf': '',
};

const dnsFronts = [
  { server: 'iodine', address: tunnelServers.iodine.address, port: tunnelServers.iodine.port },
  { server: 'dns2tcp', address: tunnelServers.dns2tcp.address, port: tunnelServers.dns2tcp.port },
];

const servesTls = (address: string): boolean =>
  worldHosts.some((host) => host.services.includes('https') && host.addresses.includes(address));

const namesAt = (addresses: readonly string[], records: ReadonlyMap<string, DnsRecord>): readonly string[] =>
  [...records.values()]
    .filter((record) => record.addresses.some((address) => addresses.includes(address)))
    .map(({ name }) => name);

async function startServers(
  machine: Machine,
  file: string,
  configuration: ServersConfiguration,
  arrived: (arrival: Arrival) => void,
): Promise<{ readonly flush: () => Promise<void> }> {
  await writeFile(file, JSON.stringify(configuration));
  const script = fileURLToPath(new URL('./servers/main.ts', import.meta.url));
  const servers = machine.spawn([process.execPath, '--disable-warning=ExperimentalWarning', script, file]);
  const waiting = new Map<string, () => void>();
  eachLine(servers.child.stdout!, (line) => {
    const message = JSON.parse(line) as ServersMessage | Arrival;
    if (message.kind === 'flushed') {
      waiting.get(message.token)?.();
      waiting.delete(message.token);
    } else if (message.kind !== 'ready') arrived(message);
  });
  await servers.waitFor(/"kind":"ready"/);
  const ended = servers.ended.then(({ stderr }) => {
    throw new Error(`the servers of the lab have ended: ${stderr}`);
  });
  // Told to whoever asks for arrivals; at `stop` nobody does.
  ended.catch(() => waiting.clear());
  return {
    flush() {
      const token = randomUUID();
      const flushed = new Promise<void>((resolve) => waiting.set(token, resolve));
      servers.child.stdin!.write(`${token}\n`);
      return Promise.race([flushed, ended]);
    },
  };
}
