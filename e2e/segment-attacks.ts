/**
 * Segments that no honest TCP sends, from a machine that is the agent and hostile: what the gateway read and what the server reads
 * must be the same bytes, whatever the order, overlap, or state in which they come.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DnsMode } from '@cofferdam/plan';
import type { Lab } from '@cofferdam/testkit/lab';
import type { Attacker } from './attacker.ts';
import { carries, denied, forged, permitted, ports, type treatments } from './hello-site.ts';
import { type arrivedAt, denialsOf, fromPort, type Recording } from './recorded.ts';

/** An agent under `helloPolicy`, and recorders at the permitted name. */
export interface SegmentSite {
  readonly mode: DnsMode;
  readonly lab: Lab;
  /** Root in the agent's network. */
  readonly raw: Attacker;
  readonly records: Recording;
  readonly keptAt: ReturnType<typeof arrivedAt>;
  readonly gatewayMac: string;
  /** The agent's addresses, and those it was told for the permitted name. */
  readonly source: Readonly<Record<4 | 6, string>>;
  readonly told: Readonly<Record<4 | 6, string>>;
}

/** For an agent: the addresses that it is told for a name. */
export const toldAddresses = `
kinds = ((4, socket.AF_INET), (6, socket.AF_INET6))
result = {f: socket.getaddrinfo(args['name'], 1, kind, socket.SOCK_STREAM)[0][4][0] for f, kind in kinds}
`;

export type SegmentPlace = readonly [4 | 6, (typeof treatments)[number]];

export const segmentAttacks = (at: () => SegmentSite, places: readonly SegmentPlace[]): void => {
  /** What arrived of the connection from this port of the agent, by connections since the last call. */
  const arrived = async (family: 4 | 6, treatment: SegmentPlace[1]): Promise<readonly string[]> =>
    (await at().keptAt(at().lab.address(permitted, family), ports[treatment])).map(({ data }) => data);
  const reasonsOf = (port: number) => denialsOf(at().records, fromPort(port));
  /** In own mode the proxy ends the connection and begins another with the bytes that it read: there is no second reading of them. */
  const got = (data: readonly string[], expected: readonly string[]): void => {
    if (at().mode !== 'own') assert.deepEqual(data, expected);
    else for (const one of data) assert.ok(!carries(one, denied), one);
  };
  const isDenied = async (port: number, reason: string): Promise<void> => {
    if (at().mode !== 'own') assert.deepEqual(await reasonsOf(port), [reason]);
  };
  const isTold = (heard: readonly string[]): void => {
    if (at().mode !== 'own')
      assert.ok(
        heard.some((flags) => flags.includes('R')),
        'the client is told',
      );
  };

  interface Outcome {
    readonly port: number;
    /** Flags of the segments that came back, in order. */
    readonly heard: readonly string[];
  }
  /** Opens a connection by hand as `c`, then does what the code says; bytes are in `hello` and `other`. */
  const speak = (
    family: 4 | 6,
    treatment: SegmentPlace[1],
    code: string,
    bytes: { readonly hello?: string; readonly other?: string } = {},
  ): Promise<Outcome> =>
    at().raw.run<Outcome>(
      `
hello, other = bytes.fromhex(args['hello']), bytes.fromhex(args['other'])
c = RawTcp(args['to'], args['port'], args['source'], args['mac'])
assert c.open(), 'no connection'
${code}
result = {'port': c.source_port, 'heard': c.heard()}
`,
      {
        to: at().told[family],
        port: ports[treatment],
        source: at().source[family],
        mac: at().gatewayMac,
        hello: bytes.hello ?? forged({ sni: permitted }),
        other: bytes.other ?? forged({ sni: denied }),
      },
    );

  for (const [family, treatment] of places) {
    describe(`over IPv${family}, where the flow ${treatment}`, () => {
      test('in order, and pieces in the wrong order sent again: the server gets the hello once', async () => {
        const hello = forged({ sni: permitted });
        await speak(family, treatment, 'c.send(0, hello)');
        got(await arrived(family, treatment), [hello]);
        await speak(
          family,
          treatment,
          'c.send(100, hello[100:]); c.send(0, hello[:60]); c.send(100, hello[100:]); c.send(50, hello[50:110]); c.send(100, hello[100:])',
        );
        got(await arrived(family, treatment), [hello]);
      });

      test('an overlap that says something else', async () => {
        const sent = await speak(family, treatment, 'c.send(0, hello[:100]); c.send(40, other[40:])');
        await isDenied(sent.port, 'hello-changed');
        got(await arrived(family, treatment), [forged({ sni: permitted }).slice(0, 200)]);
        isTold(sent.heard);
      });

      test('a segment that begins below the first byte, and one that begins below what was judged', async () => {
        await speak(family, treatment, `c.send(-20, b'x' * 20 + other)`);
        got(await arrived(family, treatment), ['']);
        const sent = await speak(family, treatment, `c.send(0, hello[:200]); c.send(150, b'x' * 50 + other[200:])`);
        await isDenied(sent.port, 'hello-changed');
        got(await arrived(family, treatment), [forged({ sni: permitted }).slice(0, 400)]);
      });

      test('another name in a retransmission after the verdict, the first having been lost', async () => {
        const lose = `table inet lose {
            chain in { type filter hook input priority -300; tcp dport { 9001, 9101 } tcp flags & psh == psh meta length > 100 drop
            }
          }`;
        const internet = (input: string) => at().lab.exec('internet', ['nft', '-f', '-'], { input });
        const found = await internet(lose);
        assert.equal(found.code, 0, found.stderr);
        const sent = await speak(family, treatment, 'c.send(0, hello); time.sleep(0.1)').finally(() =>
          internet('delete table inet lose'),
        );
        // The server has nothing of it yet.
        const resend = (bytes: string) =>
          at().raw.run<readonly string[]>(`c.send(0, bytes.fromhex(args['bytes'])); result = c.heard()`, { bytes });
        const heard = await resend(forged({ sni: denied }));
        isTold(heard);
        await isDenied(sent.port, 'hello-changed');
        got(await arrived(family, treatment), ['']);
      });

      /** Ways to make the gateway believe that a connection is over which the server still holds. */
      const endings = {
        'a reset outside the window': `c.send(900000000, b'', 'R')`,
        'urgent data, which is denied': `c.send(at, b'x', 'PAU')`,
      };
      for (const [what, code] of Object.entries(endings)) {
        test(`${what}, and a new beginning in the middle of the old connection`, async () => {
          // The server is to read one hello: the denied name, and then an extension that swallows what the gateway reads.
          const whole = forged({
            sni: denied,
            extensions: [{ type: 21, data: Buffer.from(forged({ sni: permitted }), 'hex') }],
          });
          const start = whole.indexOf(forged({ sni: permitted })) / 2;
          const attack = `
at = ${start}
c.send(0, other[:at])
c.hear(0.5)
${code}
time.sleep(0.05)
c.send(at - 1, b'', 'S', ack=0)
c.hear(0.3)
c.send(at, other[at:])
`;
          await speak(family, treatment, attack, { other: whole });
          for (const data of await arrived(family, treatment)) {
            assert.ok(
              data.length / 2 <= start,
              `${data.length / 2} bytes of ${whole.length / 2} arrived, the name among them`,
            );
          }
        });
      }

      test('a SYN with data, data before the handshake is over, data without a connection', async () => {
        const used = await at().raw.run<readonly number[]>(
          `
result = []
hello = bytes.fromhex(args['hello'])
make = lambda: RawTcp(args['to'], args['port'], args['source'], args['mac'])
c = make(); c.send(-1, hello, 'S', ack=0); c.hear(0.2); c.send(0, hello); result.append(c.source_port)
c = make(); c.send(-1, b'', 'S', ack=0); c.send(0, hello, ack=1); c.send(0, hello, 'P', ack=0); result.append(c.source_port)
c = make(); c.send(0, hello, ack=1); result.append(c.source_port)
c = make(); c.send(0, hello, 'FPU'); c.send(0, hello, '', ack=0); c.send(0, hello, 'SF'); result.append(c.source_port)
time.sleep(0.3)
`,
          {
            to: at().told[family],
            port: ports[treatment],
            source: at().source[family],
            mac: at().gatewayMac,
            hello: forged({ sni: permitted }),
          },
        );
        assert.ok((await reasonsOf(used[0]!)).includes('syn-payload'));
        assert.deepEqual(await reasonsOf(used[2]!), ['not-a-new-flow']);
        assert.ok((await arrived(family, treatment)).every((data) => !carries(data, permitted)));
      });
    });
  }
};
