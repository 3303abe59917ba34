/**
 * The fast path of a gateway: what long flows carry goes past netfilter and arrives as it would by the long way, nothing else takes it, and where
 * a part of it is taken away it is closed or the long way is gone.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { type Attacker, eventually, freeAttacker } from './attacker.ts';
import { isFlow, lastRecords } from './attempts.ts';
import { containedUnavailable } from './contained.ts';
import { echoed } from './echoed.ts';
import { type GatewayLab, gatewayPolicy, startGatewayLab, worker } from './gateway-lab.ts';

const skip = containedUnavailable();
const metrics = '127.0.0.1:9464';
const toEcho = 'to: [public-internet], web: [named], protocol: tcp, ports: [5000]';
const toSpoke = 'to: [spoke], protocol: tcp, ports: [5000, 5001]';
const spoke = { 4: '10.20.0.20', 6: 'fd20::20' } as const;

/** A connection that is on the fast path, where it is not of a few lines only. */
const begun = `
c = socket.socket(family_of(args['source']), socket.SOCK_STREAM)
c.bind((args['source'], 0))
c.settimeout(4)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
c.connect((args['to'], 5000))
for i in range(args.get('lines', 16)):
    c.sendall(b'line\\n')
    assert c.recv(64) == b'line\\n'
result = c.getsockname()[1]
`;

/** Says lines as fast as they are answered; how many were, since the last look. */
const talking = `
said = [0]
def talk(c, said):
    try:
        while True:
            c.sendall(b'line\\n')
            if not c.recv(64): break
            said[0] += 1
    except OSError as e: said.append(type(e).__name__)
threading.Thread(target=talk, args=(c, said), daemon=True).start()
`;
const answered = `
before = said[0]
time.sleep(args['within'])
result = said[0] - before
`;

/** Frames that come in, with their lifetime and what is behind their headers, where a mark is in them. */
const listening = `
seen = []
def listen():
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    while True:
        frame, where = s.recvfrom(4096)
        if where[2] == socket.PACKET_OUTGOING or b'marked' not in frame: continue
        six = frame[12:14] == b'\\x86\\xdd'
        seen.append([frame[21 if six else 22], frame[frame.index(b'marked'):].hex()])
threading.Thread(target=listen, daemon=True).start()
`;

/** A segment in the flow of \`c\`, by hand: it acknowledges nothing, and its payload lies where the server has read before. */
const segment = `
from scapy.all import IP, TCP, Ether, IPv6
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind(('eth0', 0))
Ip = IPv6 if ':' in args['to'] else IP
life = 'hlim' if ':' in args['to'] else 'ttl'
ip = Ip(src=args['source'], dst=args['to'], **({life: args['life']} if 'life' in args else {}))
tcp = TCP(sport=c.getsockname()[1], dport=5000, flags=args.get('flags', 'A'), seq=1, ack=1, window=100)
frame = bytes(Ether(src=own_mac('eth0'), dst=args['mac']) / ip / tcp / args['payload'].encode()) + args.get('behind', '').encode()
if 'sum' in args:
    # PACKET_VNET_HDR: where the sum begins, and from there where it is to be put (include/uapi/linux/virtio_net.h).
    link.setsockopt(263, 15, 1)
    frame = struct.pack('<BBHHHH', 1, 0, 0, 0, *args['sum']) + frame
for _ in range(args.get('times', 1)): link.send(frame)
`;

/** A server on port 5001 that says back what the first sixteen lines say, and then what it is told to. */
const serving = `
def serve(s):
    global served
    served, _ = s.accept()
    served.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(16): served.sendall(served.recv(64))
s = socket.socket(family_of(args['at']), socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((args['at'], 5001))
s.listen(1)
threading.Thread(target=serve, args=(s,), daemon=True).start()
`;
const saying = `
for _ in range(args['lines']):
    served.sendall(b'said\\n')
    time.sleep(0.05)
`;

describe('the fast path', { skip, timeout: 170_000 }, () => {
  let g: GatewayLab;
  let gateway: LabProcess;
  let agent: Attacker;
  let server: Attacker;
  let mac = '';

  const start = async (): Promise<void> => {
    gateway = await g.start(['--metrics', metrics]);
  };
  const on = async (...argv: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await g.lab.exec('host', argv);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const inside = (...argv: readonly string[]): Promise<string> =>
    on('nsenter', '--net=/run/cofferdam/gateway/gateway/netns', ...argv);

  before(async () => {
    g = await startGatewayLab();
    try {
      await g.write(gatewayPolicy([toEcho, toSpoke]));
      [agent, server] = await Promise.all([freeAttacker(g.lab, g.a), freeAttacker(g.lab, 'spoke')]);
      await start();
      mac = (JSON.parse(await inside('ip', '-j', 'link', 'show', 'eth1')) as { address: string }[])[0]!.address;
      await server.run(listening);
    } catch (e) {
      await g.stop();
      throw e;
    }
  });
  after(() => g?.stop());

  const fastPackets = async (): Promise<number> => {
    // What is told may be a second old.
    await pause(1100);
    const text = await on('curl', '-sS', '-m', '5', `http://${metrics}/metrics`);
    return Number(/^cofferdam_fast_path_packets_total (\d+)$/m.exec(text)?.[1]);
  };

  const bytes = 3_000_000;
  for (const [source, to] of [
    [worker[4], 'echo.example'],
    [worker[6], 'echo.example'],
    [worker[4], spoke[4]],
    [worker[6], spoke[6]],
  ] as const)
    test(`takes what a long flow from ${source} to ${to} carries, and it arrives whole and is counted whole`, async () => {
      const before = await fastPackets();
      assert.equal(await agent.run(echoed, { source, to, port: 5000, bytes }, 20_000), true);
      const fast = (await fastPackets()) - before;
      // Both ways, super-packets of 64 KiB at most.
      assert.ok(fast > (2 * bytes) / 65_536, `${fast} packets`);
      await eventually('the record of its end', async () =>
        lastRecords(await g.records()).some(
          (one) =>
            isFlow(one) &&
            one.source.address.family === (source === worker[4] ? 4 : 6) &&
            one.toDestination.bytes > bytes &&
            one.toAgent.bytes > bytes,
        ),
      );
    });

  for (const family of [4, 6] as const)
    describe(`over IPv${family}`, () => {
      const [source, to] = [worker[family], spoke[family]];
      const marked = (payload: string): string => Buffer.from(payload, 'latin1').toString('hex');
      /** Lifetimes and payloads of what arrived of a segment. */
      const arrived = async (more: object): Promise<readonly (readonly [number, string])[]> => {
        await server.run('seen.clear()');
        await agent.run(segment, { source, to, mac, payload: 'marked', times: 3, ...more });
        await pause(300);
        return server.run('result = seen');
      };

      test('a segment is what the long way makes of it', async () => {
        const before = await fastPackets();
        await agent.run(begun, { source, to, lines: 1 });
        const long = await arrived({ life: 40, times: 1 });
        assert.equal(await fastPackets(), before, 'control: a short flow does not take it');
        await agent.run(begun, { source, to });
        // The packet a second that connection tracking sees.
        await agent.run(`c.sendall(b'wait\\n'); c.recv(64)`);
        assert.deepEqual(long, [[37, marked('marked')]], 'a gateway, the host and a router took one hop each');
        assert.deepEqual(await arrived({ life: 40 }), [long[0], long[0], long[0]]);
        const fast = (await fastPackets()) - before;
        assert.ok(fast >= 3, `control: ${fast} took it`);
      });

      test('to nobody, at the end of its life, with bytes behind it, or as another’s: it is not taken', async () => {
        await agent.run(begun, { source, to });
        await agent.run(`c.sendall(b'wait\\n'); c.recv(64)`);
        assert.deepEqual(await arrived({ mac: '02:00:00:00:00:77' }), [], 'a frame for another host');
        assert.deepEqual(await arrived({ mac: 'ff:ff:ff:ff:ff:ff' }), [], 'a frame for everybody');
        assert.deepEqual(await arrived({ life: 1 }), [], 'a segment that lives no longer');
        assert.deepEqual(await arrived({ source: family === 4 ? '10.11.1.8' : 'fd11:1::8' }), [], 'of no agent');
        for (const [, payload] of await arrived({ payload: 'marked:', behind: 'secret' }))
          assert.equal(payload, marked('marked:'), 'nothing behind the packet goes on');
      });

      test('whose checksum is to be put elsewhere than in its place on the way out is not taken', async () => {
        await agent.run(begun, { source, to });
        const header = 14 + (family === 4 ? 20 : 40);
        const left = async (start: number, offset: number): Promise<number> =>
          (await arrived({ payload: 'marked, and what is behind', sum: [start, offset], times: 1 })).length;
        assert.equal(await left(header, 16), 1, 'control: in its place');
        assert.equal(await left(header, 40), 0, 'in the payload');
        assert.equal(await left(header + 20, 16), 0, 'in the payload, counted from there');
        assert.equal(await left(header, 4), 0, 'in the sequence number');
      });

      test('what answers an agent that says nothing itself comes the long way', async () => {
        const mute =
          'add table inet mute; add chain inet mute out { type filter hook output priority 0; }; add rule inet mute out tcp dport 5001 drop';
        await server.run(serving, { at: to });
        await agent.run(begun.replace('5000', '5001'), { source, to });
        const before = await fastPackets();
        await server.run(saying, { lines: 10 });
        const during = await fastPackets();
        assert.ok(during - before >= 10, 'control: a server that talks to one that answers');
        assert.equal((await g.a.exec(['nft', mute])).code, 0);
        // Two seconds in which nobody asked connection tracking.
        await pause(2200);
        const silent = await fastPackets();
        await server.run(saying, { lines: 10 });
        assert.equal(await fastPackets(), silent);
        assert.equal((await g.a.exec(['nft', 'delete table inet mute'])).code, 0);
        assert.equal(
          await agent.run(`
result = 0
while result < 20 * len('said\\n'): result += len(c.recv(4096))
`),
          20 * 'said\n'.length,
        );
      });

      test('connection tracking forgets what ended, whatever it saw of it', async () => {
        const tracked = async (port: number): Promise<readonly string[]> =>
          (await inside('cat', '/proc/net/nf_conntrack'))
            .split('\n')
            .filter((line) => line.includes(` sport=${port} dport=5000 `));
        const port = await agent.run<number>(begun, { source, to });
        assert.match((await tracked(port)).join('\n'), /ESTABLISHED/, 'control');
        // One that connection tracking does not take for the end, since its checksum is wrong; the server does not either.
        await agent.run(segment.replace('window=100)', 'window=100, chksum=1)'), {
          source,
          to,
          mac,
          payload: '',
          flags: 'R',
        });
        await eventually('the end of the flow', async () => {
          const left = (await tracked(port)).map((line) => Number(/ tcp +6 (\d+) /.exec(line)?.[1]));
          return left.every((seconds) => seconds <= 10);
        });
      });

      test('what a reset ended is ended', async () => {
        await agent.run(begun, { source, to });
        await agent.run(
          `c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); port = c.getsockname()[1]; c.close()`,
        );
        await pause(100);
        const before = await fastPackets();
        await agent.run(segment.replace('c.getsockname()[1]', 'port'), {
          source,
          to,
          mac,
          payload: 'marked',
          times: 3,
        });
        assert.equal((await fastPackets()) - before, 0);
      });
    });

  describe('with no process, where', () => {
    const within = 0.5;
    const lines = (): Promise<number> => agent.run<number>(answered, { within });
    before(async () => {
      await gateway.kill('SIGKILL');
      await gateway.ended;
    });
    after(start);

    test('nothing is missing, it goes on', async () => {
      await agent.run(begun, { source: worker[4], to: spoke[4] });
      await agent.run(talking);
      assert.ok((await lines()) > 100);
    });
    test('the uplink’s program is gone, everything goes the long way', async () => {
      await inside('tc', 'filter', 'del', 'dev', 'up0', 'ingress');
      assert.ok((await lines()) > 100);
    });
    test('the agents’ program is gone too, nothing goes', async () => {
      await inside('tc', 'filter', 'del', 'dev', 'eth1', 'ingress');
      await pause(100);
      assert.equal(await lines(), 0);
    });
  });

  test('a new process goes on with what is left, and puts back what is missing', async () => {
    await agent.run(begun, { source: worker[4], to: spoke[4] });
    await agent.run(talking);
    await inside('tc', 'filter', 'del', 'dev', 'up0', 'ingress');
    await gateway.waitFor(/the program on up0 was gone/);
    const before = await fastPackets();
    assert.ok((await agent.run<number>(answered, { within: 0.3 })) > 50);
    assert.ok((await fastPackets()) - before > 100);
  });

  test('what is no longer permitted ends at once, at full speed', async () => {
    await agent.run(begun, { source: worker[4], to: spoke[4] });
    await agent.run(talking);
    await g.write(gatewayPolicy([toEcho]));
    await gateway.waitFor(/reloaded: 1 rule/);
    await eventually('the end of the connection', async () =>
      (await agent.run<readonly unknown[]>('result = said')).includes('ConnectionResetError'),
    );
  });
});
