/**
 * Links of other sizes around a gateway of a network: what is sent arrives whole, in both families, by the kernel path and the proxy, with a
 * ClientHello of more than one segment. Path MTU discovery has to work in both directions for that.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Attacker, freeAttacker } from './attacker.ts';
import { containedUnavailable } from './contained.ts';
import { echoed } from './echoed.ts';
import { type GatewayLab, gatewayPolicy, startGatewayLab } from './gateway-lab.ts';

const skip = containedUnavailable();

/** A ClientHello of about 3 KB at once, and the answer to a request. */
const greeted = `
tls = Tls('example.com', fill=3000)
assert len(tls.hello) > 2800
s = socket.socket(family_of(args['source']), socket.SOCK_STREAM)
s.bind((args['source'], 0))
s.settimeout(8)
s.connect(socket.getaddrinfo('example.com', 443, family_of(args['source']), socket.SOCK_STREAM)[0][4])
s.sendall(tls.hello)
tls.outward.read()
result = tls.get(s)
`;
/** One datagram there and back; the first may be lost for the error about its size. */
const datagram = `
data = os.urandom(args['bytes'])
s = socket.socket(family_of(args['source']), socket.SOCK_DGRAM)
s.bind((args['source'], 0))
s.settimeout(0.7)
s.connect(socket.getaddrinfo('echo.example', 5000, family_of(args['source']), socket.SOCK_DGRAM)[0][4])
result = False
for _ in range(8):
    try:
        s.send(data)
        result = s.recv(65536) == data
        if result: break
    except OSError: pass
`;

describe('links of other sizes around a gateway of a network', { skip, timeout: 200_000 }, () => {
  let g: GatewayLab;
  let agent: Attacker;

  before(async () => {
    g = await startGatewayLab();
    try {
      await g.write(
        gatewayPolicy([
          'to: [public-internet], web: [named], protocol: tcp, ports: [80, 443, 5000]',
          'to: [public-internet], web: [named], protocol: udp, ports: [5000]',
          'to: [spoke], protocol: tcp, ports: [5000]',
        ]),
      );
      agent = await freeAttacker(g.lab, g.a);
      await g.start();
    } catch (e) {
      await g.stop();
      throw e;
    }
  });
  after(() => g?.stop());

  const gateway = 'nsenter --net=/run/cofferdam/gateway/gateway/netns';
  const uplink = '$(ls /sys/class/net | grep ^cfd)';
  /** The size of a link, at both of its ends. */
  const size = {
    agents: async (mtu: number) => {
      await set('host', `${gateway} ip link set eth1 mtu ${mtu}`);
      assert.equal((await g.a.exec(['ip', 'link', 'set', 'eth0', 'mtu', String(mtu)])).code, 0);
    },
    uplink: (mtu: number) => set('host', `ip link set ${uplink} mtu ${mtu}; ${gateway} ip link set up0 mtu ${mtu}`),
    host: async (mtu: number) => {
      await set('host', `ip link set eth0 mtu ${mtu}`);
      await set('internet', `ip link set host mtu ${mtu}`);
    },
    /** Smaller on the router alone: the server does not know, and offers segments that are too large. */
    spoke: async (mtu: number) => {
      await set('internet', `ip link set spoke mtu ${mtu}`);
      await set(
        'spoke',
        `ip link set eth0 mtu ${Math.max(mtu, 1500)}
         ip route replace default via 10.20.0.1 mtu ${mtu} advmss ${Math.max(mtu, 1500) - 40}
         ip -6 route replace default via fd20::1 mtu ${mtu} advmss ${Math.max(mtu, 1500) - 60}`,
      );
    },
  };
  const set = async (machine: 'host' | 'internet' | 'spoke', command: string): Promise<void> => {
    const { code, stderr } = await g.lab.exec(machine, ['sh', '-ec', command]);
    assert.equal(code, 0, stderr);
  };
  /** What each machine has learnt of paths, so that it has to learn it again. */
  const forget = async (): Promise<void> => {
    const flush = ['sh', '-c', 'ip route flush cache; ip -6 route flush cache'];
    for (const machine of ['host', 'internet', 'spoke'] as const) await g.lab.exec(machine, flush);
    await g.a.exec(flush);
    await g.lab.exec('host', ['sh', '-c', `${gateway} ip route flush cache; ${gateway} ip -6 route flush cache`]);
  };

  const everything = async (): Promise<void> => {
    for (const source of ['10.11.1.7', 'fd11:1::7']) {
      const six = source.includes(':');
      const run = (code: string, args: object): Promise<unknown> => agent.run(code, { source, ...args }, 20_000);
      assert.equal(await run(greeted, {}), 200, `a long hello from ${source}`);
      assert.equal(
        await run(echoed, { to: 'echo.example', port: 5000, bytes: 400_000 }),
        true,
        `an upload by ${source}`,
      );
      const spoke = six ? 'fd20::20' : '10.20.0.20';
      assert.equal(await run(echoed, { to: spoke, port: 5000, bytes: 400_000 }), true, `to the spoke by ${source}`);
      for (const bytes of [1400, 4000])
        assert.equal(await run(datagram, { bytes }), true, `${bytes} bytes by ${source}`);
      for (const scheme of ['http', 'https']) {
        const since = await g.lab.mark();
        const argv = ['curl', '-sS', '-m', '10', six ? '-6' : '-4', '--data-binary', '@-', `${scheme}://example.com/`];
        const { code, stderr } = await g.a.exec(argv, { input: 'x'.repeat(600_000), env: g.lab.ca.environment });
        assert.equal(code, 0, `${scheme} from ${source}: ${stderr}`);
        const [request] = await g.lab.arrivals({ since, kind: 'request', server: 'web' });
        assert.equal(request?.kind === 'request' && request.body, 600_000);
      }
    }
  };

  for (const [what, sizes] of [
    ['all links of one size', {}],
    ['the host’s way out is smaller', { host: 1280 }],
    ['a hop behind the host is smaller', { spoke: 1280 }],
    ['the agents’ link is smaller', { agents: 1280 }],
    ['the agents’ link is larger', { agents: 9000 }],
    ['the agents’ link is larger, and the host’s way out is smaller', { agents: 9000, host: 1280 }],
    [
      'the agents’ link and the uplink are larger, and the host’s way out is smaller',
      { agents: 9000, uplink: 9000, host: 1400 },
    ],
    ['the uplink is smaller', { uplink: 1280 }],
    ['all of them are larger', { agents: 9000, uplink: 9000, host: 9000, spoke: 9000 }],
  ] as const)
    test(what, async () => {
      const usual = { agents: 1500, uplink: 1500, host: 1500, spoke: 1500 };
      for (const [link, mtu] of Object.entries({ ...usual, ...sizes })) await size[link as keyof typeof size](mtu);
      await forget();
      await everything();
      const least = Math.min(...Object.values({ ...usual, ...sizes }));
      const first = { ...usual, ...sizes }.agents;
      if (least === first) return;
      for (const family of ['-4', '-6']) {
        const { stdout } = await g.a.exec(['ip', family, 'route', 'show', 'cache']);
        assert.match(stdout, new RegExp(`mtu ${least}\\b`), 'control: the agent was told');
      }
    });
});
