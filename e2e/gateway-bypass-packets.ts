/** What is no TCP connection, or not from whom it says: QUIC, ICMP, other protocols, fragments, false sources (rows 13, 14, 15, 27). */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { PolicyWords } from './agent-policy.ts';
import { eventually } from './attacker.ts';
import { hello } from './attacks/names.ts';
import { type AttemptWords, brief } from './attempts.ts';
import {
  agentHost,
  type BypassSite,
  families,
  judged,
  otherHost,
  type Try,
  toAttackers,
  type Watch,
} from './gateway-bypass-site.ts';
import { attackerHost, echoHost, packetsBy } from './packet-site.ts';

const echo = ['{ cidr: 104.131.20.7/32 }', '{ cidr: "2604:a880::7/128" }'];
const narrow: PolicyWords = {
  web: { code: ['github.com'], datagrams: ['echo.example'] },
  to: { echo, named: ['{ hostname: time.example }'] },
  rules: [
    'to: [echo], protocol: udp, ports: [7]',
    'to: [echo], protocol: icmp',
    'to: [echo], protocol: tcp, ports: [443]',
    'to: [named], protocol: udp, ports: [123]',
    'web: [code], protocol: tcp, ports: [443]',
    'web: [code], protocol: udp, ports: [443]',
    'web: [datagrams], protocol: udp, ports: [5000]',
  ],
};
/** Everything that an operator can permit without naming a reserved address. */
const wide: PolicyWords = { rules: ['to: [anywhere], protocol: any', 'from: [others], to: [anywhere], protocol: any'] };

export const packetRows = (at: () => BypassSite): void => {
  let site: BypassSite;
  before(async () => {
    site = at();
    await packetsBy(site.agent, site.macs, agentHost);
  });
  const run = (code: string, args: object = {}): Promise<unknown> => site.agent.run(code, args);
  /** Denials of flows, each reason once. */
  const reasons = async (since: Watch, family: 4 | 6): Promise<readonly string[]> =>
    since.reasons((one) => one.kind === 'flow' && one.source.address.family === family);

  describe('row 13: QUIC and datagrams', () => {
    before(() => site.under(narrow));
    // A long header, version 1, as large as RFC 9000, section 14.1 wants.
    const initial = `\xc3\0\0\0\x01\x08${'d'.repeat(8)}\x08${'s'.repeat(8)}\0`.padEnd(1200, '\0');
    const datagram = (host: string, port: number, family: 4 | 6, send = 'ping'): AttemptWords => ({
      ...{ protocol: 'udp', host, port, family, send: [send], patience: 700 },
    });

    test('uncontained, QUIC arrives', async () => {
      const since = await site.watch();
      await site.free.run(`socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'initial', (args['to'], 443))`, {
        to: site.lab.address('github.com'),
      });
      await eventually('a datagram', async () => (await since.arrived('datagram')).length > 0);
      assert.equal((await since.arrived('datagram')).length, 1);
    });

    test('QUIC is refused at once, and TCP is there instead', async () => {
      const since = await site.watch();
      const made = await judged(
        site,
        families.flatMap((family): Try[] => [
          { what: `QUIC, IPv${family}`, words: datagram('github.com', 443, family, initial), verdict: 'quic' },
          { what: `to an address, IPv${family}`, words: datagram(attackerHost[family], 443, family), verdict: 'quic' },
          {
            what: `TCP, IPv${family}`,
            words: {
              protocol: 'tcp',
              host: 'github.com',
              family,
              port: 443,
              send: [hello('github.com')],
              patience: 400,
            },
            verdict: 'permit',
          },
        ]),
      );
      for (const i of [0, 1, 3, 4]) {
        assert.equal(made[i]!.end, 'refused');
        assert.ok(made[i]!.milliseconds < 3000, `${made[i]!.milliseconds} ms`);
      }
      assert.deepEqual(await since.wire('udp dst port 443'), []);
    });

    test('datagrams by hostname, and by name where an address has one name', async () => {
      const since = await site.watch();
      const byName = site.mode === 'synthetic' ? 'permit' : 'no-rule';
      const tries = families.flatMap((family): Try[] => [
        { what: `hostname, IPv${family}`, words: datagram('time.example', 123, family), verdict: 'permit' },
        { what: `name, IPv${family}`, words: datagram('echo.example', 5000, family), verdict: byName },
        { what: `another port, IPv${family}`, words: datagram('echo.example', 9, family), verdict: 'no-rule' },
        { what: `an attacker, IPv${family}`, words: datagram(attackerHost[family], 5000, family), verdict: 'no-rule' },
      ]);
      const made = await judged(site, tries);
      if (byName === 'permit') for (const i of [1, 5]) assert.equal(made[i]!.received, 'ping');
      assert.equal((await since.arrived('datagram')).filter(({ server }) => server === 'time').length, 2);
      assert.deepEqual(await since.wire(toAttackers), []);
      if (byName === 'no-rule') assert.deepEqual(await since.wire('dst port 5000'), []);
    });
  });

  describe('rows 14 and 15', () => {
    before(() => site.under(narrow));
    for (const family of families) {
      const icmp = `icmp${family === 4 ? '' : '6'}`;
      const ip = family === 4 ? 'ip' : 'ip6';
      const ends = { family, echo: echoHost[family], denied: attackerHost[family] };

      test(`row 14: data in ICMP, over IPv${family}`, async () => {
        const pinged = `result = ping(args['family'], args['to'])`;
        const free = await site.watch();
        assert.equal(await site.free.run(pinged, { family, to: ends.denied }), 128, 'control');
        assert.notDeepEqual(await free.wire(toAttackers), [], 'control');
        assert.equal(await site.agent.run(pinged, { family, to: ends.echo }), 128, 'a permitted host answers');
        const since = await site.watch();
        assert.ok('error' in (await site.agent.attempt(pinged, { family, to: ends.denied })));
        await run(`icmp_types(args['family'], args['denied'])`, ends);
        await run(`icmp_types(args['family'], args['echo'], but_echo=True)`, ends);
        assert.deepEqual(await since.wire(toAttackers), []);
        const echoes = family === 4 ? 'icmp[0] = 8' : 'ip6[40] = 128';
        assert.deepEqual(await since.wire(`${icmp} and dst host ${ends.echo} and not (${echoes})`), []);
        assert.ok((await reasons(since, family)).includes('no-rule'));
      });

      test(`row 14: datagrams and other protocols, over IPv${family}`, async () => {
        const asked = `result = ask(args['to'], args['port'])`;
        assert.equal(await site.agent.run(asked, { to: ends.echo, port: 7 }), 6, 'a permitted port answers');
        const since = await site.watch();
        const told = await site.agent.attempt(asked, { to: ends.denied, port: 4444 });
        assert.ok('error' in told && !['', 'EAGAIN'].includes(told.number), JSON.stringify(told));
        await site.agent.attempt(asked, { to: ends.echo, port: 5001 });
        await run(`other_protocols(args['family'], args['denied'], args['echo'])`, ends);
        // As root, from whichever kind of socket.
        await site.agent.attempt(
          `socket.socket(family_of(args['denied']), socket.SOCK_DGRAM, 136).sendto(b'secret', (args['denied'], 4444))`,
          ends,
        );
        await site.agent.attempt(
          `socket.socket(family_of(args['denied']), socket.SOCK_RAW, 253).sendto(b'secret', (args['denied'], 0))`,
          ends,
        );
        assert.deepEqual(await since.arrived('datagram'), []);
        assert.deepEqual(await since.wire(toAttackers), []);
        const plain = `tcp or udp or ${icmp}`;
        assert.deepEqual(await since.wire(`${ip} and dst host ${ends.echo} and not (${plain})`), []);
      });

      test(`row 15: fragments, over IPv${family}`, async () => {
        const send = (which: 'honest' | 'hostile') =>
          run(`Fragments(args['family'], args['echo'], args['denied']).${which}()`, ends);
        const arrived = async (since: Watch) =>
          (await since.arrived('datagram')).map(
            (one) => `${one.server}:${one.local.port} ${one.kind === 'datagram' ? one.bytes.slice(0, 4) : ''}`,
          );
        const honest = await site.watch();
        await send('honest');
        assert.deepEqual(await arrived(honest), ['echo:7 good', 'echo:7 back'], 'honest ones pass, in either order');
        const since = await site.watch();
        await send('hostile');
        const got = await arrived(since);
        assert.ok(
          got.every((text) => text === 'echo:7 good'),
          got.join(),
        );
        assert.deepEqual(await since.arrived('connection'), []);
        assert.deepEqual(await since.wire(toAttackers), []);
        const said = await reasons(since, family);
        for (const reason of ['no-rule', 'fragment']) assert.ok(said.includes(reason), said.join());
      });
    }

    test('row 15: extension headers and IPv4 options', async () => {
      const since = await site.watch();
      await run(`extension_headers(args['hosts'], args['hosts'][1]); ipv4_options(args['echo'], args['denied'])`, {
        hosts: [echoHost[6], attackerHost[6]],
        echo: echoHost[4],
        denied: attackerHost[4],
      });
      const routed = await site.agent.attempt(`result = source_route(args['to'], args['via'])`, {
        to: echoHost[4],
        via: attackerHost[4],
      });
      assert.ok('error' in routed);
      assert.deepEqual(await since.arrived('datagram'), []);
      assert.deepEqual(await since.wire(toAttackers), []);
      assert.ok((await reasons(since, 6)).includes('extension-header'));
    });
  });

  describe('row 27: false sources, under a policy that permits anything anywhere', () => {
    before(() => site.under(wide));
    const text = 'spoofed-by-hand';
    const to = { to4: attackerHost[4], to6: attackerHost[6], text };
    const datagrams = `u = UDP(sport=6000, dport=4444) / Raw(args['text'])\n`;

    test('an agent is heard with its own address and hardware address', async () => {
      const since = await site.watch();
      await run(`${datagrams}put(frame() / IPx(4, args['to4']) / u, frame() / IPx(6, args['to6']) / u); settle()`, to);
      assert.deepEqual(brief(await since.arrived('datagram')), ['attacker:4444 datagram', 'attacker:4444 datagram']);
    });

    const others = {
      4: [
        ...['10.11.1.8', otherHost[4], '10.11.1.1', '10.11.2.1', '198.18.0.2', '192.168.50.2', '10.20.0.10', '8.8.8.8'],
        ...['127.0.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.1', '169.254.1.1'],
      ],
      6: [
        ...['fd11:1::8', otherHost[6], 'fd11:1::1', 'fdc0:ffe7:da11::2', '2a01:4f8:50::2', 'fd20::10'],
        ...['fe80::1', '::1', '::', `::ffff:${agentHost[4]}`, 'ff02::1'],
      ],
    };
    for (const family of families)
      test(`another address, of anybody, over IPv${family}`, async () => {
        const since = await site.watch();
        await run(
          `${datagrams}
to = args['to4'] if args['family'] == 4 else args['to6']
Ip = IP if args['family'] == 4 else IPv6
for source in args['sources']:
    put(frame() / Ip(src=source, dst=to) / u, frame() / Ip(src=source, dst=to) / TCP(sport=6000, dport=4444))
settle()
`,
          { ...to, family, sources: others[family] },
        );
        assert.deepEqual(await since.wire(toAttackers), []);
        const said = await since.reasons();
        assert.ok(said.includes('source-spoofed'), said.join());
      });

    test('the hardware address of another, and its own address by another interface', async () => {
      const since = await site.watch();
      await run(
        `${datagrams}
for mac in ('02:00:00:00:00:66', GATEWAY, 'ff:ff:ff:ff:ff:ff'):
    put(Ether(src=mac, dst=GATEWAY) / IPx(4, args['to4']) / u, Ether(src=mac, dst=GATEWAY) / IPx(6, args['to6']) / u)
    put(Ether(src=mac, dst=GATEWAY) / IPx(4, args['to4']) / TCP(sport=6000, dport=4444))
settle()
`,
        to,
      );
      assert.deepEqual(await since.wire(toAttackers), [], 'its hardware address is not its own');
      assert.deepEqual(await since.reasons(), ['source-spoofed']);
      const from = await site.watch();
      for (const family of families) {
        const prefix = `${agentHost[family]}/${family === 4 ? 32 : 128}`;
        // Without `nodad` an address of IPv6 is no source at first.
        const add = ['ip', 'address', 'add', prefix, 'dev', 'eth0', ...(family === 6 ? ['nodad'] : [])];
        assert.equal((await site.exec(add, 'other')).code, 0);
        const sent = `
s = socket.socket(family_of(args['to']), socket.SOCK_DGRAM)
s.bind((args['source'], 6000))
for i in range(3): s.sendto(b'spoofed', (args['to'], 4444))
`;
        await site.other.run(sent, { to: attackerHost[family], source: otherHost[family] });
        await site.other.run(sent, { to: attackerHost[family], source: agentHost[family] });
        await site.exec(['ip', 'address', 'del', prefix, 'dev', 'eth0'], 'other');
      }
      assert.equal((await from.arrived('datagram')).length, 6, 'by its own address it is heard, three times a family');
      assert.deepEqual(await from.reasons(), ['source-spoofed']);
    });

    test('tags and labels in front', async () => {
      const since = await site.watch();
      await run(
        `${datagrams}
inner = IPx(4, args['to4']) / u
for tags in ((5,), (1,), (4095,), (5, 6), (0, 5)):
    head = frame()
    for tag in tags: head = head / Dot1Q(vlan=tag)
    put(head / inner)
put(frame(type=0x88a8) / Dot1Q(vlan=5) / Dot1Q(vlan=6) / inner)
put(frame(type=0x8847) / Raw(b'\\0\\x01\\x01\\xff') / inner, frame(type=0x8864) / Raw(b'\\x11\\0\\0\\x01\\0\\x60\\0\\x21') / inner)
settle()
`,
        to,
      );
      assert.deepEqual(await since.wire(toAttackers), []);
      assert.deepEqual(await since.reasons(), ['vlan-tagged', 'protocol-not-supported']);
    });
  });
};
