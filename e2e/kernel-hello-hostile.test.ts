/**
 * Clients that want the kernel to judge one hello and the server to read another: retransmissions, overlaps, urgent bytes, second hellos, and
 * everything else that makes the bytes judged differ from the bytes delivered. Each is tried where the permit rests on the address name and
 * where the flow waits for what its client says.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { bootTime, flowState } from '@cofferdam/datapath';
import { clientHelloStream, type TcpWords, tcpHeaderAndPayload } from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import {
  changed,
  connect,
  denied,
  evil,
  good,
  hello,
  inLab,
  joined,
  lab,
  labForTests,
  opened,
  reasonOf,
  text,
  treat,
  treatments,
} from './hostile-client.ts';
import { Connection, kernelUnavailable, plainServerHello } from './kernel-lab.ts';

const skip = kernelUnavailable();

describe('hostile clients', { skip }, () => {
  labForTests();

  for (const [what, treatment] of Object.entries(treatments))
    describe(what, () => {
      before(() => treat(treatment));

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
          denied(
            e,
            e.agent({ flags: 'AU', urgent: 60, sequence: e.next, acknowledgement: e.serverNext }),
            'urgent-data',
          );
          const f = opened();
          f.say(hello());
          denied(
            f,
            f.agent({ flags: 'AU', urgent: 1, sequence: f.base, acknowledgement: f.serverNext }),
            'urgent-data',
          );
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
          if (treatment.otherName === undefined) assert.equal(sent.outcome, 'pass');
          else denied(d, sent, treatment.otherName);
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
          assert.equal(
            again.server({ flags: 'SA', sequence: c.serverIsn, acknowledgement: c.base }).outcome,
            'dropped',
          );
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
            if (!treatment.serverFirst) {
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
});
