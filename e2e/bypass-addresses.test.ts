/**
 * What even a policy that permits anything anywhere does not open: the gateway's own ports, the host, other runs, false sources, and
 * errors that go where their flow does not.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { AnyRecord } from '@cofferdam/flows';
import type { Lab } from '@cofferdam/testkit/lab';
import { type Attacker, type ContainedAttacker, containedAttacker, eventually } from './attacker.ts';
import { containedUnavailable } from './contained.ts';
import {
  agentHost,
  attackerHost,
  echoHost,
  families,
  gatewayHost,
  type PacketSite,
  packetsBy,
  reasonsOf,
  runMacs,
  startPacketSite,
  wide,
} from './packet-site.ts';

describe('addresses', { skip: containedUnavailable(), timeout: 150_000 }, () => {
  let lab: Lab;
  let free: Attacker;
  let server: Attacker;
  let onWire: PacketSite['onWire'];
  before(async () => {
    ({ lab, free, server, onWire } = await startPacketSite());
  });
  after(() => lab?.stop());

  describe('under a policy that permits anything anywhere', () => {
    let agent: ContainedAttacker;
    let raw: Attacker;
    before(async () => {
      agent = await containedAttacker(lab, { policy: wide, options: ['--quiet'], user: 61_234 });
      raw = await agent.rawAttacker();
      await packetsBy(raw, runMacs, agentHost);
    });
    after(() => agent?.stop());

    const scan = `
def scan(to, ports):
    """Ports that take a connection, and those that say nothing."""
    opened, silent = [], []
    for at in range(0, len(ports), 256):
        waiting = {}
        poll = select.poll()
        for port in ports[at:at + 256]:
            s = socket.socket(family_of(to), socket.SOCK_STREAM)
            s.setblocking(False)
            try: s.connect((to, port))
            except BlockingIOError: pass
            except OSError: continue
            waiting[s.fileno()] = (port, s)
            poll.register(s, select.POLLOUT)
        end = time.monotonic() + 2
        while waiting and time.monotonic() < end:
            for fd, _ in poll.poll(200):
                port, s = waiting.pop(fd)
                poll.unregister(fd)
                if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0: opened.append(port)
                s.close()
        silent += [port for port, _ in waiting.values()]
    return opened, silent
result = scan(args['to'], list(range(*args['range'])) + args['more'])
`;
    for (const family of families) {
      test(`every port of the gateway over IPv${family}: DNS answers, and nothing else`, async () => {
        const ports = { range: family === 4 ? [1, 65_536] : [1, 4096], more: family === 4 ? [] : [15_001, 15_002] };
        const [opened, silent] = await agent.run<[number[], number[]]>(
          scan,
          { to: gatewayHost[family], ...ports },
          60_000,
        );
        assert.deepEqual(opened, [53]);
        assert.deepEqual(silent, [], 'each is refused at once');
        const answering = await raw.run<number[]>(
          `
          probe = socket.socket(family_of(args['to']), socket.SOCK_DGRAM)
          probe.settimeout(0.5)
          found = set()
          query = bytes.fromhex('abcd01000001000000000000') + b'\\x07example\\x03com\\0\\0\\x01\\0\\x01'
          for port in list(range(1, 2048)) + [15001, 5353, 5355]:
              try: probe.sendto(query, (args['to'], port))
              except OSError: pass
          while True:
              try: found.add(probe.recvfrom(600)[1][1])
              except socket.timeout: break
              except OSError: pass
          result = sorted(found)
          `.replaceAll('\n          ', '\n'),
          { to: gatewayHost[family] },
        );
        assert.deepEqual(answering, [53]);
        const toProxy = (r: AnyRecord): boolean =>
          r.kind === 'flow' &&
          r.protocol === 'tcp' &&
          r.source.address.family === family &&
          r.destination.port === 15_001;
        // Of a flood of denials only some have a record: this one is knocked for until it is among them.
        await eventually('a record of the proxy’s port', async () => {
          await agent.attempt(`socket.create_connection((args['to'], 15001), 1)`, { to: gatewayHost[family] });
          return (await agent.process.records()).some(toProxy);
        });
        assert.deepEqual(await reasonsOf(agent, toProxy), ['gateway-port']);
      });
    }

    test('addresses of the host, of the link to it, and of other runs', async () => {
      await free.run(`
        for address in ('0.0.0.0', '::'): recorders[address] = Recorder(address, 9300)
        udp_heard = []
        def hear(kind):
            s = socket.socket(kind, socket.SOCK_DGRAM)
            if kind == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind(('', 9301))
            while True: udp_heard.append(s.recvfrom(100))
        for kind in (socket.AF_INET, socket.AF_INET6): threading.Thread(target=hear, args=(kind,), daemon=True).start()
      `);
      const other = await containedAttacker(lab, { policy: wide, options: ['--quiet'] });
      const addresses = async (machine: 'host' | 'gateway', of: ContainedAttacker): Promise<readonly string[]> => {
        const shown =
          machine === 'host'
            ? await lab.exec('host', ['ip', '-j', 'address'])
            : await of.enter('gateway', ['ip', '-j', 'address']);
        return (JSON.parse(shown.stdout) as { addr_info: { local: string }[] }[]).flatMap(({ addr_info }) =>
          addr_info.map(({ local }) => local),
        );
      };
      const targets = new Set([
        ...(await addresses('host', agent)),
        ...(await addresses('gateway', agent)),
        ...(await addresses('gateway', other)),
        '198.18.0.6',
        '0.0.0.0',
        '::',
        '127.0.0.2',
        '::ffff:192.168.50.2',
      ]);
      const knock = `
        reached = []
        for to in args['to']:
            for port in args['ports']:
                try:
                    s = socket.socket(family_of(to), socket.SOCK_STREAM)
                    s.settimeout(1)
                    s.connect((to, port))
                    s.send(b'secret')
                    reached.append((to, port))
                except OSError: pass
            try: socket.socket(family_of(to), socket.SOCK_DGRAM).sendto(b'secret', (to, 9301))
            except OSError: pass
        result = reached
      `;
      const controls = await server.run<[string, number][]>(knock, { to: [lab.host4, lab.host6], ports: [9300] });
      assert.equal(controls.length, 2, 'control: from elsewhere the host is reachable');
      const seen = () =>
        free.run<[number, number]>(
          `time.sleep(0.3); result = [sum(len(r.connections) for r in recorders.values()), len(udp_heard)]`,
        );
      const before = await seen();
      assert.deepEqual(before, [2, 2], 'control');
      const reached = await agent.run<[string, number][]>(knock, { to: [...targets], ports: [9300, 15_001] }, 120_000);
      assert.deepEqual(reached, []);
      assert.deepEqual(await seen(), before);
      await other.stop();

      // A container engine that is started now: no plan could know its address.
      for (const [address, prefix] of [
        ['172.17.0.1', 16],
        ['fd17::1', 64],
      ] as const) {
        await lab.exec('host', ['ip', 'address', 'add', `${address}/${prefix}`, 'dev', 'lo']);
        const own = await free.run<[string, number][]>(knock, { to: [address], ports: [9300] });
        assert.equal(own.length, 1, 'control: the host reaches itself');
        const later = await agent.run<[string, number][]>(knock, { to: [address], ports: [9300] });
        assert.deepEqual(later, []);
      }
    });

    test('false sources, VLAN tags and neighbours that lie', async () => {
      const text = 'spoofed-by-hand';
      const gatewayState = async (): Promise<string> => {
        const shown = await Promise.all(
          ['neigh', 'route', '-6 route', '-6 neigh', 'rule'].map((words) =>
            agent.enter('gateway', ['ip', ...words.split(' ')]),
          ),
        );
        return shown
          .map(({ stdout }) => stdout.replaceAll(/ (REACHABLE|STALE|DELAY|PROBE|PERMANENT|expires \S+)/g, ''))
          .join('\n');
      };
      const packets = `
to4, to6 = args['to4'], args['to6']
u = UDP(sport=6000, dport=4444) / Raw(args['text'])
`;
      const since = await lab.mark();
      await raw.run(
        `${packets}put(frame() / IP(src='198.18.0.2', dst=to4) / u, frame() / IPv6(src='fdc0:ffe7:da11::2', dst=to6) / u); time.sleep(0.3)`,
        { to4: attackerHost[4], to6: attackerHost[6], text },
      );
      assert.equal((await lab.arrivals({ since, name: text })).length, 2, 'control: with its own source it passes');
      const after = await lab.mark();
      const before = await gatewayState();
      await raw.run(
        `${packets}
for source in ('198.18.0.3', '198.18.0.1', '198.18.0.6', '192.168.50.2', '192.168.50.77', '10.0.0.1', '8.8.8.8', '127.0.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.1', '169.254.1.1'):
    put(frame() / IP(src=source, dst=to4) / u)
    put(frame() / IP(src=source, dst=to4) / TCP(sport=6000, dport=4444) , frame() / IP(src=source, dst=to4) / ICMP() / args['text'])
for source in ('fdc0:ffe7:da11::3', 'fdc0:ffe7:da11::1', 'fe80::1', '::1', '::', '::ffff:198.18.0.2', '2a01:4f8:50::2', 'ff02::1'):
    put(frame() / IPv6(src=source, dst=to6) / u)
for tags in ((5,), (1,), (4095,), (5, 6), (0, 5)):
    inner = IP(src='198.18.0.2', dst=to4) / u
    head = frame()
    for tag in tags: head = head / Dot1Q(vlan=tag)
    put(head / inner)
put(Ether(src='02:cf:fd:00:00:02', dst='02:cf:fd:00:00:01', type=0x88a8) / Dot1Q(vlan=5) / Dot1Q(vlan=6) / IP(src='198.18.0.2', dst=to4) / u)
put(frame(type=0x8847) / Raw(b'\\0\\x01\\x01\\xff') / IP(src='198.18.0.2', dst=to4) / u, frame(type=0x8864) / Raw(b'\\x11\\0\\0\\x01\\0\\x60\\0\\x21') / IP(src='198.18.0.2', dst=to4) / u)
for claimed in ('198.18.0.1', '198.18.0.3', '198.18.0.6', '198.19.0.1'):
    put(Ether(src='02:cf:fd:00:00:66', dst='ff:ff:ff:ff:ff:ff') / ARP(op=2, hwsrc='02:cf:fd:00:00:66', psrc=claimed, pdst='198.18.0.1', hwdst='02:cf:fd:00:00:01'))
for claimed in ('fdc0:ffe7:da11::6', 'fdc0:ffe7:da11::2', 'fdc0:ffe7:da11::3'):
    put(Ether(src='02:cf:fd:00:00:66', dst='02:cf:fd:00:00:01') / IPv6(src='fe80::66', dst='fdc0:ffe7:da11::1', hlim=255) / ICMPv6ND_NA(tgt=claimed, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr='02:cf:fd:00:00:66'))
put(Ether(src='02:cf:fd:00:00:02', dst='33:33:00:00:00:01') / IPv6(src='fe80::66', dst='ff02::1', hlim=255) / ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptPrefixInfo(prefix='2001:db8::', prefixlen=64))
put(frame() / IPv6(src='fe80::66', dst='fdc0:ffe7:da11::1', hlim=255) / ICMPv6ND_Redirect(tgt='fe80::66', dst=to6))
put(frame() / IP(src='198.18.0.2', dst='198.18.0.1') / ICMP(type=5, code=1, gw='198.18.0.2') / IP(src='198.18.0.1', dst=to4) / UDP())
time.sleep(0.4)
`,
        { to4: attackerHost[4], to6: attackerHost[6], text },
      );
      assert.deepEqual(await lab.arrivals({ since: after, server: 'attacker' }), []);
      assert.deepEqual(
        await onWire('src net 198.18.0.0/15 or src net fdc0::/16'),
        [],
        'nothing leaves with an address of ours',
      );
      assert.equal(await gatewayState(), before);
      const reasons = await reasonsOf(agent, (r) => ['source-spoofed', 'vlan-tagged'].includes(r.reason));
      assert.deepEqual(reasons, ['source-spoofed', 'vlan-tagged']);
    });

    test('ICMP errors that carry data, for flows that live and for none', async () => {
      for (const family of families) {
        // A flow to one host, permitted: the error that speaks of it goes to another.
        await agent.run(
          `
          s = socket.socket(family_of(args['to']), socket.SOCK_DGRAM)
          s.bind(('', args['port']))
          s.connect((args['to'], 7))
          s.settimeout(2)
          s.send(b'x')
          s.recv(10)
          `,
          { to: echoHost[family], port: 6100 },
        );
        await raw.run(
          `
own, echo, denied = args['own'], args['echo'], args['denied']
Ip = IP if args['family'] == 4 else IPv6
for inner_source, inner_port in ((echo, 7), (echo, 9), (denied, 7)):
    inner = Ip(src=inner_source, dst=own) / UDP(sport=inner_port, dport=6100) / Raw(b'tunnelled' * 30)
    for outer in (denied, echo):
        for kind in ((3, 11, 12) if args['family'] == 4 else (1, 2, 3, 4)):
            body = ICMP(type=kind, code=1) if args['family'] == 4 else {1: ICMPv6DestUnreach, 2: ICMPv6PacketTooBig, 3: ICMPv6TimeExceeded, 4: ICMPv6ParamProblem}[kind]()
            put(frame() / Ip(src=own, dst=outer) / body / inner)
time.sleep(0.4)
`,
          { family, own: agentHost[family], echo: echoHost[family], denied: attackerHost[family] },
        );
        const errors = family === 4 ? 'icmp and icmp[0] != 8 and icmp[0] != 0' : 'icmp6 and ip6[40] < 128';
        // The host itself says of its own ports what there is to say, in fewer bytes.
        const out = await onWire(`${errors} and dst host ${attackerHost[family]} and greater 200`);
        assert.deepEqual(out, [], 'no error leaves for a host that the flow is not with');
        assert.ok(
          (await onWire(`${errors} and dst host ${echoHost[family]}`)).length > 0,
          'control: for a live flow errors do pass',
        );
        assert.deepEqual(
          await onWire('src net 198.18.0.0/15 or src net fdc0::/16'),
          [],
          'nothing leaves with an address of ours',
        );
      }
    });
  });
});
