/**
 * What a client can write into its ClientHello so that the gateway reads one name and the server another: none of it works. Each
 * attack is shown to work where the gateway is not in the way, or on a permit by address, which binds no name.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Attacker, eventually } from './attacker.ts';
import {
  carries,
  denied,
  type Fate,
  families,
  forged,
  type HelloSite,
  hex,
  permitted,
  ports,
  reasonIn,
  treatments,
} from './hello-site.ts';

export const helloAttacks = (at: () => HelloSite): void => {
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
        await at().say(at().agent, '45.83.64.10', ports.unbound, [stream], 4, 0.2);
        const control = await at().arrived('45.83.64.10', ports.unbound);
        assert.equal(control.at(-1)?.data, stream, 'a permit by address takes it whole');
        for (const treatment of treatments) {
          for (const family of families) {
            const whole = await at().say(at().agent, permitted, ports[treatment], [stream], family);
            assert.equal(whole.end, 'reset');
            assert.equal(await at().reasonOf(whole.port), reasonIn(at(), reason[treatment]));
            for (const seen of await at().arrived(at().lab.address(permitted, family), ports[treatment])) {
              assert.ok(seen.data.length < stream.length, `${seen.data.length / 2} bytes arrived`);
              assert.ok(!carries(seen.data, denied));
            }
            // In small segments its beginning does pass, as it may: never its end.
            const pieces = stream.match(/.{1,1000}/g)!.flatMap((piece) => [piece.slice(0, 40), piece.slice(40)]);
            const slow = await at().say(at().agent, permitted, ports[treatment], pieces.filter(Boolean), family);
            assert.notEqual(slow.end, 'open');
            for (const seen of await at().arrived(at().lab.address(permitted, family), ports[treatment])) {
              assert.ok(seen.data.length < stream.length);
            }
          }
        }
      });
    }

    test('another name in the second hello, where the server asks for one', async () => {
      const attack = (port: number, second: string) =>
        at().agent.run<Fate & { port: number }>(
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
        assert.ok((await at().arrived(at().lab.address(permitted), port)).at(-1)?.data.endsWith(repeated), 'control');
        const others = [forged({ sni: denied, keyShareSize: 97 }), forged({}), forged({ sni: [permitted, denied] })];
        for (const [i, other] of others.entries()) {
          const sent = await attack(port, other);
          assert.equal(sent.end, 'reset');
          assert.equal(await at().reasonOf(sent.port), i === 2 ? 'hello-unreadable' : 'name-mismatch', `the ${i + 1}.`);
          assert.equal(
            (await at().arrived(at().lab.address(permitted), port)).at(-1)?.data,
            forged({ sni: permitted }),
          );
        }
      }
    });

    test('an encrypted hello inside a permitted one passes, inside another one does not, and is refused where the rule says so', async () => {
      const real = forged({ sni: permitted, ech: true, grease: true });
      assert.equal((await at().say(at().agent, permitted, ports.waits, [real], 4)).end, 'open');
      assert.equal((await at().arrived(at().lab.address(permitted), ports.waits)).at(-1)?.data, real);
      const other = await at().say(at().agent, permitted, ports.waits, [forged({ sni: denied, ech: true })], 4);
      assert.equal(await at().reasonOf(other.port), reasonIn(at(), 'name-mismatch'));
      const plain = forged({ sni: permitted });
      assert.equal((await at().say(at().agent, permitted, ports.ech, [plain], 4)).end, 'open');
      assert.equal((await at().arrived(at().lab.address(permitted), ports.ech)).at(-1)?.data, plain);
      const refused = await at().say(at().agent, permitted, ports.ech, [real], 4);
      assert.equal(refused.end, 'reset');
      assert.equal(await at().reasonOf(refused.port), 'ech-refused');
      assert.ok((await at().arrived(at().lab.address(permitted), ports.ech)).every(({ data }) => data === ''));
    });

    test('urgent data inside the hello', async () => {
      const attack = (host: string, port: number) =>
        at().agent.run<Fate & { port: number }>(
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
      assert.equal((await attack('45.83.64.10', ports.unbound)).end, 'open');
      assert.ok(carries((await at().arrived('45.83.64.10', ports.unbound)).at(-1)!.data, permitted), 'control');
      for (const treatment of treatments) {
        const sent = await attack(permitted, ports[treatment]);
        const kept = await at().arrived(at().lab.address(permitted), ports[treatment]);
        if (at().mode === 'own') {
          // The proxy reads what is not urgent, and sends that.
          assert.ok(kept.every(({ data }) => data === forged({ sni: permitted })));
          continue;
        }
        assert.equal(await at().reasonOf(sent.port), 'urgent-data');
        assert.ok(!carries(kept.at(-1)!.data, permitted));
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
      const capture = await at().lab.capture();
      const first = await attack(at().free, '45.83.64.10');
      assert.equal(first.end, 'open');
      const filter = `tcp[tcpflags] & tcp-syn != 0 and dst port ${ports.fastOpen} and greater 200`;
      await eventually('a SYN with payload, sent freely', async () => (await capture.packets(filter)).length === 1);
      const sent = await attack(at().agent, permitted);
      assert.notEqual(sent.end, 'open');
      assert.ok(
        (await at().arrived(at().lab.address(permitted), ports.fastOpen)).every(({ data }) => !carries(data, denied)),
      );
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
      assert.equal((await attack(at().free, '45.83.64.10')).end, 'open');
      assert.equal((await at().arrived('45.83.64.10', ports.greets)).at(-1)?.data, hello, 'control');
      if (at().mode !== 'synthetic') {
        // A client that says nothing before its server claims no name, and what it could be told is not told.
        const told = await at().agent.attempt(
          `result = dial('example.com', args['port'], socket.AF_INET, 1).recv(100).hex()`,
          { port: ports.greets },
        );
        assert.ok('error' in told || told.value === '', JSON.stringify(told));
        return;
      }
      const sent = await attack(at().agent, permitted);
      assert.match(sent.greeting, /^220/);
      assert.equal(sent.end, 'reset');
      assert.equal(await at().reasonOf(sent.port), 'spoke-out-of-turn');
      assert.equal((await at().arrived(at().lab.address(permitted), ports.greets)).at(-1)?.data, '');
    });
  });
};
