/**
 * What becomes of flows that need user space when it does not answer. First with the network of a run, its netfilter rules and the kernel
 * program, and nobody who listens for the proxy or the DNS filter; then with a whole run whose process stands still.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import {
  createNetworkNamespace,
  createRunNetwork,
  gatewayRuleset,
  type Kernel,
  type NetworkNamespace,
  type Nftables,
  openKernel,
  openListener,
  openNftables,
  type RunNetwork,
  routeGateway,
  topology,
} from '@cofferdam/datapath';
import { contextOf, address as ip, permit, policyOf, workload } from '@cofferdam/testkit';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { type ContainedAttacker, containedAttacker, eventually } from './attacker.ts';
import { containedUnavailable } from './contained.ts';
import { kernelUnavailable, loadedPlan, objectFile } from './kernel-lab.ts';

const families = [4, 6] as const;
const server = { 4: '93.184.216.34', 6: '2606:2800:220:1::5' } as const;

/** What became of a connection (what was said at once, or the error), or of a datagram, and after how many milliseconds. */
interface Outcome {
  readonly end: string;
  readonly after: number;
}
const clientScript = `
const [kind, host, port] = process.argv.slice(1);
const began = performance.now();
const tell = (end) => { console.log(JSON.stringify({ end, after: performance.now() - began })); process.exit(); };
setTimeout(tell, 5000, 'silence');
if (kind === 'tcp') require('node:net').connect({ host, port: Number(port) }).on('data', (d) => tell(String(d))).on('error', (e) => tell(e.code));
else {
  const s = require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4');
  s.on('error', (e) => tell(e.code)).on('message', () => tell('answered'));
  s.connect(Number(port), host, () => s.send('question'));
}
`;
const serverScript = `
for (const port of [80, 9000]) require('node:net').createServer((s) => s.on('error', () => {}).end('server')).listen(port, '::', () => console.log('ready'));
`;

describe('nobody listens', { skip: kernelUnavailable(), timeout: 60_000 }, () => {
  const undo: (() => void)[] = [];
  let network: RunNetwork;
  let kernel: Kernel;
  let counting: Nftables;

  const ipIn = (namespace: NetworkNamespace, ...lines: readonly string[]): void => {
    for (const line of lines)
      namespace.run(() => execFileSync('ip', line.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] }));
  };

  before(async () => {
    network = createRunNetwork();
    undo.push(network.close);
    const world = createNetworkNamespace();
    undo.push(world.close);
    const { gateway } = network;
    ipIn(
      gateway,
      `link add ${topology.uplinkInterface} type veth peer name eth1 netns ${world.path}`,
      `addr add 10.9.0.1/24 dev ${topology.uplinkInterface}`,
      `addr add fd09::1/64 dev ${topology.uplinkInterface} nodad`,
      `link set ${topology.uplinkInterface} up`,
    );
    ipIn(
      world,
      'link set lo up',
      `addr add ${server[4]}/32 dev lo`,
      `addr add ${server[6]}/128 dev lo nodad`,
      'addr add 10.9.0.2/24 dev eth1',
      'addr add fd09::2/64 dev eth1 nodad',
      'link set eth1 up',
    );
    const [host4, gateway4, host6, gateway6] = ['10.9.0.2', '10.9.0.1', 'fd09::2', 'fd09::1'];
    routeGateway(gateway, { host4, gateway4, host6, gateway6 }, [topology.agentInterface]);
    const nft = openNftables(gateway);
    undo.push(nft.close);
    nft.run(gatewayRuleset({ ...topology, agentInterfaces: [topology.agentInterface] }));
    kernel = openKernel(objectFile, () => undefined);
    undo.push(kernel.close);
    const ifindex = gateway.run(() => kernel.attach(topology.agentInterface));
    const policy = policyOf([permit({ ports: ['80', '9000'] })], {
      inventory: [workload('agent', [topology.agent4, topology.agent6], { interface: topology.agentInterface })],
    });
    const context = contextOf(policy, { gatewayAddresses: [ip(topology.gateway4), ip(topology.gateway6)] });
    kernel.apply(loadedPlan(policy, context), { ifindexes: () => [ifindex], pools: [], own: [] });

    counting = openNftables(world);
    undo.push(counting.close);
    counting.run(`table inet seen {
      counter arrived {}
      chain prerouting { type filter hook prerouting priority raw; meta l4proto { tcp, udp } counter name arrived; }
    }`);
    const serving = spawn('nsenter', [`--net=${world.path}`, process.execPath, '-e', serverScript], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    undo.push(() => serving.kill());
    await once(serving.stdout, 'data');
  });
  after(() => {
    for (const step of undo.reverse()) step();
  });

  /** Packets that have reached the world so far. */
  const arrived = (): number => {
    const { nftables } = counting.list('list counters') as { nftables: { counter?: { packets: number } }[] };
    return nftables.find(({ counter }) => counter !== undefined)!.counter!.packets;
  };
  const outcome = async (kind: 'tcp' | 'udp', host: string, port: number): Promise<Outcome> => {
    const words = [`--net=${network.agent.path}`, process.execPath, '-e', clientScript, kind, host, String(port)];
    const child = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString();
    });
    await once(child, 'close');
    return JSON.parse(text) as Outcome;
  };
  /** A listener of the proxy as a run has it, which says to whom the client spoke. */
  const proxyOn = async (family: 4 | 6): Promise<Server> => {
    const proxy = createServer((socket) => socket.end(`proxy for ${socket.localAddress}`));
    const address = ip(family === 4 ? '0.0.0.0' : '::');
    const fd = openListener(network.gateway, { address, port: topology.proxyPort, kind: 'tcp', transparent: true });
    proxy.listen({ fd });
    await once(proxy, 'listening');
    return proxy;
  };
  const refusedAtOnce = ({ end, after }: Outcome): void => {
    assert.equal(end, 'ECONNREFUSED');
    // A SYN that nobody answers is sent again after a second at the earliest: it was the first that was refused.
    assert.ok(after < 1000, `${after} ms`);
  };

  for (const family of families) {
    test(`IPv${family}: a flow that the proxy would hold is refused at once, and does not get past it`, async () => {
      const before = arrived();
      const isHeld = async (): Promise<void> => {
        await using _proxy = await proxyOn(family);
        assert.equal((await outcome('tcp', server[family], 80)).end, `proxy for ${server[family]}`);
      };
      await isHeld();
      for (let i = 0; i < 3; i++) refusedAtOnce(await outcome('tcp', server[family], 80));
      await isHeld();
      assert.equal(arrived(), before);
      assert.equal((await outcome('tcp', server[family], 9000)).end, 'server', 'the kernel path goes on');
      assert.notEqual(arrived(), before, 'control: what arrives is counted');
    });

    test(`IPv${family}: a question is refused at once, whatever resolver it is for`, async () => {
      const before = arrived();
      for (const resolver of [family === 4 ? topology.gateway4 : topology.gateway6, server[family]])
        for (const kind of ['udp', 'tcp'] as const) refusedAtOnce(await outcome(kind, resolver, 53));
      assert.equal(arrived(), before);
    });
  }
});

describe('the process of a run stands still', { skip: containedUnavailable(), timeout: 60_000 }, () => {
  let lab: Lab;
  let agent: ContainedAttacker;
  before(async () => {
    lab = await startLab({ daemons: ['resolver'] });
    const policy = agentPolicy({
      web: { permitted: ['example.com', 'registry.example', 'echo.example'] },
      rules: ['web: [permitted], protocol: tcp, ports: [80, 443, 5000]'],
    });
    agent = await containedAttacker(lab, { policy, options: ['--quiet'], user: 61_234 });
  });
  after(async () => {
    await agent?.stop();
    await lab?.stop();
  });

  const get = [
    `s = dial(args.get('at', args['name']), 80, args['family'])`,
    `s.sendall(('GET /%s HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' % (args['path'], args['name'])).encode())`,
    '',
  ].join('\n');
  const status = `result = bytes.fromhex(fate(s, 8)['data']).split(b' ')[1].decode()`;
  const speaks = `live.sendall(b'again'); result = live.recv(10).decode()`;

  for (const family of families) {
    test(`IPv${family}: live flows go on, new ones wait, and are served when it goes on`, async () => {
      const names = { name: 'example.com', family: family === 4 ? 2 : 10, path: `before-${family}` };
      await agent.run(
        `live = dial('echo.example', 5000, args['family']); live.sendall(b'one'); assert live.recv(10) == b'one'`,
        names,
      );
      assert.equal(await agent.run(get + status, names), '200', 'control');
      const at = await agent.run<string>(
        `result = socket.getaddrinfo(args['name'], 80, args['family'])[0][4][0]`,
        names,
      );
      const since = await lab.mark();
      agent.freeze();
      try {
        assert.equal(await agent.run(speaks), 'again', 'the kernel path needs nobody');
        const held = await agent.run<{ end: string; data: string }>(`${get}result = fate(s, 2)`, {
          ...names,
          at,
          path: `held-${family}`,
        });
        assert.deepEqual(held, { end: 'open', data: '' });
        const asked = await agent.attempt(
          `
          q = socket.socket(socket.AF_INET6 if args['family'] == 10 else socket.AF_INET, socket.SOCK_DGRAM)
          q.settimeout(2)
          q.sendto(b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\x08registry\\x07example\\0\\0\\x01\\0\\x01', (args['filter'], 53))
          q.recv(500)
          `,
          { ...names, filter: family === 4 ? topology.gateway4 : topology.gateway6 },
        );
        assert.ok('error' in asked && asked.message.includes('timed out'), JSON.stringify(asked));
        const arrivals = await lab.arrivals({ since });
        assert.deepEqual(
          arrivals.filter(({ server }) => server !== 'echo'),
          [],
        );
      } finally {
        agent.thaw();
      }
      assert.equal(await agent.run(status), '200', 'what waited is answered');
      await eventually('it has arrived', async () =>
        (await lab.arrivals({ since, kind: 'request' })).some(
          (one) => one.kind === 'request' && one.target === `/held-${family}`,
        ),
      );
      assert.equal(await agent.run(speaks), 'again');
      assert.equal(
        await agent.run(get + status, { ...names, name: 'registry.example', path: `after-${family}` }),
        '200',
      );
    });
  }
});
