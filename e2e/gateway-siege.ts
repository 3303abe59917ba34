/**
 * A gateway of a network under attack: agents of both subnets try all the time what their policy denies, from every address that they have,
 * while permitted flows go on. What counts is what arrives: at servers, on the wire outside, at other agents, at the host itself.
 */
import assert from 'node:assert/strict';
import type { Capture, ExecResult, LabProcess, Machine } from '@cofferdam/testkit/lab';
import { type Attacker, eventually, freeAttacker } from './attacker.ts';
import { cofferdam } from './contained.ts';
import { database, type GatewayLab, gatewayPolicy, startGatewayLab, worker } from './gateway-lab.ts';

const numbers = Array.from({ length: 10 }, (_, i) => i + 20);
/** Ten more agents in each subnet, each with an address of either family. */
const crowd = {
  a: numbers.flatMap((n) => [`10.11.1.${n}`, `fd11:1::${n}`]),
  b: numbers.flatMap((n) => [`10.11.2.${n}`, `fd11:2::${n}`]),
} as const;

const crowded = `---
apiVersion: cofferdam.dev/v1
kind: Inventory
metadata: { name: crowd }
spec:
  workloads:
${(['a', 'b'] as const)
  .flatMap((subnet) =>
    numbers.map((n, i) => {
      const [v4, v6] = crowd[subnet].slice(2 * i, 2 * i + 2);
      return `    - { name: ${subnet}-${n}, addresses: [${v4}, "${v6}"], interface: ${subnet === 'a' ? 'eth1' : 'eth2'}, labels: { in: crowd } }`;
    }),
  )
  .join('\n')}
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: crowd }
spec: { containment: enforce, any: [{ labels: { in: crowd } }] }
`;

export const usualRules = [
  'to: [public-internet], web: [named], protocol: tcp, ports: [80, 443]',
  'from: [workers, crowd], to: [public-internet], web: [named], protocol: tcp, ports: [5000]',
  'to: [databases], protocol: tcp, ports: [5432]',
] as const;

export const siegePolicy = (rules: readonly string[] = usualRules): string => gatewayPolicy(rules) + crowded;

/** Nobody is permitted to go there; whoever sees a packet for it inside has seen a denied one. */
const deniedPort = 7777;

const outside = [
  ['45.83.64.10', 4444],
  ['2a0e:1d40::10', 4444],
  ['8.8.8.8', 53],
  ['10.20.0.20', 5000],
  ['fd20::20', 5000],
] as const;
const targets = {
  a: [...outside, ...Object.values(database).map((to) => [to, deniedPort] as const)],
  b: [...outside, ...Object.values(worker).map((to) => [to, deniedPort] as const)],
};
const sources = {
  a: [...Object.values(worker), '10.11.1.14', 'fd11:1::16', '10.11.1.8', ...crowd.a],
  b: [...Object.values(database), ...crowd.b],
};

const harass = `
query = b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0' + b'\\x04leak\\x08attacker\\x07example\\0\\0\\x01\\0\\x01'
def harass(sources, targets):
    while harassing[0]:
        for source in sources:
            for to, port in targets:
                if family_of(to) != family_of(source) or not harassing[0]: continue
                try:
                    s = socket.socket(family_of(to), socket.SOCK_DGRAM)
                    s.bind((source, 0))
                    s.sendto(query if port == 53 else b'denied', (to, port))
                    s.close()
                except OSError: pass
                try:
                    s = socket.socket(family_of(to), socket.SOCK_STREAM)
                    s.bind((source, 0))
                    s.setblocking(False)
                    tried.append(s)
                    s.connect((to, port))
                except OSError: pass
                if len(tried) > 60: tried.pop(0).close()
            time.sleep(0.01)
        rounds[0] += 1
tried, rounds, harassing = [], [0], [True]
threading.Thread(target=harass, args=(args['sources'], args['targets']), daemon=True).start()
`;

/** Keeps what comes in for the denied port, whatever it is, before netfilter sees it. */
const sniff = `
def sniff(port):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    while True:
        frame, where = s.recvfrom(2048)
        if where[2] == socket.PACKET_OUTGOING: continue
        kind = frame[12:14]
        if kind == b'\\x08\\x00' and frame[23] in (6, 17): at = 14 + (frame[14] & 15) * 4
        elif kind == b'\\x86\\xdd' and frame[20] in (6, 17): at = 54
        else: continue
        if struct.unpack('>H', frame[at + 2:at + 4])[0] == port: seen.append(frame[14:at + 4].hex())
seen = []
threading.Thread(target=sniff, args=(args['port'],), daemon=True).start()
`;

/** On the host itself: datagrams that its own sockets were given. */
const own = `
def listen(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(41, 26, 0)
    s.bind(('::', port))
    while True: seen.append(str(s.recvfrom(100)[1]))
seen = []
threading.Thread(target=listen, args=(args['port'],), daemon=True).start()
`;

/** What is said to the database is said back. */
const echo = `
def answer(c):
    try:
        while data := c.recv(4096): c.sendall(data)
    except OSError: pass
def serve():
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(41, 26, 0)
    s.bind(('::', 5432))
    s.listen(64)
    while True: threading.Thread(target=answer, args=(s.accept()[0],), daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
`;

/** Permitted flows, on the kernel path and across the gateway, of several agents. */
const connect = `
for s in globals().get('live', {}).values(): s.close()
live = {}
for source, host, port in args['flows']:
    f = family_of(source)
    s = socket.socket(f, socket.SOCK_STREAM)
    s.bind((source, 0))
    s.settimeout(4)
    s.connect(socket.getaddrinfo(host, port, f, socket.SOCK_STREAM)[0][4])
    live['%s to %s' % (source, host)] = s
`;
// A line, and not a word alone: that could become the method of a request, and the flow would wait for the rest.
const speak = `
result = []
for name, s in live.items():
    try:
        s.settimeout(args['within'])
        s.sendall(b'said\\n')
        heard = b''
        while not heard.endswith(b'\\n'):
            more = s.recv(64)
            if not more: raise ConnectionError('closed')
            heard += more
    except OSError as e: result.append('%s: %s' % (name, type(e).__name__))
`;
const flows = [
  [worker[4], 'echo.example', 5000],
  [worker[6], 'echo.example', 5000],
  [crowd.a[0]!, 'echo.example', 5000],
  [crowd.a[3]!, 'echo.example', 5000],
  [worker[4], database[4], 5432],
  [worker[6], database[6], 5432],
] as const;

export interface GatewaySiege extends GatewayLab {
  /** Root in each subnet. */
  readonly attackers: { readonly a: Attacker; readonly b: Attacker };
  /** A first start, under attack. Agents reach the host itself until their interface is the gateway's; nothing else that is denied. */
  readonly fresh: (options?: readonly string[]) => Promise<LabProcess>;
  /** Permitted flows that do not carry any more. */
  readonly silent: (within?: number) => Promise<readonly string[]>;
  /** Fails where anything has arrived that the policy denies, after the attackers had their time. */
  readonly holds: (rounds?: number) => Promise<void>;
  /** All that is denied and has arrived since the siege began, or since `forgive`. */
  readonly arrived: () => Promise<readonly string[]>;
  readonly forgive: () => Promise<void>;
  /** Gives the agents of a their addresses of IPv6 and the way out again. */
  readonly restoreAgents: () => Promise<void>;
  /** Whether new flows of all permitted kinds come about, by kernel path and proxy. Eventually: fails where they do not. */
  readonly recovers: (what: string) => Promise<void>;
  /** A program inside the gateway's namespace. */
  readonly inside: (argv: readonly string[], input?: string) => Promise<ExecResult>;
  /** What a program says that must succeed. */
  readonly on: (where: 'host' | 'internet' | 'inside', ...argv: readonly string[]) => Promise<string>;
  /** Takes it away, if it is there. */
  readonly clear: () => Promise<void>;
}

/** Of what has arrived: not at the host itself, and not what the host answered while its way to the agents was gone already. */
export const withoutHost = (arrived: readonly string[]): readonly string[] =>
  arrived.filter((one) => !/^(the host |wire \S+ IP6? (192\.168\.50\.2|2a01:4f8:50::2)\.7777 )/.test(one));

export const startSiege = async (): Promise<GatewaySiege> => {
  const g = await startGatewayLab({ daemons: ['resolver', 'resolver2'] });
  try {
    return await besiege(g);
  } catch (e) {
    await g.stop();
    throw e;
  }
};

const besiege = async (g: GatewayLab): Promise<GatewaySiege> => {
  const giveAddresses = async (machine: Machine, list: readonly string[]): Promise<void> => {
    const lines = list.map((address) =>
      address.includes(':')
        ? `address replace ${address}/64 dev eth0 nodad ${address === worker[6] ? '' : 'preferred_lft 0'}`
        : `address replace ${address}/24 dev eth0`,
    );
    const { code, stderr } = await machine.exec(['ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
    assert.equal(code, 0, stderr);
  };
  await giveAddresses(g.a, crowd.a);
  await giveAddresses(g.b, crowd.b);
  const [a, b, onHost] = await Promise.all([
    freeAttacker(g.lab, g.a),
    freeAttacker(g.lab, g.b),
    freeAttacker(g.lab, 'host'),
  ]);
  const capture: Capture = await g.lab.capture();
  const hostAddresses = [g.lab.host4, g.lab.host6].map((to) => [to, deniedPort] as const);
  for (const one of [a, b]) await one.run(sniff, { port: deniedPort });
  await onHost.run(own, { port: deniedPort });
  await b.run(echo);
  const storm = async (): Promise<void> => {
    await a.run(harass, { sources: sources.a, targets: [...targets.a, ...hostAddresses] });
    await b.run(harass, { sources: sources.b, targets: [...targets.b, ...hostAddresses] });
  };
  await storm();

  const rounds = (): Promise<readonly number[]> =>
    Promise.all([a, b].map((one) => one.run<number>('result = rounds[0]')));
  let since = 0;
  let wire = 0;
  const onWire = (): Promise<readonly string[]> =>
    capture.packets(
      'dst host 45.83.64.10 or dst host 2a0e:1d40::10 or dst host 8.8.8.8 or dst net 10.20.0.0/16 or dst net fd20::/64 ' +
        'or net 10.11.0.0/16 or net fd11::/16 or net 198.18.0.0/15 or net fdc0::/16',
    );
  const arrived = async (): Promise<readonly string[]> => {
    const [atServers, packets, ...inside] = await Promise.all([
      g.lab.arrivals({ since }),
      onWire(),
      ...[a, b, onHost].map((one) => one.run<readonly string[]>('result = seen[:20]')),
    ]);
    const named = ['agents of a', 'agents of b', 'the host'];
    return [
      ...atServers
        .filter(
          ({ server, kind }) =>
            /^(attacker|public-dns|spoke-.*)$/.test(server) || (kind === 'query' && !server.startsWith('resolver')),
        )
        .map((one) => `${one.server} ${one.kind} from ${one.source.address}`),
      ...packets.slice(wire).map((line) => `wire ${line}`),
      ...inside.flatMap((seen, i) => seen.map((one) => `${named[i]} ${one}`)),
    ];
  };
  const forgive = async (): Promise<void> => {
    since = await g.lab.mark();
    wire = (await onWire()).length;
    for (const one of [a, b, onHost]) await one.run('seen.clear()');
  };
  const silent = (within = 3): Promise<readonly string[]> => a.run<readonly string[]>(speak, { within });
  const recovers = async (what: string): Promise<void> => {
    const tried = (code: string, args: object): Promise<boolean> => a.attempt(code, args).then((one) => 'value' in one);
    await eventually(`${what}: permitted flows on the kernel path`, () => tried(connect, { flows }));
    assert.deepEqual(await silent(), []);
    for (const f of ['-4', '-6'])
      await eventually(`${what}: a request by the proxy`, async () => {
        const { stdout } = await g.a.exec(['curl', '-sS', '-m', '4', f, 'http://example.com/']);
        return /"server":"web"/.test(stdout);
      });
  };
  const lists = g.lab.exec;
  const inside: GatewaySiege['inside'] = (argv, input = '') =>
    lists('host', ['nsenter', '--net=/run/cofferdam/gateway/gateway/netns', '--', ...argv], { input });

  return {
    ...g,
    attackers: { a, b },
    async fresh(options) {
      const started = await g.start(options);
      assert.deepEqual(withoutHost(await arrived()), []);
      await forgive();
      await recovers('a first start');
      return started;
    },
    silent,
    arrived,
    forgive,
    async holds(least = 2) {
      const from = await rounds();
      await eventually(`${least} more rounds of attempts`, async () =>
        (await rounds()).every((count, i) => count >= from[i]! + least),
      );
      assert.deepEqual((await arrived()).slice(0, 10), []);
    },
    async restoreAgents() {
      await giveAddresses(
        g.a,
        sources.a.filter((one) => one.includes(':')),
      );
      await g.a.exec(['ip', '-6', 'route', 'replace', 'default', 'via', 'fd11:1::1']);
    },
    recovers,
    inside,
    async on(where, ...argv) {
      const { code, stdout, stderr } = where === 'inside' ? await inside(argv) : await g.lab.exec(where, argv);
      assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
      return stdout;
    },
    async clear() {
      await lists('host', [cofferdam, 'gateway', 'remove']);
      const { stdout } = await lists('host', ['ip', '-br', 'link']);
      for (const device of [/^eth1@/m, /^eth2@/m]) assert.match(stdout, device, 'the interfaces are the host’s again');
    },
  };
};
