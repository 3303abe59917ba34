/**
 * What a client can do to its ClientHello so that the gateway reads one name and the server another: none of it works, and honest
 * hellos of any size, cut in any way and over lossy links, go through. Each attack is shown to work where the gateway is not in the way,
 * or on a permit by address, which binds no name.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { AnyRecord, FlowRecord } from '@cofferdam/flows';
import { type ClientHelloOptions, clientHelloStream, type HelloRecordOptions } from '@cofferdam/testkit';
import { type Lab, type LabProcess, startLab } from '@cofferdam/testkit/lab';
import { type Attacker, type ContainedAttacker, containedAttacker, eventually, freeAttacker } from './attacker.ts';
import { containedUnavailable } from './contained.ts';

const policy = `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: prober }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: unbound }
spec: { any: [{ cidr: 45.83.64.10/32 }, { cidr: "2a0e:1d40::10/128" }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: permitted }
spec: { domains: [example.com] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: prober }
spec:
  rules:
    - { name: refuses-ech, action: permit, from: [agents], to: [public-internet], web: [permitted], protocol: tcp, ports: [9099], ech: refuse }
    - { name: waits, action: permit, from: [agents], to: [public-internet], web: [permitted], protocol: tcp, ports: [443, "9000-9098"], tls: required }
    - { name: binds, action: permit, from: [agents], to: [public-internet], web: [permitted], protocol: tcp, ports: ["9100-9199"] }
    - { name: by-address, action: permit, from: [agents], to: [unbound], protocol: tcp, ports: ["9000-9199"] }
`;

/** Shares address and server with `example.com`, and no rule names it. */
const denied = 'www.example.com';
const permitted = 'example.com';
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const forged = (options: ClientHelloOptions & HelloRecordOptions): string => hex(clientHelloStream(options));
const carries = (data: string, text: string): boolean => Buffer.from(data, 'hex').includes(text);

interface Seen {
  readonly data: string;
  readonly end: string;
  readonly port: number;
}
interface Fate {
  readonly end: string;
  readonly data: string;
}

const ports = {
  waits: 9001,
  binds: 9101,
  retryWaits: 9002,
  retryBinds: 9102,
  greets: 9103,
  fastOpen: 9104,
  realRetry: 9005,
  ech: 9099,
} as const;
const treatments = ['waits', 'binds'] as const;
const families = [4, 6] as const;

/** A HelloRetryRequest of RFC 8446 section 4.1.4, with the key share group secp384r1. */
const retryRequest = ((): string => {
  const random = 'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c';
  const extensions = '002b00020304' + '003300020018';
  const body = `0303${random}00130100${(extensions.length / 2).toString(16).padStart(4, '0')}${extensions}`;
  const message = `02${(body.length / 2).toString(16).padStart(6, '0')}${body}`;
  return `160303${(message.length / 2).toString(16).padStart(4, '0')}${message}`;
})();

describe('a hostile ClientHello', { skip: containedUnavailable(), timeout: 170_000 }, () => {
  let lab: Lab;
  let server: Attacker;
  let free: Attacker;
  let behind: Attacker;
  let agent: ContainedAttacker;
  let retry: LabProcess;

  before(async () => {
    lab = await startLab({ daemons: ['resolver', 'resolver2'] });
    await lab.exec('internet', ['sysctl', '-qw', 'net.ipv4.tcp_fastopen=3']);
    server = await freeAttacker(lab, 'internet');
    free = await freeAttacker(lab, 'host');
    behind = await freeAttacker(lab, 'spoke');
    await server.run(
      `
      for address in args['addresses']:
          for port in (9001, 9101, 9099): recorders[address, port] = Recorder(address, port)
          for port in (9002, 9102): recorders[address, port] = Recorder(address, port, answers=[bytes.fromhex(args['retry'])])
          recorders[address, 9103] = Recorder(address, 9103, speak=b'220 hello\\r\\n')
          recorders[address, 9104] = Recorder(address, 9104, fast_open=True)
      `,
      { addresses: [...lab.addresses(permitted), '45.83.64.10', '2a0e:1d40::10'], retry: retryRequest },
    );
    retry = lab.spawn('internet', [
      'openssl',
      's_server',
      ...['-accept', `${lab.address(permitted)}:${ports.realRetry}`, '-groups', 'P-384', '-tls1_3', '-www'],
      ...['-cert', `${lab.ca.directory}/${permitted}.pem`, '-key', `${lab.ca.directory}/leaf.key`],
    ]);
    await retry.waitFor(/ACCEPT/);
    agent = await containedAttacker(lab, { policy, user: 61_234 });
  });
  after(async () => {
    await agent?.stop();
    await lab?.stop();
  });

  /** Connections that a recorder has had since the last call. */
  const taken = new Map<string, number>();
  const arrived = async (address: string, port: number): Promise<readonly Seen[]> => {
    const all = await server.run<Seen[]>(`result = recorders[args['address'], args['port']].seen()`, { address, port });
    const label = `${address} ${port}`;
    const fresh = all.slice(taken.get(label) ?? 0);
    taken.set(label, all.length);
    return fresh;
  };
  const flows = async (): Promise<readonly FlowRecord[]> =>
    (await agent.process.records()).filter((record: AnyRecord): record is FlowRecord => record.kind === 'flow');
  const reasonOf = async (port: number): Promise<string | undefined> => {
    let found: FlowRecord | undefined;
    await eventually(`a record of the denied flow from port ${port}`, async () => {
      found = (await flows()).findLast((record) => record.source.port === port && record.verdict === 'deny');
      return found !== undefined;
    });
    return found?.reason;
  };

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

  describe('honest hellos', () => {
    /** Handshakes and requests with the hello cut as told; the status codes, or what went wrong. */
    const requests = (
      cuts: readonly (readonly number[])[],
      more: { fill?: number; record?: number; family?: 4 | 6 } = {},
    ) =>
      agent.run<string[]>(
        `
        result = []
        for sizes in args['cuts']:
            tls = Tls('example.com', args['fill'])
            hello = records_of(tls.hello, args['record']) if args['record'] else tls.hello
            try:
                s = dial('example.com', 443, args['family'], 20)
                for piece in pieces_of(hello, sizes): s.sendall(piece)
                result.append(str(tls.get(s)))
                s.close()
            except OSError as e:
                result.append(repr(e))
        `,
        {
          cuts,
          fill: more.fill ?? 0,
          record: more.record ?? 0,
          family: more.family === undefined ? 0 : more.family === 6 ? 10 : 2,
        },
        60_000,
      );
    const allSucceed = (outcomes: readonly string[], count: number): void =>
      assert.deepEqual([...new Set(outcomes)], ['200'], `${outcomes.length} of ${count}`);

    test('cut in two at every seventh offset and around the name', async () => {
      const length = await agent.run<number>(`result = len(Tls('example.com').hello)`);
      const at = await agent.run<number>(`result = Tls('example.com').hello.index(b'example.com')`);
      const offsets = new Set(Array.from({ length: Math.floor(length / 7) }, (_, i) => 1 + i * 7));
      for (let i = at - 10; i < at + 13; i += 1) offsets.add(i);
      for (const offset of [1, 2, 3, 4, 5, 6, 9, 43, length - 1]) offsets.add(offset);
      const cuts = [...offsets].filter((offset) => offset > 0 && offset < length).map((offset) => [offset, length]);
      allSucceed(await requests(cuts), cuts.length);
    });

    for (const family of families) {
      test(`one byte a segment, one byte a record, both, and several records, over IPv${family}`, async () => {
        allSucceed(await requests([[1]], { family }), 1);
        allSucceed(await requests([[100_000]], { family, record: 1 }), 1);
        allSucceed(await requests([[1]], { family, record: 1 }), 1);
        allSucceed(await requests([[700], [10, 3, 500]], { family, record: 100 }), 2);
      });
      test(`of 2 KB and 18 KB, whole and in small segments, over IPv${family}`, async () => {
        for (const [fill, least] of [
          [1700, 2000],
          [17_500, 17_800],
        ] as const) {
          assert.ok(
            (await agent.run<number>(`result = len(Tls('example.com', args['fill']).hello)`, { fill })) >= least,
          );
        }
        allSucceed(await requests([[100_000], [1200], [100]], { family, fill: 1700 }), 3);
        allSucceed(await requests([[100_000], [1200], [100]], { family, fill: 17_500 }), 3);
      });
    }

    const lossy = async (
      where: readonly string[],
      enter: (argv: readonly string[], input: string) => Promise<{ code: number; stderr: string }>,
    ) => {
      const chains = where.map(
        (hook) =>
          `chain ${hook} { type filter hook ${hook} priority -300; meta l4proto tcp numgen random mod 100 < 15 drop\n }`,
      );
      const made = await enter(['nft', '-f', '-'], `table inet loss {\n${chains.join('\n')}\n}`);
      assert.equal(made.code, 0, made.stderr);
      return async () => {
        assert.equal((await enter(['nft', 'delete', 'table', 'inet', 'loss'], '')).code, 0);
      };
    };
    const overLoss = async () => {
      allSucceed(await requests(Array.from({ length: 6 }, () => [100_000])), 6);
      allSucceed(await requests([[120], [300]]), 2);
      allSucceed(await requests([[100_000], [1200]], { fill: 1700 }), 2);
    };
    test('with 15 % loss behind the gateway, each way', async () => {
      const undo = await lossy(['input', 'output'], (argv, input) => lab.exec('internet', argv, { input }));
      try {
        await overLoss();
      } finally {
        await undo();
      }
    });
    test('with 15 % loss before the gateway, each way', async () => {
      const undo = await lossy(['input', 'output'], (argv, input) => agent.enter('agent', argv, input));
      try {
        await overLoss();
      } finally {
        await undo();
      }
    });

    test('two hellos, where the server asks for another key share', async () => {
      const seen = await agent.run<{ status: number; flights: number }>(
        `
        tls = Tls('example.com')
        s = dial('example.com', args['port'], socket.AF_INET)
        s.sendall(tls.hello)
        first = s.recv(65536)
        assert bytes.fromhex('cf21ad74e59a6111') in first, first.hex()
        tls.inward.write(first)
        result = {'status': tls.get(s), 'flights': 2}
        `,
        { port: ports.realRetry },
      );
      assert.equal(seen.status, 200);
    });
  });

  describe('hellos of two minds', () => {
    /** Sent to a permit by address first, where they arrive whole: then that they would have been believed is not in doubt. */
    const cases: readonly {
      readonly what: string;
      readonly stream: string;
      readonly reason: Readonly<Record<(typeof treatments)[number], string>>;
    }[] = [
      {
        what: 'the name of another host',
        stream: forged({ sni: denied }),
        reason: { waits: 'name-mismatch', binds: 'name-mismatch' },
      },
      {
        what: 'two names in one list',
        stream: forged({ sni: [permitted, denied] }),
        reason: { waits: 'hello-unreadable', binds: 'hello-unreadable' },
      },
      {
        what: 'two lists of names',
        stream: forged({
          sni: permitted,
          extensions: [{ type: 0, data: Buffer.from(`001200000f${hex(Buffer.from(denied))}`, 'hex') }],
        }),
        reason: { waits: 'hello-unreadable', binds: 'hello-unreadable' },
      },
      {
        what: 'a second hello behind the first in one segment',
        stream: forged({ sni: permitted }) + forged({ sni: denied }),
        reason: { waits: 'hello-unreadable', binds: 'hello-unreadable' },
      },
      {
        what: 'a name with a zero byte',
        stream: forged({ sni: `${permitted}\0.${denied}` }),
        reason: { waits: 'name-unreadable', binds: 'name-unreadable' },
      },
      {
        what: 'one-byte records that exhaust the budget',
        stream: forged({ sni: permitted, keyShareSize: 4000, recordSizes: [1] }),
        reason: { waits: 'hello-unreadable', binds: 'hello-unreadable' },
      },
      {
        what: 'a hello longer than any',
        stream: forged({
          sni: permitted,
          keyShareSize: 19_000,
          extensions: [{ type: 21, data: new Uint8Array(9000) }],
        }),
        reason: { waits: 'hello-unreadable', binds: 'hello-unreadable' },
      },
      {
        what: 'an empty record in the middle',
        stream: forged({ sni: permitted }).slice(0, 200) + forged({ sni: denied }),
        reason: { waits: 'hello-unreadable', binds: 'hello-unreadable' },
      },
    ];
    for (const { what, stream, reason } of cases) {
      test(what, async () => {
        await say(agent, '45.83.64.10', ports.binds, [stream], 4, 0.2);
        const control = await arrived('45.83.64.10', ports.binds);
        assert.equal(control.at(-1)?.data, stream, 'a permit by address takes it whole');
        for (const treatment of treatments) {
          for (const family of families) {
            const whole = await say(agent, permitted, ports[treatment], [stream], family);
            assert.equal(whole.end, 'reset');
            assert.equal(await reasonOf(whole.port), reason[treatment]);
            for (const seen of await arrived(lab.address(permitted, family), ports[treatment])) {
              assert.ok(seen.data.length < stream.length, `${seen.data.length / 2} bytes arrived`);
              assert.ok(!carries(seen.data, denied));
            }
            // In small segments its beginning does pass, as it may: never its end.
            const pieces = stream.match(/.{1,1000}/g)!.flatMap((piece) => [piece.slice(0, 40), piece.slice(40)]);
            const slow = await say(agent, permitted, ports[treatment], pieces.filter(Boolean), family);
            assert.notEqual(slow.end, 'open');
            for (const seen of await arrived(lab.address(permitted, family), ports[treatment])) {
              assert.ok(seen.data.length < stream.length);
            }
          }
        }
      });
    }

    test('another name in the second hello, where the server asks for one', async () => {
      const attack = (port: number, second: string) =>
        agent.run<Fate & { port: number }>(
          `
          s = dial('example.com', args['port'], socket.AF_INET)
          port = s.getsockname()[1]
          s.sendall(bytes.fromhex(args['first']))
          assert bytes.fromhex('cf21ad74e59a6111') in s.recv(65536)
          s.sendall(b'\\x14\\x03\\x03\\x00\\x01\\x01' + bytes.fromhex(args['second']))
          result = {**fate(s, 0.6), 'port': port}
          `,
          { port, first: forged({ sni: permitted }), second },
        );
      const repeated = forged({ sni: permitted, keyShareSize: 97 });
      for (const port of [ports.retryWaits, ports.retryBinds]) {
        assert.equal((await attack(port, repeated)).end, 'open');
        assert.ok((await arrived(lab.address(permitted), port)).at(-1)?.data.endsWith(repeated), 'control');
        const others = [forged({ sni: denied, keyShareSize: 97 }), forged({}), forged({ sni: [permitted, denied] })];
        for (const [i, other] of others.entries()) {
          const sent = await attack(port, other);
          assert.equal(sent.end, 'reset');
          assert.equal(await reasonOf(sent.port), i === 2 ? 'hello-unreadable' : 'name-mismatch');
          assert.equal((await arrived(lab.address(permitted), port)).at(-1)?.data, forged({ sni: permitted }));
        }
      }
    });

    test('an encrypted hello inside a permitted one passes, inside another one does not, and is refused where the rule says so', async () => {
      const real = forged({ sni: permitted, ech: true, grease: true });
      assert.equal((await say(agent, permitted, ports.waits, [real], 4)).end, 'open');
      assert.equal((await arrived(lab.address(permitted), ports.waits)).at(-1)?.data, real);
      const other = await say(agent, permitted, ports.waits, [forged({ sni: denied, ech: true })], 4);
      assert.equal(await reasonOf(other.port), 'name-mismatch');
      const plain = forged({ sni: permitted });
      assert.equal((await say(agent, permitted, ports.ech, [plain], 4)).end, 'open');
      assert.equal((await arrived(lab.address(permitted), ports.ech)).at(-1)?.data, plain);
      const refused = await say(agent, permitted, ports.ech, [real], 4);
      assert.equal(refused.end, 'reset');
      assert.equal(await reasonOf(refused.port), 'ech-refused');
      assert.ok((await arrived(lab.address(permitted), ports.ech)).every(({ data }) => data === ''));
    });

    test('urgent data inside the hello', async () => {
      const attack = (host: string, port: number) =>
        agent.run<Fate & { port: number }>(
          `
          s = dial(args['host'], args['port'], socket.AF_INET)
          hello = bytes.fromhex(args['hello'])
          at = hello.index(b'example.com')
          port = s.getsockname()[1]
          try:
              s.sendall(hello[:at])
              s.send(b'x', socket.MSG_OOB)
              time.sleep(0.05)
              s.sendall(hello[at:])
          except OSError: pass
          result = {**fate(s, 0.6), 'port': port}
          `,
          { host, port, hello: forged({ sni: permitted }) },
        );
      assert.equal((await attack('45.83.64.10', ports.binds)).end, 'open');
      assert.ok(carries((await arrived('45.83.64.10', ports.binds)).at(-1)!.data, permitted), 'control');
      for (const treatment of treatments) {
        const sent = await attack(permitted, ports[treatment]);
        assert.equal(await reasonOf(sent.port), 'urgent-data');
        assert.ok(!carries((await arrived(lab.address(permitted), ports[treatment])).at(-1)!.data, permitted));
      }
    });

    test('payload on the SYN', async () => {
      const attack = async (who: Attacker, host: string): Promise<{ readonly end: string; readonly port: number }> =>
        who.run(
          `
          for turn in (1, 2):
              # The first connection fetches the cookie, the second sends data with its SYN.
              s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
              s.settimeout(3)
              s.bind(('', 0))
              port = s.getsockname()[1]
              try:
                  s.sendto(bytes.fromhex(args['hello']), socket.MSG_FASTOPEN, (socket.gethostbyname(args['host']), args['port']))
                  result = {**fate(s, 0.3), 'port': port}
              except OSError as e:
                  result = {'end': errno.errorcode[e.errno or 0], 'port': port}
              s.close()
          `,
          { host, port: ports.fastOpen, hello: forged({ sni: denied }) },
        );
      const capture = await lab.capture();
      const first = await attack(free, '45.83.64.10');
      assert.equal(first.end, 'open');
      const filter = `tcp[tcpflags] & tcp-syn != 0 and dst port ${ports.fastOpen} and greater 200`;
      await eventually('a SYN with payload, sent freely', async () => (await capture.packets(filter)).length === 1);
      const sent = await attack(agent, permitted);
      assert.notEqual(sent.end, 'open');
      assert.ok((await arrived(lab.address(permitted), ports.fastOpen)).every(({ data }) => !carries(data, denied)));
      assert.equal((await capture.packets(filter)).length, 1, 'none passed the gateway');
      await capture.stop();
    });

    test('TLS after the server has spoken first', async () => {
      const hello = forged({ sni: permitted });
      const attack = (who: Attacker, host: string) =>
        who.run<Fate & { port: number; greeting: string }>(
          `
          s = dial(args['host'], args['port'], socket.AF_INET)
          greeting = s.recv(100)
          port = s.getsockname()[1]
          s.sendall(bytes.fromhex(args['hello']))
          result = {**fate(s, 0.6), 'port': port, 'greeting': greeting.decode()}
          `,
          { host, port: ports.greets, hello },
        );
      assert.equal((await attack(free, '45.83.64.10')).end, 'open');
      assert.equal((await arrived('45.83.64.10', ports.greets)).at(-1)?.data, hello, 'control');
      const sent = await attack(agent, permitted);
      assert.match(sent.greeting, /^220/);
      assert.equal(sent.end, 'reset');
      assert.equal(await reasonOf(sent.port), 'spoke-out-of-turn');
      assert.equal((await arrived(lab.address(permitted), ports.greets)).at(-1)?.data, '');
    });
  });

  describe('bytes that change after they were judged', () => {
    const judged = forged({ sni: permitted, alpn: ['long-enough-to-hold-a-longer-name'] });
    /** As long as that, so that it can take its place: padding (RFC 7685) makes up for the rest. */
    const bare = forged({ sni: denied, extensions: [{ type: 21, data: new Uint8Array() }] });
    const padding = new Uint8Array((judged.length - bare.length) / 2);
    const delivered = forged({ sni: denied, extensions: [{ type: 21, data: padding }] });

    const swapped = (who: Attacker, host: string, port: number, family: 4 | 6) =>
      who.run<Fate & { port: number }>(
        `
        s = dial(args['host'], args['port'], socket.AF_INET6 if args['family'] == 6 else socket.AF_INET)
        port = s.getsockname()[1]
        swap(s, bytes.fromhex(args['judged']), bytes.fromhex(args['delivered']))
        result = {**fate(s, 2), 'port': port}
        s.close()
        `,
        { host, port, family, judged, delivered },
      );

    for (const family of families) {
      test(`a page rewritten before its retransmission, over IPv${family}`, async () => {
        assert.equal(judged.length, delivered.length);
        // Without a gateway, one hop in front of the spoke's server, the page is swapped on its way.
        const control = lab.address('database.internal.example', family);
        await behind.run(`recorders[args['address'], 9101] = Recorder(args['address'], 9101)`, { address: control });
        await swapped(free, control, ports.binds, family);
        const [seen] = await behind.run<Seen[]>(`result = recorders[args['address'], 9101].seen()`, {
          address: control,
        });
        assert.equal(seen?.data, delivered, 'control: the server gets the other name');
        for (const treatment of treatments) {
          const sent = await swapped(agent, permitted, ports[treatment], family);
          assert.equal(await reasonOf(sent.port), 'hello-changed');
          const at = await arrived(lab.address(permitted, family), ports[treatment]);
          assert.deepEqual(
            at.map(({ data }) => data),
            [''],
            'not one byte arrived',
          );
        }
      });
    }
  });

  describe('hellos without an end', () => {
    test('a hello that never ends passes no more than the budget', async () => {
      // A record that announces more and more: 16 KB of one extension, then another.
      const endless = forged({ sni: permitted, keyShareSize: 17_000 }).slice(0, 34_000);
      const sent = await say(agent, permitted, ports.binds, [endless, 'ff'.repeat(8000), 'ff'.repeat(40_000)], 4);
      assert.notEqual(sent.end, 'open');
      assert.equal(await reasonOf(sent.port), 'hello-unreadable');
      assert.ok((await arrived(lab.address(permitted), ports.binds)).at(-1)!.data.length / 2 <= 20_480);
    });

    test('a hello that takes longer than ten seconds', async () => {
      const hello = forged({ sni: permitted });
      await agent.run(
        `
        ports_used, slow = [], []
        for host, port in args['to']:
            s = dial(host, port, socket.AF_INET)
            ports_used.append(s.getsockname()[1])
            slow.append(s)
        `,
        { to: [...treatments.map((treatment) => [permitted, ports[treatment]]), ['45.83.64.10', ports.binds]] },
      );
      const used = await agent.run<number[]>('result = ports_used');
      const ends = await agent.run<string[]>(
        `
        hello = bytes.fromhex(args['hello'])
        ends = ['open'] * 3
        for at in range(0, 12):
            for i, s in enumerate(slow):
                if ends[i] != 'open': continue
                try: s.sendall(hello[at * 4:at * 4 + 4])
                except OSError as e: ends[i] = errno.errorcode[e.errno]
            time.sleep(1)
        for i, s in enumerate(slow):
            try: s.sendall(hello[48:])
            except OSError as e: ends[i] = errno.errorcode[e.errno]
            if ends[i] == 'open': ends[i] = fate(s, 0.5)['end']
        result = ends
        `,
        { hello },
      );
      assert.equal(ends[2], 'open', 'unbound, it may take its time');
      for (const [i, treatment] of treatments.entries()) {
        assert.notEqual(ends[i], 'open');
        assert.equal(await reasonOf(used[i]!), 'undecided-timeout');
        assert.ok((await arrived(lab.address(permitted), ports[treatment])).at(-1)!.data.length / 2 < 48);
      }
    });
  });
});
