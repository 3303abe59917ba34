/**
 * Segments that no honest TCP sends, from a machine that is the agent and hostile: what the gateway read and what the server reads
 * must be the same bytes, whatever the order, overlap, or state in which they come.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type ClientHelloOptions, clientHelloStream } from '@cofferdam/testkit';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { type Attacker, type ContainedAttacker, containedAttacker, eventually, freeAttacker } from './attacker.ts';
import { containedUnavailable } from './contained.ts';
import { arrivedAt, denialsOf, fromPort, record } from './recorded.ts';

const policy = agentPolicy({
  web: { permitted: ['example.com'] },
  rules: [
    'web: [permitted], protocol: tcp, ports: ["9000-9099"], tls: required',
    'web: [permitted], protocol: tcp, ports: ["9100-9199"]',
  ],
});
const permitted = 'example.com';
const denied = 'www.example.com';
const ports = { waits: 9001, binds: 9101 } as const;
const treatments = ['waits', 'binds'] as const;
const families = [4, 6] as const;
const gatewayMac = '02:cf:fd:00:00:01';
const agentAddress = { 4: '198.18.0.2', 6: 'fdc0:ffe7:da11::2' } as const;

const forged = (options: ClientHelloOptions): string => Buffer.from(clientHelloStream(options)).toString('hex');
const carries = (data: string, text: string): boolean => Buffer.from(data, 'hex').includes(text);

describe('segments by hand', { skip: containedUnavailable(), timeout: 150_000 }, () => {
  let lab: Lab;
  let keptAt: ReturnType<typeof arrivedAt>;
  let free: Attacker;
  let agent: ContainedAttacker;
  let raw: Attacker;
  const synthetic = new Map<4 | 6, string>();

  before(async () => {
    lab = await startLab({ daemons: ['resolver', 'resolver2'] });
    const server = await freeAttacker(lab, 'internet');
    free = await freeAttacker(lab, 'host');
    await record(server, lab.addresses(permitted), Object.values(ports));
    keptAt = arrivedAt(server);
    agent = await containedAttacker(lab, { policy });
    for (const family of families) {
      const at = await agent.run<string>(
        `result = socket.getaddrinfo('example.com', 1, args['family'], socket.SOCK_STREAM)[0][4][0]`,
        { family: family === 4 ? 2 : 10 },
      );
      synthetic.set(family, at);
    }
    raw = await agent.rawAttacker();
    await raw.run('quiet()');
    await free.run('quiet()');
  });
  after(async () => {
    await agent?.stop();
    await lab?.stop();
  });

  /** What arrived of the connection from this port of the agent, by connections since the last call. */
  const arrived = async (
    family: 4 | 6,
    treatment: (typeof treatments)[number],
    keep?: 'keep',
  ): Promise<readonly string[]> =>
    (await keptAt(lab.address(permitted, family), ports[treatment], keep)).map(({ data }) => data);
  const reasonsOf = (port: number) => denialsOf(agent, fromPort(port));

  interface Outcome {
    readonly port: number;
    /** Flags of the segments that came back, in order. */
    readonly heard: readonly string[];
  }
  /** Opens a connection by hand as `c`, then does what the code says; bytes are in `hello` and `other`. */
  const speak = (
    family: 4 | 6,
    treatment: (typeof treatments)[number],
    code: string,
    bytes: { readonly hello?: string; readonly other?: string } = {},
  ): Promise<Outcome> =>
    raw.run<Outcome>(
      `
hello, other = bytes.fromhex(args['hello']), bytes.fromhex(args['other'])
c = RawTcp(args['to'], args['port'], args['source'], args['mac'])
assert c.open(), 'no connection'
${code}
result = {'port': c.source_port, 'heard': c.heard()}
`,
      {
        to: synthetic.get(family),
        port: ports[treatment],
        source: agentAddress[family],
        mac: gatewayMac,
        hello: bytes.hello ?? forged({ sni: permitted }),
        other: bytes.other ?? forged({ sni: denied }),
      },
    );

  for (const family of families) {
    for (const treatment of treatments) {
      describe(`over IPv${family}, where the flow ${treatment}`, () => {
        test('in order, and pieces in the wrong order sent again: the server gets the hello once', async () => {
          const hello = forged({ sni: permitted });
          await speak(family, treatment, 'c.send(0, hello)');
          assert.deepEqual(await arrived(family, treatment), [hello]);
          await speak(
            family,
            treatment,
            'c.send(100, hello[100:]); c.send(0, hello[:60]); c.send(100, hello[100:]); c.send(50, hello[50:110]); c.send(100, hello[100:])',
          );
          assert.deepEqual(await arrived(family, treatment), [hello]);
        });

        test('an overlap that says something else', async () => {
          const sent = await speak(family, treatment, 'c.send(0, hello[:100]); c.send(40, other[40:])');
          assert.deepEqual(await reasonsOf(sent.port), ['hello-changed']);
          const [data] = await arrived(family, treatment);
          assert.equal(data, forged({ sni: permitted }).slice(0, 200));
          assert.ok(
            sent.heard.some((flags) => flags.includes('R')),
            'the client is told',
          );
        });

        test('a segment that begins below the first byte, and one that begins below what was judged', async () => {
          await speak(family, treatment, `c.send(-20, b'x' * 20 + other)`);
          assert.deepEqual(await arrived(family, treatment), ['']);
          const sent = await speak(family, treatment, `c.send(0, hello[:200]); c.send(150, b'x' * 50 + other[200:])`);
          assert.deepEqual(await reasonsOf(sent.port), ['hello-changed']);
          assert.equal((await arrived(family, treatment))[0], forged({ sni: permitted }).slice(0, 400));
        });

        test('another name in a retransmission after the verdict, the first having been lost', async () => {
          const lose = `table inet lose {
            chain in { type filter hook input priority -300; tcp dport { 9001, 9101 } tcp flags & psh == psh meta length > 100 drop
            }
          }`;
          const internet = (input: string) => lab.exec('internet', ['nft', '-f', '-'], { input });
          const found = await internet(lose);
          assert.equal(found.code, 0, found.stderr);
          const sent = await speak(family, treatment, 'c.send(0, hello); time.sleep(0.1)').finally(() =>
            internet('delete table inet lose'),
          );
          // The server has nothing of it yet.
          const resend = (bytes: string) =>
            raw.run<readonly string[]>(`c.send(0, bytes.fromhex(args['bytes'])); result = c.heard()`, { bytes });
          const heard = await resend(forged({ sni: denied }));
          assert.ok(heard.some((flags) => flags.includes('R')));
          assert.deepEqual(await reasonsOf(sent.port), ['hello-changed']);
          assert.deepEqual(await arrived(family, treatment), ['']);
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
            const at = whole.indexOf(forged({ sni: permitted })) / 2;
            const attack = `
at = ${at}
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
                data.length / 2 <= at,
                `${data.length / 2} bytes of ${whole.length / 2} arrived, the name among them`,
              );
            }
          });
        }

        test('a SYN with data, data before the handshake is over, data without a connection', async () => {
          const ports = await raw.run<readonly number[]>(
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
              to: synthetic.get(family),
              port: treatment === 'waits' ? 9001 : 9101,
              source: agentAddress[family],
              mac: gatewayMac,
              hello: forged({ sni: permitted }),
            },
          );
          assert.ok((await reasonsOf(ports[0]!)).includes('syn-payload'));
          assert.deepEqual(await reasonsOf(ports[2]!), ['not-a-new-flow']);
          assert.ok((await arrived(family, treatment)).every((data) => !carries(data, permitted)));
        });
      });
    }
  }

  test('without a gateway, a new beginning in the middle of a connection is ignored by the server', async () => {
    const whole = forged({ sni: denied });
    const address = lab.address(permitted);
    await free.run(
      `
from scapy.all import getmacbyip
other = bytes.fromhex(args['other'])
c = RawTcp(args['to'], 9101, args['source'], getmacbyip('192.168.50.1'))
assert c.open(), 'no connection'
c.send(0, other[:50]); c.hear(0.5)
c.send(900000000, b'', 'R'); c.send(49, b'', 'S', ack=0); c.hear(0.3)
c.send(50, other[50:]); c.hear(0.3)
`,
      { to: address, source: lab.host4, other: whole },
    );
    await eventually('the whole stream at the server', async () => (await arrived(4, 'binds', 'keep')).includes(whole));
  });
});
