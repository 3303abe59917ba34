/**
 * Clients that want the kernel to judge one hello and the server to read another: retransmissions, overlaps, urgent bytes, second hellos, and
 * everything else that makes the bytes judged differ from the bytes delivered. Each is tried where the permit rests on the address name and
 * where the flow waits for what its client says.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { bootTime, eventKind, flowState } from '@cofferdam/datapath';
import {
  type ClientHelloOptions,
  clientHelloStream,
  contextOf,
  address as ip,
  name,
  permit,
  policyOf,
  smartGroup,
  type TcpWords,
  tcpHeaderAndPayload,
  webGroup,
} from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import {
  Connection,
  helloRetryRequest,
  type KernelLab,
  kernelUnavailable,
  loadedPlan,
  openKernelLab,
  plainServerHello,
  type Sent,
} from './kernel-lab.ts';

const skip = kernelUnavailable();
const good = 'api.example.com';
const evil = 'www.evil.example';
const hello = (sni = good, more: ClientHelloOptions = {}): Uint8Array => clientHelloStream({ sni, ...more });
const changed = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
const changeCipherSpec = Uint8Array.of(20, 3, 3, 0, 1, 1);
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
/** user_canceled as a warning, which TLS 1.3 servers step over. */
const ignoredAlert = Uint8Array.of(21, 3, 3, 0, 2, 1, 90);
const text = (value: string): Uint8Array => Uint8Array.from(value, (c) => c.charCodeAt(0));

const web = [webGroup('api', [good])];
const treatments = {
  'the permit rests on the name': policyOf([permit({ web: ['api'], ports: ['443'] })], { web }),
  'the flow waits': policyOf([permit({ tls: 'required', ports: ['443'] })], { web }),
} as const;
const recorded = policyOf([permit({ ports: ['443'] })]);
const monitored = policyOf([], { smart: [smartGroup('all', ['cidr:10.11.0.0/16'], 'monitor')] });

let lab: KernelLab;
let port = 0;
const pool = ip('198.18.1.1');
const connect = (on = lab): Connection => {
  port = (port + 1) % 40_000;
  const ends = { source: ip('10.11.1.7'), destination: pool, sourcePort: 1024 + port, destinationPort: 443 };
  return new Connection(on, ends, (0xffff_ffb0 + port * 13) >>> 0);
};
const opened = (on = lab): Connection => {
  const connection = connect(on);
  assert.equal(connection.open().outcome, 'pass');
  return connection;
};
const use = (policy: typeof recorded, on = lab): void => {
  on.forgetAll();
  on.apply(loadedPlan(policy, contextOf(policy)));
  on.install(name(good), [pool], [ip('93.184.216.34')]);
};
const reasonOf = (connection: Connection): string => reasonFromNumber(connection.flow?.reason ?? 0);
const denied = (connection: Connection, sent: Sent, reason: string): void => {
  assert.equal(sent.outcome, 'reject');
  assert.equal(reasonOf(connection), reason);
  assert.equal(connection.flow?.state, flowState.denied);
  const event = sent.events.find(({ kind }) => kind === eventKind.verdict);
  assert.equal(reasonFromNumber(event?.flow.reason ?? 0), reason, 'the denial is told');
  assert.equal(connection.flow?.slot, 0, 'its hello was given back');
};

describe('hostile clients', { skip }, () => {
  before(() => {
    lab = openKernelLab();
  });
  after(() => lab?.close());
  const inLab = (work: () => void) => () => lab.inside(work);

  for (const [treatment, policy] of Object.entries(treatments))
    describe(treatment, () => {
      before(() => use(policy));

      test(
        'an honest client passes, its retransmissions too, and the server answers it',
        inLab(() => {
          const c = opened();
          const bytes = hello();
          assert.equal(c.sayAll(bytes, 90).outcome, 'pass');
          assert.equal(c.say(bytes.subarray(0, 90), 0).outcome, 'pass');
          assert.equal(c.say(bytes, 0).outcome, 'pass');
          assert.equal(c.answer(plainServerHello).outcome, 'none');
          assert.equal(c.flow?.state, flowState.permitted);
          assert.equal(c.flow?.slot, 0);
          assert.equal(c.say(text('anything')).outcome, 'pass');
        }),
      );

      test(
        'other bytes sent again, before the verdict and behind it',
        inLab(() => {
          const bytes = hello();
          for (const at of [0, 5, 43, 99]) {
            const c = opened();
            c.say(bytes.subarray(0, 100));
            denied(c, c.say(changed(bytes, at).subarray(0, 100), 0), 'hello-changed');
          }
          for (const at of [0, bytes.length - 1, 120]) {
            const c = opened();
            c.say(bytes);
            denied(c, c.say(changed(bytes, at), 0), 'hello-changed');
          }
          const c = opened();
          c.say(bytes);
          denied(c, c.say(hello(evil).subarray(0, bytes.length), 0), 'hello-changed');
        }),
      );

      test(
        'overlaps: the same bytes pass, others deny, and nothing begins below the first byte',
        inLab(() => {
          const bytes = hello();
          const c = opened();
          c.say(bytes.subarray(0, 100));
          assert.equal(c.say(bytes.subarray(60, 160), 60).outcome, 'pass');
          assert.equal(c.say(bytes.subarray(0, 30), 0).outcome, 'pass');
          assert.equal(c.say(bytes.subarray(160), 160).outcome, 'pass');
          const d = opened();
          d.say(bytes.subarray(0, 100));
          denied(d, d.say(changed(bytes, 99).subarray(60, 160), 60), 'hello-changed');
          const e = opened();
          assert.equal(e.say(joined(new Uint8Array(5), bytes), -5).outcome, 'dropped');
          assert.equal(e.say(bytes, 0).outcome, 'pass');
          assert.equal(e.say(joined(new Uint8Array(5), hello(evil)), -5).outcome, 'dropped');
          assert.equal(e.flow?.state, flowState.binding);
        }),
      );

      test(
        'out of order: what comes early is dropped and comes again',
        inLab(() => {
          const bytes = hello();
          const c = opened();
          assert.equal(c.say(bytes.subarray(100), 100).outcome, 'dropped');
          assert.equal(c.say(bytes.subarray(0, 100), 0).outcome, 'pass');
          assert.equal(c.say(bytes.subarray(101), 101).outcome, 'dropped');
          assert.equal(c.say(bytes.subarray(100), 100).outcome, 'pass');
          assert.equal(c.flow?.tls.state, 'known');
        }),
      );

      test(
        'bytes behind the hello: in its segment denied, in the next dropped, once the server answered passed',
        inLab(() => {
          const bytes = hello();
          const c = opened();
          denied(c, c.say(joined(bytes, Uint8Array.of(23, 3, 3, 0, 1, 0))), 'hello-unreadable');
          const d = opened();
          d.say(bytes);
          assert.equal(d.say(hello(evil), bytes.length).outcome, 'dropped');
          d.acknowledge((d.base + bytes.length) >>> 0);
          assert.equal(d.say(hello(evil), bytes.length).outcome, 'dropped');
          assert.equal(d.flow?.state, flowState.binding);
          d.answer(plainServerHello);
          assert.equal(d.say(text('finished'), bytes.length).outcome, 'pass');
        }),
      );

      test(
        'payload on the SYN, urgent data, and an urgent pointer without data',
        inLab(() => {
          const c = connect();
          const sent = c.syn({ payload: hello() });
          assert.equal(sent.outcome, 'reject');
          assert.equal(reasonFromNumber(sent.events[0]!.flow.reason), 'syn-payload');
          const urgent: TcpWords = { flags: 'PAU', urgent: 3 };
          const d = opened();
          denied(d, d.say(hello(), 0, urgent), 'urgent-data');
          const e = opened();
          e.say(hello().subarray(0, 50));
          denied(e, e.agent({ flags: 'AU', urgent: 60, sequence: e.next, acknowledgement: e.serverNext }), 'urgent-data');
          const f = opened();
          f.say(hello());
          denied(f, f.agent({ flags: 'AU', urgent: 1, sequence: f.base, acknowledgement: f.serverNext }), 'urgent-data');
        }),
      );

      test(
        'a second name, an endless hello, and hellos that spend every budget',
        inLab(() => {
          const denies = (bytes: Uint8Array, size = 1400): void => {
            const c = opened();
            denied(c, c.sayAll(bytes, size), 'hello-unreadable');
          };
          denies(clientHelloStream({ sni: [good, evil] }));
          denies(hello(good, { extensions: [{ type: 0, data: Uint8Array.of(0, 5, 0, 0, 2, 97, 98) }] }));
          denies(Uint8Array.of(22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff, 3, 3));
          denies(hello(good, { keyShareSize: 20_000, ech: 3000 }));
          denies(clientHelloStream({ sni: good, keyShareSize: 4000, recordSizes: [1] }));
          denies(joined(hello().subarray(0, 60), new Uint8Array(0), Uint8Array.of(255, 255), new Uint8Array(400)));
        }),
      );

      const retry = (second: Uint8Array, answer = helloRetryRequest): { c: Connection; sent: Sent } => {
        const c = opened();
        c.say(hello());
        assert.equal(c.answer(answer).outcome, 'none');
        return { c, sent: c.sayAll(second, 70) };
      };
      test(
        'a second hello that the server asked for repeats the name',
        inLab(() => {
          for (const second of [hello(), joined(changeCipherSpec, hello()), hello('API.EXAMPLE.COM', { grease: true })]) {
            const { c, sent } = retry(second);
            assert.equal(sent.outcome, 'pass');
            assert.equal(c.answer(plainServerHello).outcome, 'none');
            assert.equal(c.flow?.state, flowState.permitted);
          }
          for (const second of [hello(evil), joined(changeCipherSpec, hello(evil)), clientHelloStream({})])
            denied(...pair(retry(second)), 'name-mismatch');
          for (const second of [
            joined(ignoredAlert, hello(evil)),
            joined(Uint8Array.of(23, 3, 3, 0, 1, 0), hello(evil)),
            joined(changeCipherSpec, changeCipherSpec, hello(evil)),
            Uint8Array.of(22, 3, 3, 0, 4, 16, 0, 0, 0),
            text('GET / HTTP/1.1\r\n'),
          ])
            denied(...pair(retry(second)), 'hello-unreadable');
        }),
      );
      test(
        'a second hello is kept like the first',
        inLab(() => {
          const first = hello();
          const { c } = retry(hello());
          denied(c, c.say(changed(hello(), 100), first.length), 'hello-changed');
          const { c: d } = retry(hello().subarray(0, 100));
          denied(d, d.say(changed(hello(), 20).subarray(0, 100), first.length), 'hello-changed');
          // What the server has acknowledged it will not read again.
          const { c: e } = retry(hello());
          assert.equal(e.say(changed(first, 3), 0).outcome, 'dropped');
        }),
      );
      test(
        'a server that may have asked, and one that did not',
        inLab(() => {
          // TLS 1.2 whose first flight comes in small pieces: the client goes on with another handshake message.
          const { c, sent } = retry(Uint8Array.of(22, 3, 3, 0, 4, 16, 0, 0, 0), plainServerHello.subarray(0, 20));
          assert.equal(sent.outcome, 'pass');
          assert.equal(c.flow?.state, flowState.binding);
          denied(...pair(retry(hello(evil), plainServerHello.subarray(0, 20))), 'name-mismatch');
          // Before it has all of the hello, what it says does not count as an answer to it.
          const d = opened();
          d.say(hello());
          const early = { acknowledgement: d.base };
          assert.equal(d.answer(helloRetryRequest, early).outcome, 'dropped');
          denied(d, d.say(changed(hello(), 60), 0), 'hello-changed');
        }),
      );

      test(
        'early data passes behind a hello that announces it, and not where the server asks for a second hello',
        inLab(() => {
          const bytes = hello(good, { earlyData: true });
          const c = opened();
          assert.equal(c.say(joined(bytes, Uint8Array.of(23, 3, 3, 0, 2, 1, 2))).outcome, 'pass');
          assert.equal(c.say(Uint8Array.of(23, 3, 3, 0, 1, 1)).outcome, 'pass');
          assert.equal(c.answer(plainServerHello).outcome, 'none');
          assert.equal(c.flow?.state, flowState.permitted);
          const d = opened();
          d.say(bytes);
          d.say(hello(evil));
          assert.equal(d.answer(helloRetryRequest).outcome, 'dropped');
          assert.equal(d.flow?.state, flowState.denied);
          assert.equal(d.say(text('x')).outcome, 'reject');
        }),
      );

      test(
        'ten seconds after the first byte it is over',
        inLab(() => {
          const c = opened();
          const bytes = hello();
          c.say(bytes.subarray(0, 50));
          lab.poke(c.ends, 'tcp', 'first_byte', bootTime() - 9_000_000_000n);
          assert.equal(c.say(bytes.subarray(50, 60)).outcome, 'pass');
          lab.poke(c.ends, 'tcp', 'first_byte', bootTime() - 10_100_000_000n);
          denied(c, c.say(bytes.subarray(60, 70)), 'undecided-timeout');
        }),
      );

      test(
        'two flows whose segments come by turns',
        inLab(() => {
          const [c, d] = [opened(), opened()];
          const bytes = hello();
          const other = hello(evil);
          for (let at = 0; at < bytes.length; at += 50) {
            assert.equal(c.say(bytes.subarray(at, at + 50)).outcome, 'pass');
            if (at < 150) assert.equal(d.say(other.subarray(at, at + 50)).outcome, 'pass');
          }
          const sent = d.say(other.subarray(150));
          if (treatment === 'the flow waits') assert.equal(sent.outcome, 'pass');
          else denied(d, sent, 'name-mismatch');
          assert.equal(c.flow?.tls.state, 'known');
        }),
      );

      test(
        'a new SYN over a connection that the server still holds gets no bytes through',
        inLab(() => {
          const c = opened();
          c.say(hello(evil).subarray(0, 120));
          // The server ignores this reset, whose sequence number is not the one it expects.
          assert.equal(c.agent({ flags: 'R', sequence: (c.next + 5000) >>> 0 }).outcome, 'pass');
          const again = new Connection(lab, c.ends, (c.isn - 7) >>> 0);
          assert.equal(again.syn().outcome, 'pass');
          assert.equal(again.say(hello()).outcome, 'dropped');
          // The server answers the SYN with an acknowledgement of what it has, not with a SYN of its own.
          again.server({ flags: 'A', sequence: c.serverNext, acknowledgement: c.next });
          assert.equal(again.say(hello(), 0).outcome, 'dropped');
          assert.equal(again.server({ flags: 'SA', sequence: c.serverIsn, acknowledgement: c.base }).outcome, 'dropped');
          assert.equal(again.say(hello(), 0).outcome, 'dropped');
          again.synAck();
          assert.equal(again.say(hello(), 0).outcome, 'pass');
        }),
      );

      test(
        'resets with payload, and bytes before the server answered the SYN',
        inLab(() => {
          const c = opened();
          assert.equal(c.agent({ flags: 'R', sequence: c.next, payload: text('secret') }).outcome, 'dropped');
          const d = connect();
          d.syn();
          assert.equal(d.say(hello()).outcome, 'dropped');
          d.synAck();
          assert.equal(d.say(hello(), 0).outcome, 'pass');
        }),
      );

      test(
        'the server speaks first: then TLS and HTTP are out of turn, another protocol is not',
        inLab(() => {
          const speaksFirst = (): Connection | undefined => {
            const c = opened();
            const { outcome } = c.answer(text('220 ready\r\n'));
            if (treatment === 'the flow waits') {
              assert.equal(outcome, 'dropped');
              assert.equal(reasonOf(c), 'no-rule');
              return undefined;
            }
            assert.equal(outcome, 'none');
            return c;
          };
          const c = speaksFirst();
          if (c === undefined) return;
          denied(c, c.say(hello()), 'spoke-out-of-turn');
          const d = speaksFirst()!;
          denied(d, d.say(text('GET / HTTP/1.1\r\n')), 'spoke-out-of-turn');
          const e = speaksFirst()!;
          assert.equal(e.say(text('EHLO me\r\n')).outcome, 'pass');
          assert.equal(e.say(hello(), 9).outcome, 'pass'); // STARTTLS is the other protocol's
        }),
      );

      test(
        'multipath TCP is taken off the SYN, and the checksum still holds',
        inLab(() => {
          const option = (...bytes: number[]) => Uint8Array.from(bytes);
          for (const tcpOptions of [
            option(2, 4, 5, 180, 1, 1, 1, 1, 30, 4, 1, 1),
            option(1, 30, 4, 1, 1, 1, 1, 0),
            joined(option(2, 4, 5, 180, 30, 12, 1, 1), new Uint8Array(8)),
            joined(option(30, 40), new Uint8Array(38)),
          ]) {
            const c = connect();
            const sent = c.syn({ tcpOptions });
            assert.equal(sent.outcome, 'pass');
            const out = sent.packet.subarray(54);
            const clean = Uint8Array.from(tcpOptions);
            const at = clean.indexOf(30);
            clean.fill(1, at, at + clean[at + 1]!);
            assert.deepEqual([...out], [...clean]);
            const wanted = tcpHeaderAndPayload(c.ends, { flags: 'S', sequence: c.isn, tcpOptions: clean });
            assert.equal(sent.packet.subarray(34).toString('hex'), Buffer.from(wanted).toString('hex'));
          }
          const untouched = connect().syn({ tcpOptions: option(2, 4, 5, 180, 3, 3, 30, 1) });
          assert.equal(untouched.packet.subarray(54).toString('hex'), '020405b403031e01');
        }),
      );
    });

  test(
    'no hello is left: a flow that depends on one is denied, one that is read for the record is not',
    () => {
      const few = openKernelLab({ free_hellos: 3 });
      try {
        few.inside(() => {
          use(treatments['the permit rests on the name'], few);
          const holders = [1, 2, 3].map(() => opened(few));
          for (const c of holders) assert.equal(c.say(hello().subarray(0, 50)).outcome, 'pass');
          const c = opened(few);
          denied(c, c.say(hello()), 'hello-slots-full');
          few.kernel.forget({ ...holders[0]!.ends, protocol: 'tcp', ifindex: few.indexOf('eth1') });
          const d = opened(few);
          assert.equal(d.say(hello()).outcome, 'pass');
          d.answer(plainServerHello); // gives it back
          const e = opened(few);
          assert.equal(e.say(hello()).outcome, 'pass');
          use(recorded, few);
          const more = [1, 2, 3, 4].map(() => opened(few));
          for (const f of more) assert.equal(f.say(hello().subarray(0, 50)).outcome, 'pass');
          assert.equal(more[3]!.flow?.state, flowState.permitted);
          assert.equal(more[2]!.flow?.state, flowState.binding);
        });
      } finally {
        few.close();
      }
    },
  );

  test(
    'nothing that goes wrong denies a flow that is only read for the record',
    inLab(() => {
      use(recorded);
      const bytes = hello();
      const wrongs: Readonly<Record<string, (c: Connection) => Sent>> = {
        'other bytes': (c) => (c.say(bytes.subarray(0, 100)), c.say(changed(bytes, 9).subarray(0, 100), 0)),
        'out of order': (c) => c.say(bytes.subarray(100), 100),
        urgent: (c) => c.say(bytes, 0, { flags: 'PAU', urgent: 1 }),
        'a second name': (c) => c.say(clientHelloStream({ sni: [good, evil] })),
        'an endless hello': (c) => c.sayAll(hello(good, { keyShareSize: 20_000, ech: 3000 })),
        'another name': (c) => c.say(hello(evil)),
        'plain http': (c) => c.say(text('GET / HTTP/1.1\r\n')),
        'a second hello with another name': (c) => {
          c.say(bytes);
          c.answer(helloRetryRequest);
          return c.say(hello(evil));
        },
        'too late': (c) => {
          c.say(bytes.subarray(0, 50));
          lab.poke(c.ends, 'tcp', 'first_byte', bootTime() - 11_000_000_000n);
          return c.say(bytes.subarray(50, 60));
        },
      };
      for (const [what, wrong] of Object.entries(wrongs)) {
        const c = opened();
        assert.equal(wrong(c).outcome, 'pass', what);
        assert.notEqual(c.flow?.state, flowState.denied, what);
      }
    }),
  );

  test(
    'in a monitored flow what cannot be read is lifted',
    inLab(() => {
      use(monitored);
      const bytes = hello();
      for (const wrong of [
        (c: Connection) => c.say(clientHelloStream({ sni: [good, evil] })),
        (c: Connection) => c.say(bytes, 0, { flags: 'PAU', urgent: 1 }),
        (c: Connection) => (c.say(bytes.subarray(0, 100)), c.say(changed(bytes, 9).subarray(0, 100), 0)),
        (c: Connection) => c.say(hello(evil)),
      ]) {
        const c = opened();
        assert.equal(wrong(c).outcome, 'pass');
        assert.equal(reasonOf(c), 'monitored');
      }
    }),
  );

  test(
    'a deny by claimed name stays bound to the hello though the permit does not rest on a name',
    inLab(() => {
      const policy = policyOf([{ ...permit({ web: ['bad'] }), action: 'deny' }, permit()], {
        web: [webGroup('bad', ['**.evil.example'])],
      });
      use(policy);
      const bytes = hello();
      const c = opened();
      assert.equal(c.say(bytes).outcome, 'pass');
      denied(c, c.agent({ flags: 'PAU', urgent: 1, sequence: c.base, payload: bytes }), 'urgent-data');
      const d = opened();
      d.say(bytes);
      denied(d, d.say(hello(evil).subarray(0, bytes.length), 0), 'hello-changed');
      const e = opened();
      e.say(bytes);
      e.answer(helloRetryRequest);
      const missed = e.say(hello(evil));
      denied(e, missed, 'name-mismatch');
      const f = opened();
      assert.equal(f.say(hello(evil)).events[0]?.kind, eventKind.nameMiss);
      lab.classify(name(evil));
      denied(f, f.say(hello(evil), 0), 'rule-denies');
    }),
  );
});

/** For spreading into `denied`. */
const pair = ({ c, sent }: { c: Connection; sent: Sent }): [Connection, Sent] => [c, sent];
