/** Second hellos, early data, and what of all this is lifted where nothing rests on what is read. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { bootTime, eventKind, flowState } from '@cofferdam/datapath';
import { clientHelloStream, name, permit, policyOf, webGroup } from '@cofferdam/testkit';
import {
  changeCipherSpec,
  changed,
  denied,
  evil,
  good,
  hello,
  ignoredAlert,
  inLab,
  joined,
  lab,
  labForTests,
  monitored,
  opened,
  pair,
  reasonOf,
  recorded,
  text,
  treat,
  treatments,
  use,
} from './hostile-client.ts';
import {
  type Connection,
  helloRetryRequest,
  kernelUnavailable,
  openKernelLab,
  plainServerHello,
  type Sent,
} from './kernel-lab.ts';

const skip = kernelUnavailable();

describe('second hellos and lifted denials', { skip }, () => {
  labForTests();

  for (const [what, treatment] of Object.entries(treatments))
    describe(what, () => {
      before(() => treat(treatment));
      const retry = (second: Uint8Array, answer = helloRetryRequest): { c: Connection; sent: Sent } => {
        const c = opened();
        c.say(hello());
        assert.equal(c.answer(answer).outcome, 'none');
        return { c, sent: c.sayAll(second, 70) };
      };
      test(
        'a second hello that the server asked for repeats the name',
        inLab(() => {
          for (const second of [
            hello(),
            joined(changeCipherSpec, hello()),
            hello('API.EXAMPLE.COM', { grease: true }),
          ]) {
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
    });

  test('no hello is left: a flow that depends on one is denied, one that is read for the record is not', () => {
    const few = openKernelLab({ free_hellos: 3 });
    try {
      few.inside(() => {
        treat(treatments['the permit rests on the name'], few);
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
  });

  test(
    'nothing that goes wrong denies a flow that is only read for the record',
    inLab(() => {
      use(recorded);
      const bytes = hello();
      const wrongs: Readonly<Record<string, (c: Connection) => Sent>> = {
        'other bytes': (c) => {
          c.say(bytes.subarray(0, 100));
          return c.say(changed(bytes, 9).subarray(0, 100), 0);
        },
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
        (c: Connection) => {
          c.say(bytes.subarray(0, 100));
          return c.say(changed(bytes, 9).subarray(0, 100), 0);
        },
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
