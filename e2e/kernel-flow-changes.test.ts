/** What changes under live flows: counters, a full table, no plan, a new plan. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventKind, flowState } from '@cofferdam/datapath';
import {
  clientHelloStream,
  deny,
  echoFrame,
  ipFrame,
  name,
  permit,
  policyOf,
  reversed,
  ruleset,
  tcpFrame,
  udpFrame,
  webGroup,
} from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import {
  agent,
  ends,
  everything,
  families,
  hello,
  inLab,
  lab,
  labForTests,
  opened,
  rules,
  server,
  synthetic,
  use,
} from './kernel-flow-world.ts';
import { Connection, isReset, kernelUnavailable, openKernelLab, plainServerHello } from './kernel-lab.ts';

const skip = kernelUnavailable();

describe('flows and plans', { skip }, () => {
  labForTests();

  test('rule hits: permitted, denied, would deny, and the default', () =>
    lab.inside(() => {
      lab.forgetAll();
      use(
        rules(
          permit({ to: ['server'], ports: ['22'] }),
          { ...deny({ to: ['server'], ports: ['22'] }), mode: 'monitor' },
          permit({ to: ['server'], ports: ['8443'], tls: 'required' }),
        ),
      );
      const before = { permit: lab.hits(0), waits: lab.hits(2), last: lab.hits('default') };
      opened(4, 22);
      opened(6, 22);
      lab.fromAgent(tcpFrame(ends(4, 23), { flags: 'S' }));
      const c = opened(4, 8443);
      assert.equal(lab.hits(2).permitted, before.waits.permitted);
      c.say(hello);
      assert.equal(lab.hits(0).permitted - before.permit.permitted, 2n);
      assert.equal(lab.hits('default').denied - before.last.denied, 1n);
      assert.equal(lab.hits(2).permitted - before.waits.permitted, 1n);
      use({
        ...rules(),
        rulesets: [ruleset([{ ...deny({ ports: ['22'] }), mode: 'monitor' }, permit({ ports: ['22'] })])],
      });
      const then = lab.hits(1);
      opened(4, 22);
      assert.equal(lab.hits(1).wouldDeny - then.wouldDeny, 1n);
    }));

  test('a full table denies, and live flows stay', () => {
    const small = openKernelLab({ flows: 8 });
    try {
      small.inside(() => {
        use(everything, small);
        const sent = Array.from({ length: 200 }, () => small.fromAgent(udpFrame(ends(4, 5000))));
        const full = sent.filter(({ outcome }) => outcome === 'reject');
        assert.ok(full.length > 100, `${full.length} denied`);
        for (const { events } of full) assert.equal(reasonFromNumber(events[0]!.flow.reason), 'flow-table-full');
        const flows = [...small.kernel.flows()];
        assert.ok(flows.length >= 8);
        small.kernel.forget(flows[0]!.key);
        assert.equal(small.fromAgent(udpFrame(ends(4, 5000))).outcome, 'pass');
      });
    } finally {
      small.close();
    }
  });

  test('without a plan everything is closed', () => {
    const bare = openKernelLab();
    try {
      bare.inside(() => {
        for (const f of families) {
          assert.equal(bare.fromAgent(tcpFrame(ends(f, 22), { flags: 'S' })).outcome, 'reject');
          assert.equal(bare.fromAgent(udpFrame(ends(f, 53))).outcome, 'reject');
          assert.equal(bare.fromAgent(echoFrame(agent[f], server[f], 'request', 1)).outcome, 'reject');
          assert.equal(bare.toAgent(udpFrame(reversed(ends(f, 5000)))).outcome, 'dropped');
        }
        assert.equal(
          bare.fromAgent(ipFrame(agent[4], server[4], 17, new Uint8Array(20), { fragment: 5 })).outcome,
          'dropped',
        );
      });
    } finally {
      bare.close();
    }
  });

  test(
    'a new plan: flows it permits go on, the others are cut both ways and told once',
    inLab((f) => {
      const [kept, cut] = [opened(f, 22), opened(f, 443, synthetic[f])];
      cut.sayAll(hello);
      cut.answer(plainServerHello);
      const datagrams = ends(f, 5000);
      lab.fromAgent(udpFrame(datagrams));
      use(rules(deny({ protocol: 'any', ports: ['1-9'] }), permit({ to: ['server'], ports: ['22'] })));
      assert.equal(kept.agent({ flags: 'A', sequence: kept.next }).outcome, 'pass');
      assert.equal(kept.flow?.rule, 1);
      const sent = cut.say(new Uint8Array(5));
      assert.equal(sent.outcome, 'pass', 'as a reset, to the server');
      assert.equal(reasonFromNumber(sent.events[0]!.flow.reason), 'flow-cut');
      const again = cut.say(new Uint8Array(5));
      assert.deepEqual([again.outcome, again.events], ['reject', []]);
      const reply = lab.toAgent(udpFrame(reversed(datagrams)));
      assert.equal(reply.outcome, 'dropped');
      assert.equal(reasonFromNumber(reply.events[0]!.flow.reason), 'flow-cut');
      assert.equal(lab.fromAgent(udpFrame(datagrams)).outcome, 'reject');
    }),
  );

  test(
    'a new plan that asks for facts: still to come they are waited for, never recorded they cut',
    inLab((f) => {
      const asks = rules(
        permit({ to: ['server'], ports: ['22', '8443'], tls: 'absent' }),
        permit({ web: ['api'], ports: ['443'] }),
      );
      const [fresh, spoken, unread] = [opened(f, 22), opened(f, 22), opened(f, 22)];
      spoken.say(Uint8Array.from('SSH-2.0\r\n', (c) => c.charCodeAt(0)));
      unread.say(hello.subarray(100), 100); // out of order: nothing denies by it, so the reading ended
      assert.equal(unread.flow?.state, flowState.permitted);
      const waiting = opened(f, 8443);
      use(asks);
      assert.equal(fresh.agent({ flags: 'A', sequence: fresh.next }).outcome, 'pass');
      assert.equal(fresh.flow?.state, flowState.pending);
      assert.equal(fresh.say(hello).outcome, 'reject');
      assert.equal(spoken.say(new Uint8Array(3)).outcome, 'pass');
      assert.ok(isReset(unread.say(new Uint8Array(3))));
      assert.equal(unread.say(new Uint8Array(3)).outcome, 'reject');
      assert.equal(reasonFromNumber(unread.flow!.reason), 'facts-unknown');
      assert.equal(waiting.say(hello).outcome, 'reject');
    }),
  );

  test(
    'names that were known are known to the next plan before it counts',
    inLab((f) => {
      const c = opened(f, 443, synthetic[f]);
      use(rules(deny({ to: ['server'], web: ['bad'] }), permit({ web: ['api'], ports: ['443'] })));
      assert.equal(c.sayAll(hello).outcome, 'pass');
      use(rules(deny({ web: ['api'] }), permit()));
      assert.ok(isReset(c.say(new Uint8Array(3), hello.length)));
      assert.equal(new Connection(lab, ends(f, 443, synthetic[f])).open().outcome, 'reject');
    }),
  );

  test('a name that no rule was asked about is asked about by an exact deny too', () =>
    lab.inside(() => {
      lab.forgetAll();
      const policy = policyOf([deny({ web: ['one'] }), permit()], { web: [webGroup('one', ['one.evil.example'])] });
      use(policy);
      const c = opened(4, 22);
      const bytes = clientHelloStream({ sni: 'one.evil.example' });
      const missed = c.say(bytes);
      assert.equal(missed.outcome, 'dropped');
      assert.deepEqual(
        missed.events.map(({ kind, name: said }) => [kind, said]),
        [[eventKind.nameMiss, 'one.evil.example']],
      );
      lab.classify(name('one.evil.example'));
      assert.equal(c.say(bytes, 0).outcome, 'reject');
      assert.equal(reasonFromNumber(c.flow!.reason), 'rule-denies');
    }));
});
