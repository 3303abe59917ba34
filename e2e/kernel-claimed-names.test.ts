/** Names that clients claim and that stand for no address: how the kernel forgets one, and what that is to flows that claimed it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventKind } from '@cofferdam/datapath';
import { classifyName } from '@cofferdam/plan';
import { clientHelloStream, deny, name, permit, policyOf, webGroup } from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import { lab, labForTests, opened, use } from './kernel-flow-world.ts';
import { isReset, kernelUnavailable, plainServerHello } from './kernel-lab.ts';

const denying = (...patterns: readonly string[]) =>
  policyOf([deny({ web: ['bad'] }), permit()], { web: [webGroup('bad', patterns)] });
const claimed = name('some.example');
const bytes = clientHelloStream({ sni: claimed });

describe('a claimed name', { skip: kernelUnavailable() }, () => {
  labForTests();

  /** A new flow that claims the name: whether the kernel knew it. */
  const isKnown = (): boolean => {
    const sent = opened(4, 22).say(bytes);
    const missed = sent.events.some(({ kind }) => kind === eventKind.nameMiss);
    assert.equal(sent.outcome, missed ? 'dropped' : 'pass');
    return !missed;
  };

  test('is held by the flows that claimed it', () =>
    lab.inside(() => {
      lab.forgetAll();
      use(denying('**.evil.example'));
      assert.equal(isKnown(), false, 'control');
      const id = lab.classify(claimed);
      assert.equal(lab.kernel.namesInUse().has(id), false);
      assert.equal(isKnown(), true);
      assert.equal(lab.kernel.namesInUse().has(id), true);
      lab.forgetAll();
      assert.equal(lab.kernel.namesInUse().has(id), false);
    }));

  test('that is not to be claimed any more is missed by new flows, and live ones are judged by it still', () =>
    lab.inside(() => {
      lab.forgetAll();
      use(denying('**.evil.example'));
      const id = lab.classify(claimed);
      const live = opened(4, 22);
      assert.equal(live.say(bytes).outcome, 'pass');
      live.answer(plainServerHello);
      lab.kernel.unclaim(id, claimed);
      assert.equal(isKnown(), false);
      use(denying('**.evil.example', 'other.example'));
      assert.equal(live.say(new Uint8Array(3)).outcome, 'pass');
      use(denying('**.evil.example', 'some.example'));
      assert.ok(isReset(live.say(new Uint8Array(3))), 'its rows are those of the next plan too');
      assert.equal(reasonFromNumber(live.flow!.reason), 'flow-cut');
    }));

  test('that has another id by now is left alone', () =>
    lab.inside(() => {
      lab.forgetAll();
      use(denying('**.evil.example'));
      const id = lab.classify(claimed);
      lab.kernel.unclaim(id + 1, claimed);
      assert.equal(isKnown(), true);
    }));

  test('that was forgotten is classified anew, under another id', () =>
    lab.inside(() => {
      lab.forgetAll();
      use(denying('**.evil.example', 'some.example'));
      const id = lab.classify(claimed);
      lab.kernel.unclaim(id, claimed);
      lab.kernel.unclassify(id);
      lab.kernel.unclassify(id);
      const flow = opened(4, 22);
      assert.equal(flow.say(bytes).events[0]?.kind, eventKind.nameMiss);
      assert.ok(lab.kernel.classify(id + 1000, claimed, classifyName(lab.plan(), claimed)));
      assert.equal(flow.say(bytes, 0).outcome, 'reject');
      assert.equal(reasonFromNumber(flow.flow!.reason), 'rule-denies');
    }));
});
