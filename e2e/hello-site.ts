import type { DnsMode } from '@cofferdam/plan';
import { type ClientHelloOptions, clientHelloStream, type HelloRecordOptions } from '@cofferdam/testkit';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy, type PolicyWords } from './agent-policy.ts';
import { type Attacker, type ContainedAttacker, containedAttacker, freeAttacker } from './attacker.ts';
import { arrivedAt, denialsOf, fromPort, type Kept, type Recording, record } from './recorded.ts';

/** Where ClientHellos are sent to: a policy that binds names in both ways, and servers that keep every byte they get. */

export const helloPolicy: PolicyWords = {
  to: { unbound: ['{ cidr: 45.83.64.10/32 }', '{ cidr: "2a0e:1d40::10/128" }'] },
  web: { permitted: ['example.com'] },
  rules: [
    'name: refuses-ech, web: [permitted], protocol: tcp, ports: [9099], ech: refuse',
    'name: waits, web: [permitted], protocol: tcp, ports: [443, "9000-9098"], tls: required',
    'name: binds, web: [permitted], protocol: tcp, ports: ["9100-9199"]',
    'name: by-address, to: [unbound], protocol: tcp, ports: ["9200-9299"]',
  ],
};

/** Shares address and server with `example.com`, and no rule names it. */
export const denied = 'www.example.com';
export const permitted = 'example.com';
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const forged = (options: ClientHelloOptions & HelloRecordOptions): string => hex(clientHelloStream(options));
export const carries = (data: string, text: string): boolean => Buffer.from(data, 'hex').includes(text);

export interface Fate {
  readonly end: string;
  readonly data: string;
}

export const ports = {
  waits: 9001,
  binds: 9101,
  retryWaits: 9002,
  retryBinds: 9102,
  greets: 9103,
  fastOpen: 9104,
  realRetry: 9005,
  ech: 9099,
  /** By address alone, where whatever is sent arrives. */
  unbound: 9201,
} as const;
export const treatments = ['waits', 'binds'] as const;
export const families = [4, 6] as const;

/** A HelloRetryRequest of RFC 8446 section 4.1.4, with the key share group secp384r1. */
const retryRequest = ((): string => {
  const random = 'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c';
  const extensions = '002b00020304' + '003300020018';
  const body = `0303${random}00130100${(extensions.length / 2).toString(16).padStart(4, '0')}${extensions}`;
  const message = `02${(body.length / 2).toString(16).padStart(6, '0')}${body}`;
  return `160303${(message.length / 2).toString(16).padStart(4, '0')}${message}`;
})();

export interface HelloSite {
  readonly mode: DnsMode;
  readonly lab: Lab;
  /** Plays the servers. */
  readonly server: Attacker;
  /** On the host, in the machine behind the internet, and contained. */
  readonly free: Attacker;
  readonly behind: Attacker;
  readonly agent: Attacker;
  /** Connections that a recorder has had since the last call. */
  arrived(address: string, port: number): Promise<readonly Kept[]>;
  /** Of the denial of a flow from this port of the agent. */
  reasonOf(port: number): Promise<string | undefined>;
  /** One connection that sends pieces, and what became of it. */
  say(
    who: Attacker,
    host: string,
    port: number,
    pieces: readonly string[],
    family: 4 | 6,
    wait?: number,
  ): Promise<Fate & { readonly port: number }>;
  stop(): Promise<void>;
}

/** What a site is made of: a lab and who is where in it, and an agent under `helloPolicy`. */
export interface HelloPlace extends Pick<HelloSite, 'mode' | 'lab' | 'server' | 'free' | 'stop'> {
  readonly agent: Attacker & Recording;
}

/** Starts the servers. */
export const helloSiteAt = async <P extends HelloPlace>(place: P): Promise<P & HelloSite> => {
  const { lab, server, agent } = place;
  await lab.exec('internet', ['sysctl', '-qw', 'net.ipv4.tcp_fastopen=3']);
  const behind = await freeAttacker(lab, 'spoke');
  const addresses = [...lab.addresses(permitted), '45.83.64.10', '2a0e:1d40::10'];
  await record(server, addresses, [ports.waits, ports.binds, ports.ech, ports.unbound]);
  await server.run(
    `
    for address in args['addresses']:
        for port in (9002, 9102): recorders[address, port] = Recorder(address, port, answers=[bytes.fromhex(args['retry'])])
        recorders[address, 9103] = Recorder(address, 9103, speak=b'220 hello\\r\\n')
        recorders[address, 9104] = Recorder(address, 9104, fast_open=True)
    `,
    { addresses, retry: retryRequest },
  );
  const retry = lab.spawn('internet', [
    'openssl',
    's_server',
    ...['-accept', `${lab.address(permitted)}:${ports.realRetry}`, '-groups', 'P-384', '-tls1_3', '-www'],
    ...['-cert', `${lab.ca.directory}/${permitted}.pem`, '-key', `${lab.ca.directory}/leaf.key`],
  ]);
  await retry.waitFor(/ACCEPT/);
  /** One connection that sends pieces, and what became of it. */
  const say = async (
    who: Attacker,
    host: string,
    port: number,
    pieces: readonly string[],
    family: 4 | 6,
    wait = 0.6,
  ): Promise<Fate & { readonly port: number }> =>
    who.run(
      `
      s = dial(args['host'], args['port'], socket.AF_INET6 if args['family'] == 6 else socket.AF_INET)
      port = s.getsockname()[1]
      try:
          for piece in args['pieces']:
              s.sendall(bytes.fromhex(piece))
              if len(args['pieces']) < 100: time.sleep(0.005)
          result = {**fate(s, args['wait']), 'port': port}
      except OSError as e:
          result = {'end': errno.errorcode[e.errno], 'data': '', 'port': port}
      s.close()
      `,
      { host, port, pieces, family, wait },
    );

  return {
    ...place,
    behind,
    arrived: arrivedAt(server),
    reasonOf: async (port) => (await denialsOf(agent, fromPort(port))).at(-1),
    say,
  };
};

export const startHelloSite = async (): Promise<HelloSite & { readonly agent: ContainedAttacker }> => {
  const lab = await startLab({ daemons: ['resolver', 'resolver2'] });
  const server = await freeAttacker(lab, 'internet');
  const free = await freeAttacker(lab, 'host');
  const agent = await containedAttacker(lab, { policy: agentPolicy(helloPolicy), user: 61_234 });
  return helloSiteAt({
    mode: 'synthetic',
    lab,
    server,
    free,
    agent,
    async stop() {
      await agent.stop();
      await lab.stop();
    },
  });
};

/** Why a name that its address does not have is denied: the address says which name it is, or no rule permits the name that is claimed. */
export const reasonIn = ({ mode }: Pick<HelloSite, 'mode'>, reason: string): string =>
  reason === 'name-mismatch' && mode !== 'synthetic' ? 'no-rule' : reason;
