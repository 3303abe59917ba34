/**
 * Packets that carry something past a filter of connections: other protocols, fragments, options, and datagrams that go on. Ordinary
 * sockets belong to the contained process; frames made by hand come from a hostile agent.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Lab } from '@cofferdam/testkit/lab';
import { type Attacker, type ContainedAttacker, containedAttacker } from './attacker.ts';
import { containedUnavailable } from './contained.ts';
import {
  attackerHost,
  echoHost,
  echoPolicy,
  families,
  narrow,
  type PacketSite,
  reasonsOf,
  scapy,
  startPacketSite,
  textOf,
} from './packet-site.ts';

describe('packets', { skip: containedUnavailable(), timeout: 150_000 }, () => {
  let lab: Lab;
  let free: Attacker;
  let server: Attacker;
  let onWire: PacketSite['onWire'];
  before(async () => {
    ({ lab, free, server, onWire } = await startPacketSite());
  });
  after(() => lab?.stop());

  describe('under a policy that permits one host', () => {
    let agent: ContainedAttacker;
    let raw: Attacker;
    before(async () => {
      agent = await containedAttacker(lab, { policy: narrow, user: 61_234 });
      raw = await agent.rawAttacker();
      await raw.run(scapy);
    });
    after(() => agent?.stop());

    for (const family of families) {
      const ping = `
s = socket.socket(${family === 4 ? 'socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP' : 'socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6'})
s.settimeout(1)
s.connect((args['to'], 0))
s.send(bytes([${family === 4 ? 8 : 128}, 0, 0, 0, 0, 1, 0, 1]) + b'secret' * 20)
result = len(s.recv(2000))
`;
      const filter = `icmp${family === 4 ? '' : '6'} and dst host ${attackerHost[family]}`;

      test(`data in pings to a denied host, over IPv${family}`, async () => {
        assert.equal(await free.run<number>(ping, { to: attackerHost[family] }), 128, 'control');
        const before = (await onWire(filter)).length;
        assert.ok(before > 0, 'control');
        assert.equal(await agent.run<number>(ping, { to: echoHost[family] }), 128, 'a permitted host answers');
        const denied = await agent.attempt(ping, { to: attackerHost[family] });
        assert.ok('error' in denied);
        // As root too, and in every type of message that ICMP has.
        await raw.run(
          `
for kind in range(256):
    if args['family'] == 4:
        put(frame() / IPx(4, args['to']) / ICMP(type=kind, id=7) / (b'secret' * 20))
    elif kind not in (133, 134, 135, 136, 137):
        body = bytes([kind, 0, 0, 0, 0, 7, 0, 1]) + b'secret' * 20
        put(frame() / IPx(6, args['to'], nh=58) / Raw(body))
time.sleep(0.3)
`,
          { family, to: attackerHost[family] },
        );
        assert.equal((await onWire(filter)).length, before, 'not one more');
        const reasons = await reasonsOf(
          agent,
          (r) => r.kind === 'flow' && r.protocol === 'icmp' && r.source.address.family === family,
        );
        assert.ok(reasons.includes('no-rule'), reasons.join());
      });

      test(`messages other than echo to a permitted host, over IPv${family}`, async () => {
        const other = `icmp${family === 4 ? '' : '6'} and dst host ${echoHost[family]} and not (${family === 4 ? 'icmp[0] = 8' : 'ip6[40] = 128'})`;
        await raw.run(
          `
for kind in range(256):
    if args['family'] == 4 and kind != 8:
        put(frame() / IPx(4, args['to']) / ICMP(type=kind, id=7) / (b'secret' * 20))
    elif args['family'] == 6 and kind not in (128, 133, 134, 135, 136, 137):
        put(frame() / IPx(6, args['to'], nh=58) / Raw(bytes([kind, 0, 0, 0, 0, 7, 0, 1]) + b'secret' * 20))
time.sleep(0.3)
`,
          { family, to: echoHost[family] },
        );
        assert.deepEqual(await onWire(other), []);
      });

      test(`datagrams and other protocols to a denied host, over IPv${family}`, async () => {
        const send = `
s = socket.socket(socket.AF_INET6 if ':' in args['to'] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.connect((args['to'], args['port']))
s.send(b'secret')
result = len(s.recv(100))
`;
        const since = await lab.mark();
        await free.attempt(send, { to: attackerHost[family], port: 4444 });
        assert.equal((await lab.arrivals({ since, server: 'attacker', kind: 'datagram' })).length, 1, 'control');
        assert.equal(await agent.run<number>(send, { to: echoHost[family], port: 7 }), 6, 'a permitted host answers');
        const again = await lab.mark();
        const told = await agent.attempt(send, { to: attackerHost[family], port: 4444 });
        assert.ok(
          'error' in told && told.number !== '' && told.number !== 'EAGAIN',
          `the client is told: ${JSON.stringify(told)}`,
        );
        await agent.attempt(send, { to: echoHost[family], port: 5000 });
        await agent.attempt(
          `s = socket.socket(socket.AF_INET6 if ':' in args['to'] else socket.AF_INET, socket.SOCK_DGRAM, 136); s.sendto(b'secret', (args['to'], 4444))`,
          { to: attackerHost[family] },
        );
        await raw.run(
          `
for protocol in range(256):
    if protocol in (${family === 4 ? '1, 6, 17' : '0, 6, 17, 58'}): continue
    put(frame() / IPx(args['family'], args['to'], **{'proto' if args['family'] == 4 else 'nh': protocol}) / Raw(b'secret' * 20))
    put(frame() / IPx(args['family'], args['echo'], **{'proto' if args['family'] == 4 else 'nh': protocol}) / Raw(b'secret' * 20))
time.sleep(0.3)
`,
          { family, to: attackerHost[family], echo: echoHost[family] },
        );
        assert.deepEqual(await lab.arrivals({ since: again, kind: 'datagram' }), []);
        assert.deepEqual(
          await onWire(
            `(${family === 4 ? 'ip' : 'ip6'}) and (dst host ${attackerHost[family]} or dst host ${echoHost[family]}) and not tcp and not udp and not icmp and not icmp6`,
          ),
          [],
        );
      });

      test(`fragments, over IPv${family}`, async () => {
        const send = (code: string) =>
          raw.run(
            `
family, echo, denied = args['family'], args['echo'], args['denied']
def cut(packet, *at):
    """Fragments of what lies behind the IP head, at these multiples of eight bytes."""
    body = bytes(packet.payload)
    ends, number, fragments = list(at) + [len(body)], int.from_bytes(os.urandom(2), 'big'), []
    for start, end in zip([0] + list(at), ends):
        fragments.append(piece(packet, body[start:end], start, end < len(body), number))
    return fragments
def piece(packet, data, offset, more, number):
    if family == 4:
        return frame() / IP(src='198.18.0.2', dst=packet.dst, proto=packet.proto, id=number, flags='MF' if more else 0, frag=offset // 8) / Raw(data)
    return frame() / IPv6(src='fdc0:ffe7:da11::2', dst=packet.dst, nh=44) / IPv6ExtHdrFragment(nh=packet.nh, offset=offset // 8, m=more, id=number) / Raw(data)
def udp(to, port, text, source=5555):
    p = IPx(family, to) / UDP(sport=source, dport=port) / Raw(text)
    return p.__class__(bytes(p))
def tcp(to, port, flags='S'):
    p = IPx(family, to) / TCP(sport=5556, dport=port, flags=flags) / Raw(b'y' * 40)
    return p.__class__(bytes(p))
${code}
time.sleep(0.4)
`,
            { family, echo: echoHost[family], denied: attackerHost[family] },
          );
        const datagrams = async (since: number) =>
          (await lab.arrivals({ since, kind: 'datagram' })).map(
            (a) => `${a.server}:${a.local.port} ${a.kind === 'datagram' ? a.bytes.slice(0, 4) : ''}`,
          );
        let since = await lab.mark();
        await send(
          `put(*cut(udp(echo, 7, b'good' * 100), 64, 128)); put(*reversed(cut(udp(echo, 7, b'back' * 100), 64, 128)))`,
        );
        assert.deepEqual(await datagrams(since), ['echo:7 good', 'echo:7 back'], 'honest ones pass, in either order');

        since = await lab.mark();
        await send(`
put(*cut(udp(denied, 4444, b'evil' * 100), 64, 128))
put(*cut(udp(echo, 5000, b'evil' * 100), 64))
# The first fragment of a permitted datagram, and then later ones for a denied host and port under the same number.
a, b = udp(echo, 7, b'good' * 20), udp(echo, 5000, b'evil' * 20)
body_a, body_b = bytes(a.payload), bytes(b.payload)
put(piece(a, body_a[:48], 0, True, 77), piece(b, body_b[:48], 0, True, 77), piece(b, body_b[48:], 48, False, 77))
put(piece(a, body_a[:48], 0, True, 78), piece(b, body_b, 0, False, 78))
put(piece(b, body_b[:8], 0, True, 79), piece(a, body_a[:48], 0, True, 79), piece(a, body_a[48:], 48, False, 79))
# Overlap: the second fragment would write over the ports.
put(piece(a, body_a[:48], 0, True, 80), piece(b, body_b[:16], 0, True, 80), piece(a, body_a[48:], 48, False, 80))
put(piece(a, body_a[8:48], 8, True, 81), piece(b, body_b[:16], 0, True, 81), piece(a, body_a[48:], 48, False, 81))
# A later fragment for a denied host, with the number of a permitted datagram that waits for it.
put(piece(a, body_a[:48], 0, True, 82), piece(udp(denied, 4444, b'evil' * 20), body_b[48:], 48, False, 82))
# Without a first; and one that is its own first and last.
put(piece(udp(denied, 4444, b'evil' * 20), body_b[48:], 48, False, 83), piece(udp(denied, 4444, b'evil' * 20), body_b, 0, False, 84))
put(*cut(tcp(echo, 443), 24), *cut(tcp(echo, 443), 8, 16), *cut(tcp(denied, 443), 24))
`);
        const got = await datagrams(since);
        assert.ok(
          got.every((text) => text === 'echo:7 good'),
          got.join(', '),
        );
        assert.deepEqual(await lab.arrivals({ since, kind: 'connection' }), []);
        assert.deepEqual(
          await onWire(
            `${family === 4 ? 'ip' : 'ip6'} and dst host ${attackerHost[family]} and greater 120 and not icmp and not icmp6 and not port 4444`,
          ),
          [],
        );
        const reasons = await reasonsOf(
          agent,
          (r) => r.kind === 'flow' && r.source.address.family === family && r.protocol !== 'icmp',
        );
        for (const reason of ['no-rule', 'fragment']) assert.ok(reasons.includes(reason), reasons.join());
      });
    }

    test('extension headers and IPv4 options', async () => {
      const since = await lab.mark();
      await raw.run(
        `
for port, text in ((7, b'evil'), (4444, b'evil')):
    for to in args['to']:
        u = UDP(sport=5557, dport=port) / Raw(text * 10)
        for chain in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(options=[PadN(optdata=b'secret')]), IPv6ExtHdrRouting(addresses=[args['denied']]), IPv6ExtHdrRouting(type=2, addresses=[args['denied']]),
                      IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment() / IPv6ExtHdrFragment(), IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment()):
            put(frame() / IPv6(src='fdc0:ffe7:da11::2', dst=to) / chain / u)
        put(frame() / IPv6(src='fdc0:ffe7:da11::2', dst=to, nh=51) / Raw(b'\\x11\\x01' + b'\\0' * 10) / u, frame() / IPv6(src='fdc0:ffe7:da11::2', dst=to, nh=59) / Raw(b'secret'))
for option in (IPOption_LSRR(routers=[args['denied4']]), IPOption_SSRR(routers=[args['denied4']]), IPOption_RR(), IPOption_Router_Alert()):
    put(frame() / IP(src='198.18.0.2', dst=args['echo4'], options=[option]) / UDP(sport=5557, dport=7) / Raw(b'evil'))
    put(frame() / IP(src='198.18.0.2', dst=args['echo4'], options=[option]) / ICMP(id=5))
time.sleep(0.4)
`,
        { to: [echoHost[6], attackerHost[6]], denied: attackerHost[6], denied4: attackerHost[4], echo4: echoHost[4] },
      );
      assert.deepEqual(await lab.arrivals({ since, kind: 'datagram' }), []);
      assert.deepEqual(await reasonsOf(agent, (r) => textOf(r).includes('extension-header')), ['extension-header']);
      // A source route by an ordinary socket, which needs no privilege.
      const routed = await agent.attempt<number>(
        `
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(0.5)
        s.setsockopt(socket.IPPROTO_IP, 4, bytes([131, 7, 4]) + socket.inet_aton(args['via']) + bytes(1))
        s.sendto(b'evil', (args['to'], 7))
        result = len(s.recv(10))
        `,
        { to: echoHost[4], via: attackerHost[4] },
      );
      assert.ok('error' in routed);
      assert.deepEqual(await lab.arrivals({ since, kind: 'datagram' }), []);
    });

    test('raw sockets are not for the contained process', async () => {
      for (const kind of [
        'socket.AF_INET, socket.SOCK_RAW, 1',
        'socket.AF_INET6, socket.SOCK_RAW, 58',
        'socket.AF_PACKET, socket.SOCK_RAW, 3',
        'socket.AF_PACKET, socket.SOCK_DGRAM, 3',
      ]) {
        await free.run(`socket.socket(${kind}).close()`);
        const refused = await agent.attempt(`socket.socket(${kind})`);
        assert.ok(
          'error' in refused && ['EPERM', 'EACCES', 'EAFNOSUPPORT'].includes(refused.number),
          JSON.stringify(refused),
        );
      }
    });
  });

  test('a server that goes on sending datagrams after its flow is denied', async () => {
    const push = `
def push(address):
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    s.bind((address, 9200))
    data, to = s.recvfrom(100)
    while True:
        try: s.sendto(b'push', to)
        except OSError: pass
        time.sleep(0.05)
threading.Thread(target=push, args=(args['address'],), daemon=True).start()
`;
    for (const family of families) {
      await server.run(push, { address: attackerHost[family] });
      const expires = new Date(Date.now() + 4000).toISOString();
      const agent = await containedAttacker(lab, {
        policy: echoPolicy(`to: [anywhere], protocol: udp, ports: [9200], expires: ${expires}`),
      });
      const began = await agent.run<number>(
        `
        s = socket.socket(family_of(args['to']), socket.SOCK_DGRAM)
        s.settimeout(1)
        s.connect((args['to'], 9200))
        s.send(b'hello')
        result = len([s.recv(10) for _ in range(5)])
        `,
        { to: attackerHost[family] },
      );
      assert.equal(began, 5, 'control: while it is permitted, it pushes');
      const rest = await agent.run<{ heard: number; quiet: boolean }>(
        `
        while time.time() * 1000 < args['expires'] + 1000:
            try: s.recv(10)
            except OSError: pass
        heard = 0
        s.settimeout(0.3)
        for _ in range(5):
            try: heard += len(s.recv(10)) > 0
            except OSError: pass
        result = {'heard': heard, 'quiet': heard == 0}
        `,
        { expires: Date.parse(expires) },
      );
      assert.deepEqual(rest, { heard: 0, quiet: true });
      assert.deepEqual(await reasonsOf(agent, (r) => r.kind === 'flow' && r.protocol === 'udp'), ['flow-cut']);
      await agent.stop();
    }
  });
});
