/** Flows that end before their ends do: what the server is told, what the agent is told, and what the program still holds of them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { flowState } from '@cofferdam/datapath';
import { agentMac, deny, permit, tcpFrame } from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import {
  ends,
  everything,
  hello,
  inLab,
  lab,
  labForTests,
  opened,
  rules,
  synthetic,
  use,
} from './kernel-flow-world.ts';
import { type Connection, isReset, type Sent } from './kernel-lab.ts';

const letters = Uint8Array.from('word', (c) => c.charCodeAt(0));

/** The frame that a server takes for the end of a connection: nothing in it is of the agent's choice but where it stands. */
const resetOf = ({ ends: of }: Connection, sequence: number): Uint8Array =>
  tcpFrame(of, { source: agentMac, flags: 'R', sequence, window: 0 });

const hellosHeld = (): number => [...lab.kernel.uses()].reduce((sum, { hellos }) => sum + hellos, 0);

describe('a flow that is cut', () => {
  labForTests();
  const nothing = rules(deny({ protocol: 'any' }));

  for (const [what, payload] of [
    ['nothing', new Uint8Array(0)],
    ['a byte', new Uint8Array(1)],
    ['much', new Uint8Array(1400).fill(7)],
  ] as const)
    test(
      `becomes a reset at the server by a segment that carries ${what}, and at the agent by the next`,
      inLab((f) => {
        const c = opened(f, 22);
        c.say(letters);
        c.answer(letters);
        use(nothing);
        const tcpOptions = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2);
        const at = c.next;
        const sent = c.say(payload, undefined, { tcpOptions, window: 77, urgent: 9 });
        assert.equal(sent.outcome, 'pass');
        assert.deepEqual(Buffer.from(sent.packet), Buffer.from(resetOf(c, at)));
        assert.equal(reasonFromNumber(c.flow!.reason), 'flow-cut');
        for (let i = 0; i < 3; i++) assert.equal(c.say(payload).outcome, 'reject');
        assert.equal(c.answer(letters).outcome, 'dropped');
      }),
    );

  test(
    'that its agent ends itself is ended at the server too',
    inLab((f) => {
      const c = opened(f, 22);
      use(nothing);
      assert.ok(isReset(c.agent({ flags: 'R', sequence: c.next })));
      assert.equal(c.agent({ flags: 'R', sequence: c.next }).outcome, 'dropped');
    }),
  );

  test(
    'that no server has answered has none to be told',
    inLab((f) => {
      const c = opened(f, 22);
      const silent = { ...ends(f, 22), sourcePort: 39_999 };
      const syn = (sequence: number): Sent => lab.fromAgent(tcpFrame(silent, { flags: 'S', sequence }));
      assert.equal(syn(1).outcome, 'pass');
      use(nothing);
      assert.equal(lab.fromAgent(tcpFrame(silent, { flags: 'A', sequence: 2 })).outcome, 'reject');
      assert.equal(syn(1).outcome, 'reject');
      assert.ok(isReset(c.say(letters)));
      assert.equal(c.syn().outcome, 'reject', 'a new one is denied as any');
    }),
  );

  test(
    'is judged without a packet of its own, once',
    inLab((f) => {
      const [kept, cut] = [opened(f, 22), opened(f, 443, synthetic[f])];
      const before = lab.kernel.generation();
      assert.deepEqual(lab.kernel.judgeAnew(), [], 'nothing has changed');
      use(rules(permit({ to: ['server'], ports: ['22'] })));
      assert.notEqual(lab.kernel.generation(), before);
      const over = lab.kernel.judgeAnew().filter(({ key }) => key.sourcePort === cut.ends.sourcePort);
      assert.equal(over.length, 1);
      assert.equal(over[0]!.clientAck, cut.serverNext);
      assert.equal(cut.flow?.state, flowState.denied);
      assert.notEqual(kept.flow?.state, flowState.denied);
      assert.deepEqual(lab.kernel.judgeAnew(), []);
      assert.ok(isReset(cut.agent({ flags: 'A', sequence: cut.next, acknowledgement: cut.serverNext })));
      assert.equal(lab.kernel.clientAck(over[0]!.key), cut.serverNext);
    }),
  );
});

describe('what is kept of what a client said', () => {
  labForTests();

  test(
    'goes with the end of what could not be told apart, once the server has it all',
    inLab((f) => {
      use(everything);
      const c = opened(f, 22);
      c.say(letters);
      assert.equal(hellosHeld(), 1);
      c.agent({ flags: 'FA', sequence: c.next, acknowledgement: c.serverNext });
      c.server({ flags: 'A', sequence: c.serverNext, acknowledgement: c.next });
      assert.equal(hellosHeld(), 1, 'the server has not seen the end');
      c.server({ flags: 'A', sequence: c.serverNext, acknowledgement: c.next + 1 });
      assert.equal(hellosHeld(), 0);
      assert.equal(c.flow?.state, flowState.permitted);
    }),
  );

  for (const who of ['agent', 'server'] as const)
    test(
      `goes with a reset of the ${who}, and no other bytes take its place`,
      inLab((f) => {
        use(everything);
        const c = opened(f, 443, synthetic[f]);
        c.say(hello.subarray(0, 40));
        assert.equal(hellosHeld(), 1);
        const reset = { flags: who === 'agent' ? 'R' : 'RA', sequence: who === 'agent' ? c.next : c.serverNext };
        assert.equal(c[who]({ ...reset, acknowledgement: c.next }).outcome === 'dropped', false);
        assert.equal(hellosHeld(), 0);
        assert.equal(c.say(new Uint8Array(40).fill(65), 0).outcome, 'dropped');
        assert.equal(c.say(hello.subarray(40)).outcome, 'dropped');
        assert.equal(hellosHeld(), 0);
      }),
    );
});
