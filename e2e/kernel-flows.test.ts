/** The life of a flow in the kernel: replies, ICMP errors, counters, a full table, a plan that changes under it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { answerBit, eventKind, firstBit, flowState, marks } from '@cofferdam/datapath';
import type { Address } from '@cofferdam/net';
import { classifyName } from '@cofferdam/plan';
import {
  agentMac,
  clientHelloStream,
  type Ends,
  echoFrame,
  fragmentHeader,
  gatewayMac,
  icmpFrame,
  address as ip,
  ipFrame,
  ipPacket,
  macBytes,
  name,
  permit,
  reversed,
  tcpFrame,
  udpFrame,
  udpHeaderAndPayload,
} from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import {
  agent,
  ends,
  error,
  hello,
  inLab,
  lab,
  labForTests,
  opened,
  router,
  rules,
  server,
  synthetic,
  tcpInner,
  udpInner,
  use,
} from './kernel-flow-world.ts';
import { Connection, kernelUnavailable, plainServerHello } from './kernel-lab.ts';

const skip = kernelUnavailable();

describe('flows', { skip }, () => {
  labForTests();

  test(
    'replies find their flow, and get the hardware address of its agent',
    inLab((f) => {
      const e = ends(f, 5000);
      const reply = udpFrame(reversed(e), { source: gatewayMac, destination: gatewayMac });
      assert.equal(lab.toAgent(reply).outcome, 'dropped');
      assert.equal(lab.fromAgent(udpFrame(e)).outcome, 'pass');
      const sent = lab.toAgent(reply);
      assert.equal(sent.outcome, 'none');
      assert.deepEqual([...sent.packet.subarray(0, 6)], [...macBytes(agentMac)]);
      assert.equal(lab.toAgent(udpFrame({ ...reversed(e), sourcePort: 5001 })).outcome, 'dropped');
      assert.equal(lab.toAgent(reply, 'eth2').outcome, 'dropped');
      const flow = lab.flow(e, 'udp')!;
      assert.deepEqual([flow.toDestination.packets, flow.toAgent.packets], [1n, 1n]);
      const size = BigInt((f === 4 ? 20 : 40) + 8 + 4);
      assert.deepEqual([flow.toDestination.bytes, flow.toAgent.bytes], [size, size]);
      const echo = ends(f, 0);
      lab.fromAgent(echoFrame(echo.source, echo.destination, 'request', 77));
      assert.equal(lab.toAgent(echoFrame(echo.destination, echo.source, 'reply', 77)).outcome, 'none');
      assert.equal(lab.toAgent(echoFrame(echo.destination, echo.source, 'reply', 78)).outcome, 'dropped');
      assert.equal(lab.toAgent(echoFrame(echo.destination, echo.source, 'request', 77)).outcome, 'dropped');
    }),
  );

  test(
    'fragments toward the agent: later ones follow a first one that passed, and its denial takes that back',
    inLab((f) => {
      const e = ends(f, 5000);
      const datagram = udpHeaderAndPayload(reversed(e), { payload: new Uint8Array(64) });
      const echo = echoFrame(server[f], agent[f], 'reply', 91).subarray(f === 4 ? 34 : 54);
      const from = { source: gatewayMac, destination: gatewayMac };
      const fragment = (protocol: number, bytes: Uint8Array, offset: number, more: boolean, id = 5): string => {
        const frame =
          f === 4
            ? ipFrame(server[4], agent[4], protocol, bytes, {
                ...from,
                id,
                fragment: (more ? 0x2000 : 0) | (offset / 8),
              })
            : ipFrame(
                server[6],
                agent[6],
                44,
                Uint8Array.from([...fragmentHeader(protocol, offset, more, id), ...bytes]),
                from,
              );
        return lab.toAgent(frame).outcome;
      };
      assert.equal(fragment(17, datagram.subarray(0, 32), 0, true), 'dropped');
      assert.equal(fragment(17, datagram.subarray(32), 32, false), 'dropped');
      lab.fromAgent(udpFrame(e));
      assert.equal(fragment(17, datagram.subarray(32), 32, false), 'dropped');
      assert.equal(fragment(17, datagram.subarray(0, 32), 0, true), 'none');
      assert.equal(fragment(17, datagram.subarray(32), 32, false), 'none');
      assert.equal(fragment(17, datagram.subarray(32), 32, false, 6), 'dropped');
      lab.forgetAll();
      assert.equal(fragment(17, datagram.subarray(0, 32), 0, true), 'dropped');
      assert.equal(fragment(17, datagram.subarray(32), 32, false), 'dropped');
      lab.fromAgent(echoFrame(agent[f], server[f], 'request', 91));
      const icmp = f === 4 ? 1 : 58;
      assert.equal(fragment(icmp, echo, 0, true, 7), 'none');
      assert.equal(fragment(icmp, echo, 16, false, 7), 'none');
      assert.equal(fragment(6, datagram, 0, true, 8), 'dropped');
    }),
  );

  test(
    'what comes for no flow is dropped, whatever it is',
    inLab((f) => {
      const e = reversed(ends(f, 22));
      for (const flags of ['S', 'SA', 'A', 'PA', 'R', 'F'])
        assert.equal(lab.toAgent(tcpFrame(e, { flags })).outcome, 'dropped', flags);
      assert.equal(lab.toAgent(ipFrame(server[f], agent[f], 47, new Uint8Array(20))).outcome, 'dropped');
      if (f === 4)
        assert.equal(
          lab.toAgent(ipFrame(server[4], agent[4], 17, new Uint8Array(20), { fragment: 5 })).outcome,
          'dropped',
        );
    }),
  );

  test(
    'a denied flow gets no replies',
    inLab((f) => {
      const c = opened(f, 443, synthetic[f]);
      assert.equal(c.sayAll(clientHelloStream({ sni: 'other.example' })).outcome, 'reject');
      assert.equal(c.answer(plainServerHello).outcome, 'dropped');
      assert.equal(c.say(hello).outcome, 'reject');
      assert.equal(c.agent({ flags: 'A', sequence: c.next }).outcome, 'reject');
      assert.equal(c.agent({ flags: 'R', sequence: c.next }).outcome, 'dropped');
      // The same ends may connect again.
      const again = new Connection(lab, c.ends, 99);
      assert.equal(again.open().outcome, 'pass');
      assert.equal(again.sayAll(hello).outcome, 'pass');
    }),
  );

  test(
    'server payload waits for the walk where a flow is undecided',
    inLab((f) => {
      const c = opened(f, 8443);
      assert.equal(c.flow?.state, flowState.pending);
      c.say(hello.subarray(0, 50));
      assert.equal(c.answer(new Uint8Array(9)).outcome, 'dropped');
      assert.equal(c.acknowledge().outcome, 'none');
      const d = opened(f, 8443);
      assert.equal(d.answer(new Uint8Array(9)).outcome, 'dropped');
      assert.equal(reasonFromNumber(d.flow!.reason), 'no-rule');
      const s = opened(f, 22);
      assert.equal(s.answer(new Uint8Array(9)).outcome, 'none');
      assert.equal(s.say(new Uint8Array(9)).outcome, 'pass');
      assert.equal(s.flow?.tls.state, 'absent');
    }),
  );

  test(
    'an unanswered SYN that comes again goes to the next address of its name; an answered one stays; another on a live flow is dropped',
    inLab((f) => {
      const second = { 4: ip('93.184.216.35'), 6: ip('2606:2800:220:1::6') } as const;
      lab.install(name('api.example.com'), [synthetic[f]], [server[f], second[f]]);
      const c = new Connection(lab, ends(f, 443, synthetic[f]));
      const choices = [c.syn(), c.syn(), c.syn(), c.syn()].map(({ outcome, mark }) => [outcome, mark & 0xff]);
      assert.deepEqual(choices, [
        ['pass', 0],
        ['pass', 1],
        ['pass', 0],
        ['pass', 1],
      ]);
      assert.deepEqual(c.flow?.real, second[f]);
      c.synAck();
      const answered = c.syn();
      assert.deepEqual([answered.outcome, answered.mark & 0xff, answered.events], ['pass', 1, []]);
      assert.equal(c.syn({ sequence: 7 }).outcome, 'dropped');
      c.server({ flags: 'R', sequence: c.serverNext });
      // The next connection begins with the address that answered, and the record of this one ends.
      const next = c.syn({ sequence: 7 });
      assert.deepEqual([next.outcome, next.mark & 0xff], ['pass', 1]);
      assert.deepEqual(
        next.events.map(({ kind }) => kind),
        [eventKind.end, eventKind.verdict],
      );
      const begins = (turn: number): number => {
        lab.install(name('api.example.com'), [synthetic[f]], [server[f], second[f]], turn);
        return new Connection(lab, ends(f, 443, synthetic[f])).syn().mark & 0xff;
      };
      assert.deepEqual(
        [begins(0), begins(1)],
        [1, 1 << 3],
        'the same answer again changes nothing, another begins anew',
      );
    }),
  );

  test(
    'a late answer of the address before is not taken for the answer of the next',
    inLab((f) => {
      const second = { 4: ip('93.184.216.35'), 6: ip('2606:2800:220:1::6') } as const;
      lab.install(name('api.example.com'), [synthetic[f]], [server[f], second[f]]);
      const c = new Connection(lab, ends(f, 443, synthetic[f]));
      c.syn();
      c.syn();
      const late = tcpFrame(reversed(c.ends), { flags: 'SA', sequence: 5, acknowledgement: c.base });
      assert.equal(lab.toAgent(late, 'eth1', false, marks.pass + answerBit).outcome, 'dropped');
      assert.equal(c.synAck().outcome, 'none');
      assert.deepEqual(c.flow?.real, second[f]);
    }),
  );

  test(
    'a name that lost its address to another is not taken for it when a client claims it',
    inLab((f) => {
      const other = name('other.example.com');
      const installed = (which: typeof other): boolean =>
        lab.kernel.install(
          { id: 77, name: which, synthetic: [{ address: synthetic[f], turn: 0 }], addresses: [server[f]] },
          classifyName(lab.plan(), which),
        );
      assert.ok(installed(other));
      assert.ok(installed(name('api.example.com')));
      const c = opened(f, 443, synthetic[f]);
      const claims = c.sayAll(clientHelloStream({ sni: 'other.example.com' }));
      assert.equal(claims.outcome, 'reject');
      assert.ok(
        claims.events.some(({ kind, name: text }) => kind === eventKind.nameMiss || text === 'other.example.com'),
      );
      assert.equal(c.flow?.state, flowState.denied);
    }),
  );

  test(
    'a named datagram is judged by what its name has now, until the other end has answered; then nothing is translated anew',
    inLab((f) => {
      const second = { 4: ip('93.184.216.35'), 6: ip('2606:2800:220:1::6') } as const;
      use(rules(permit({ web: ['api'], protocol: 'udp', ports: ['9999'] })));
      const stands = (real: Address, turn: number): void =>
        void lab.install(name('api.example.com'), [synthetic[f]], [real], turn);
      stands(server[f], 31);
      const e = ends(f, 9999, synthetic[f]);
      const real = (): Address | undefined =>
        [...lab.kernel.flows()].find(({ key }) => key.sourcePort === e.sourcePort)?.flow.real;
      const send = (): readonly unknown[] => {
        const { outcome, mark } = lab.fromAgent(udpFrame(e));
        return [outcome, (mark & firstBit) !== 0, mark & 0xff, real()];
      };
      const [before, now, later] = [31 << 3, 0, 1 << 3];
      assert.deepEqual(send(), ['pass', true, before, server[f]]);
      stands(second[f], 0);
      assert.deepEqual(send(), ['pass', true, now, second[f]]);
      // What answers from where it was sent before is not its answer.
      assert.equal(
        lab.toAgent(udpFrame(reversed(e)), 'eth1', false, marks.pass + answerBit + before).outcome,
        'dropped',
      );
      assert.equal(
        lab.toAgent(udpFrame(reversed(e)), 'eth1', false, marks.pass + answerBit + later).outcome,
        'dropped',
      );
      assert.equal(lab.toAgent(udpFrame(reversed(e))).outcome, 'none');
      stands(server[f], 1);
      assert.deepEqual(send(), ['pass', false, now, second[f]]);
    }),
  );

  test(
    'ICMP errors toward the agent: only about its own live flows',
    inLab((f) => {
      const e = ends(f, 5000);
      assert.equal(lab.toAgent(error(router[f], agent[f], udpInner(e))).outcome, 'dropped');
      lab.fromAgent(udpFrame(e));
      for (const kind of ['unreachable', 'too big', 'expired'] as const)
        assert.equal(lab.toAgent(error(router[f], agent[f], udpInner(e), kind)).outcome, 'none', kind);
      assert.equal(lab.toAgent(error(router[f], agent[f], udpInner({ ...e, sourcePort: 9 }))).outcome, 'dropped');
      assert.equal(lab.toAgent(error(router[f], agent[f], udpInner(reversed(e)))).outcome, 'dropped');
      assert.equal(
        lab.toAgent(error(router[f], agent[f], udpInner(e).subarray(0, f === 4 ? 23 : 43))).outcome,
        'dropped',
      );
      const echo = ends(f, 0);
      lab.fromAgent(echoFrame(echo.source, echo.destination, 'request', 88));
      const inner = (identifier: number): Uint8Array =>
        echoFrame(echo.source, echo.destination, 'request', identifier).subarray(14);
      assert.equal(lab.toAgent(error(router[f], agent[f], inner(88))).outcome, 'none');
      assert.equal(lab.toAgent(error(router[f], agent[f], inner(89))).outcome, 'dropped');
      const c = opened(f, 22);
      assert.equal(lab.toAgent(error(router[f], agent[f], tcpInner(c.ends))).outcome, 'none');
    }),
  );

  test(
    'an ICMP error is cut to what it must quote, in both directions; of a flow that waits only what is too big passes',
    inLab((f) => {
      const e = ends(f, 5000);
      const to = f === 4 ? 20 : 40;
      lab.fromAgent(udpFrame(e));
      const quoted = (of: Ends): Uint8Array =>
        ipPacket(of.source, of.destination, 17, udpHeaderAndPayload(of, { payload: new Uint8Array(300).fill(0x41) }));
      const cut = (frame: Uint8Array): Buffer => Buffer.from(frame);
      for (const kind of ['unreachable', 'too big', 'expired'] as const) {
        const rest = Uint8Array.from(kind !== 'too big' ? [1, 2, 3, 4] : f === 4 ? [9, 9, 5, 0] : [0, 0, 5, 0]);
        const left = Uint8Array.from(kind !== 'too big' ? [0, 0, 0, 0] : [0, 0, 5, 0]);
        const inward = lab.toAgent(error(router[f], agent[f], quoted(e), kind, rest));
        const wanted = cut(error(router[f], agent[f], quoted(e).subarray(0, to + 8), kind, left));
        macBytes(agentMac).forEach((byte, i) => {
          wanted[i] = byte;
        });
        assert.equal(inward.packet.toString('hex'), wanted.toString('hex'), kind);
        const outward = lab.fromAgent(error(agent[f], server[f], quoted(reversed(e)), kind, rest));
        const out = cut(error(agent[f], server[f], quoted(reversed(e)).subarray(0, to + 8), kind, left));
        assert.equal(outward.packet.toString('hex'), out.toString('hex'), kind);
      }
      const problem = { type: f === 4 ? 12 : 4, code: 0, payload: quoted(e) };
      assert.equal(lab.toAgent(icmpFrame(router[f], agent[f], problem)).outcome, 'dropped');
      const waiting = opened(f, 8443);
      const about = (kind: 'too big' | 'unreachable') =>
        lab.toAgent(error(router[f], agent[f], tcpInner(waiting.ends), kind)).outcome;
      assert.deepEqual([about('too big'), about('unreachable')], ['none', 'dropped']);
    }),
  );

  test(
    'ICMP errors of an agent: only about what its own permitted flows received',
    inLab((f) => {
      const e = ends(f, 5000);
      const own = (inner: Uint8Array, from: Address = agent[f]) => lab.fromAgent(error(from, server[f], inner)).outcome;
      // Errors are built with the gateway's hardware address, which inventory does not give here.
      assert.equal(own(udpInner(reversed(e))), 'dropped');
      lab.fromAgent(udpFrame(e));
      assert.equal(own(udpInner(reversed(e))), 'pass');
      assert.equal(own(udpInner(e)), 'dropped');
      assert.equal(own(udpInner({ ...reversed(e), destinationPort: 9 })), 'dropped');
      assert.equal(own(udpInner(reversed(e)), ip(f === 4 ? '10.11.1.99' : 'fd11::99')), 'dropped');
      assert.equal(own(ipPacket(server[f], agent[f], 47, new Uint8Array(20))), 'dropped');
      if (f === 4)
        assert.equal(
          own(ipPacket(server[4], agent[4], 17, udpHeaderAndPayload(reversed(e)), { fragment: 9 })),
          'dropped',
        );
      const waiting = opened(f, 8443);
      assert.equal(own(tcpInner(reversed(waiting.ends))), 'dropped', 'nothing but the hello of a pending flow');
      const proxied = ends(f, 80);
      assert.equal(lab.fromAgent(tcpFrame(proxied, { flags: 'S' })).outcome, 'proxy');
      assert.equal(own(tcpInner(reversed(proxied))), 'dropped');
    }),
  );

  test(
    'a proxied flow is the gateway’s: its own packets pass to the agent, forwarded ones do not',
    inLab((f) => {
      const e = ends(f, 80);
      assert.equal(lab.fromAgent(tcpFrame(e, { flags: 'S' })).outcome, 'proxy');
      assert.equal(lab.toAgent(tcpFrame(reversed(e), { flags: 'SA' }), 'eth1', true).outcome, 'none');
      assert.equal(lab.toAgent(tcpFrame(reversed(e), { flags: 'SA' })).outcome, 'dropped');
      assert.equal(lab.fromAgent(tcpFrame(e, { flags: 'PA', payload: new Uint8Array(40) })).outcome, 'proxy');
    }),
  );
});
