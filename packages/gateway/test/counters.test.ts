import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeFlowKey, eventKind, flowId, type KernelFlow } from '@cofferdam/datapath';
import { ruleKey } from '@cofferdam/flows';
import { type Facts, reasonEntry, unknown, type WouldBe } from '@cofferdam/verdict';
import { createCounters } from '../src/counters.ts';
import type { Settled } from '../src/judgement.ts';
import { createKernelFlowLog } from '../src/kernel-flow-log.ts';
import { address, fakeGate, rule } from './fakes.ts';

const keys = [ruleKey({ ruleset: 'desk', name: 'code' }), ruleKey({ ruleset: 'desk', name: 'model' })] as const;

const counters = (began = 0n) => {
  const made = createCounters({ now: () => 1000, began });
  made.plan(1, keys);
  return made;
};

const flow = (over: Partial<KernelFlow>): KernelFlow => ({
  start: 10n,
  last: 10n,
  firstByte: 0n,
  toDestination: { bytes: 0n, packets: 0n },
  toAgent: { bytes: 0n, packets: 0n },
  real: address('192.0.2.1'),
  agent: 0,
  name: 0,
  revision: 1,
  flags: 0,
  rule: undefined,
  wouldRule: undefined,
  wouldVerdict: undefined,
  wouldReason: 0,
  state: 3,
  reason: 1,
  stage: 'packet',
  tls: unknown,
  claimed: unknown,
  slot: 0,
  ...over,
});

describe('would-be verdicts of flows in the kernel', () => {
  test('counted for the rule that would have decided', () => {
    const { kernelFlow, rules } = counters();
    const lifted = flow({ wouldVerdict: 'deny', wouldRule: 0 });
    kernelFlow('permit', lifted);
    kernelFlow('permit', flow({ wouldVerdict: 'permit', wouldRule: 1 }));
    assert.deepEqual(rules.of(keys[0]), { permitted: 0, denied: 0, wouldPermit: 0, wouldDeny: 1, last: 1000 });
    assert.deepEqual(rules.of(keys[1]), { permitted: 0, denied: 0, wouldPermit: 1, wouldDeny: 0, last: 1000 });
    // What did decide is the kernel's to count.
    assert.equal(rules.of('default').permitted, 0);
  });

  test('the default’s too, where monitoring lets pass what it would deny', () => {
    const { kernelFlow, rules } = counters();
    kernelFlow('permit', flow({ wouldVerdict: 'deny' }));
    assert.deepEqual(rules.of('default'), { permitted: 0, denied: 0, wouldPermit: 0, wouldDeny: 1, last: 1000 });
  });

  test('not where the same rule decided the same, where a fact is missing, or nothing is monitored', () => {
    const { kernelFlow, rules } = counters();
    kernelFlow('permit', flow({ rule: 0, wouldVerdict: 'permit', wouldRule: 0 }));
    kernelFlow('permit', flow({ wouldVerdict: 'unknown' }));
    kernelFlow('permit', flow({}));
    assert.deepEqual([...rules.keys()], []);
  });

  test('of the rules of the plan that decided, also when its flows end under the next', () => {
    const { kernelFlow, plan, rules } = counters();
    plan(2, [keys[1], keys[0]]);
    kernelFlow('permit', flow({ revision: 1, wouldVerdict: 'deny', wouldRule: 0 }));
    kernelFlow('permit', flow({ revision: 2, wouldVerdict: 'deny', wouldRule: 0 }));
    assert.deepEqual([rules.of(keys[0]).wouldDeny, rules.of(keys[1]).wouldDeny], [1, 1]);
    plan(3, []);
    kernelFlow('permit', flow({ revision: 1, wouldVerdict: 'deny', wouldRule: 0 }));
    assert.equal(rules.of(keys[0]).wouldDeny, 1, 'rules of a plan long gone are nobody’s');
  });

  test('a flow that was there before this process was counted by the one before', () => {
    const { kernelFlow, rules } = counters(100n);
    kernelFlow('permit', flow({ start: 99n, wouldVerdict: 'deny' }));
    assert.deepEqual([...rules.keys()], []);
    kernelFlow('permit', flow({ start: 100n, wouldVerdict: 'deny' }));
    assert.equal(rules.of('default').wouldDeny, 1);
  });
});

describe('decisions of the proxy', () => {
  const facts = {} as Facts;
  const settled = (over: Partial<Settled>): Settled => ({
    kind: 'permit',
    rule: 0,
    stage: 'request',
    reason: 'rule',
    enforced: true,
    ...over,
  });
  const gate = (wouldBe?: WouldBe) => fakeGate(wouldBe === undefined ? {} : { wouldBe: () => wouldBe });

  test('by rule, and by verdict and reason', () => {
    const { proxyDecision, rules, proxied } = counters();
    proxyDecision(gate(), settled({}), facts);
    proxyDecision(gate(), settled({}), facts);
    proxyDecision(gate(), settled({ kind: 'deny', rule: 'default', reason: 'no-rule' }), facts);
    assert.deepEqual([rules.of(keys[0]).permitted, rules.of('default').denied], [2, 1]);
    assert.deepEqual(
      [...proxied.values()],
      [
        { verdict: 'permit', reason: 'rule', count: 2 },
        { verdict: 'deny', reason: 'no-rule', count: 1 },
      ],
    );
  });

  test('with what everything enforced would say', () => {
    const { proxyDecision, rules } = counters();
    proxyDecision(gate({ verdict: 'deny', rule: 1, reason: 'rule-denies' }), settled({}), facts);
    proxyDecision(gate('unknown'), settled({}), facts);
    assert.deepEqual(rules.of(keys[0]), { permitted: 2, denied: 0, wouldPermit: 0, wouldDeny: 0, last: 1000 });
    assert.deepEqual(rules.of(keys[1]), { permitted: 0, denied: 0, wouldPermit: 0, wouldDeny: 1, last: 1000 });
  });

  test('without a plan it is the default', () => {
    const { proxyDecision, rules } = counters();
    proxyDecision(undefined, settled({ kind: 'deny', rule: 'default', reason: 'no-plan' }), facts);
    assert.equal(rules.of('default').denied, 1);
  });
});

test('the log of the kernel’s flows tells of every flow once, and of denials, also where nothing is recorded', () => {
  const seen: string[] = [];
  const records: string[] = [];
  const log = createKernelFlowLog({
    gateway: 'test',
    interfaceOf: () => 'agent0',
    gate: () => fakeGate({ rules: [rule({ log: 'none' })] }),
    namesOf: () => [],
    isPooled: () => false,
    began: 0n,
    wallTime: Number,
    now: () => 1000,
    nextId: () => 'denied',
    flowId: () => 'flow',
    emit: ({ id }) => records.push(id),
    observe: (verdict, { wouldVerdict, last }) => seen.push(`${verdict} ${wouldVerdict} ${last}`),
    forget: () => undefined,
    deny: () => undefined,
    classify: () => undefined,
  });
  const key = {
    ifindex: 2,
    protocol: 'udp',
    source: address('127.0.0.1'),
    sourcePort: 1,
    destination: address('192.0.2.1'),
    destinationPort: 2,
  } as const;
  const id = flowId(encodeFlowKey(key));
  const tell = (kind: number, one: KernelFlow): void => log.receive({ kind, id, key, flow: one, name: '' });
  tell(eventKind.verdict, flow({ rule: 0, last: 1n, wouldVerdict: 'deny' }));
  tell(eventKind.end, flow({ rule: 0, last: 2n, wouldVerdict: 'deny' }));
  // Over before its start was told.
  tell(eventKind.end, flow({ rule: 0, last: 3n, wouldVerdict: 'deny' }));
  const reason = reasonEntry('rule-denies').number;
  tell(eventKind.denied, flow({ rule: 0, last: 4n, reason, wouldVerdict: 'permit' }));
  assert.deepEqual(seen, ['permit deny 1', 'permit deny 3', 'deny permit 4']);
  assert.deepEqual(records, []);
});
