import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AgentIdentity, type AnyRecord, type DnsRecord, type FlowRecord, recordVersion } from '@cofferdam/flows';
import { absent, unknown } from '@cofferdam/verdict';
import { createRecordBudget, defaultRecordBudget, type Suppressed } from '../src/record-budget.ts';
import { createRecordWriter } from '../src/record-writer.ts';
import { address } from './fakes.ts';

const coder: AgentIdentity = { name: 'coder', labels: {} };
const tester: AgentIdentity = { name: 'tester', labels: {} };
const stranger: AgentIdentity = { labels: {} };
const noon = Date.UTC(2027, 0, 31, 12);
const brief = (list: readonly Suppressed[]) =>
  list.map(({ agent, reason, count, start, end }) => [agent.name, reason, count, start - noon, end - noon]);

describe('the budget of an agent', () => {
  test('a burst is written in full, and then so many a second; the rest is counted', () => {
    const budget = createRecordBudget(defaultRecordBudget);
    const { rate, burst } = defaultRecordBudget;
    let taken = 0;
    const seconds = 20;
    for (let i = 0; i < seconds * 1000; i++) if (budget.take(coder, 'no-rule', noon + i)) taken += 1;
    assert.ok(Math.abs(taken - (burst + rate * seconds)) <= 2, `${taken} were taken`);
    const [all, ...others] = budget.due(Number.POSITIVE_INFINITY);
    assert.deepEqual(others, []);
    assert.equal(taken + (all?.count ?? 0), seconds * 1000, 'each is one or the other');
  });

  test('one agent’s flood is not another’s', () => {
    const budget = createRecordBudget({ rate: 1, burst: 2, every: 1000 });
    const told = [coder, coder, coder, tester, stranger, stranger, stranger, tester].map((agent) =>
      budget.take(agent, 'no-rule', noon),
    );
    assert.deepEqual(told, [true, true, false, true, true, true, false, true]);
    assert.deepEqual(brief(budget.due(Number.POSITIVE_INFINITY)), [
      ['coder', 'no-rule', 1, 0, 0],
      [undefined, 'no-rule', 1, 0, 0],
    ]);
  });

  test('what was suppressed is told by reason, once, when it is old enough', () => {
    const budget = createRecordBudget({ rate: 0, burst: 0, every: 1000 });
    for (const at of [0, 10, 990]) budget.take(coder, 'no-rule', noon + at);
    for (const at of [500, 700]) budget.suppress(coder, 'dns-rate', noon + at);
    assert.deepEqual(brief(budget.due(noon + 999)), []);
    assert.deepEqual(brief(budget.due(noon + 1000)), [['coder', 'no-rule', 3, 0, 990]]);
    assert.deepEqual(brief(budget.due(noon + 1499)), []);
    budget.take(coder, 'no-rule', noon + 1499);
    assert.deepEqual(brief(budget.due(noon + 1500)), [['coder', 'dns-rate', 2, 500, 700]]);
    assert.deepEqual(brief(budget.due(Number.POSITIVE_INFINITY)), [['coder', 'no-rule', 1, 1499, 1499]]);
    assert.deepEqual(brief(budget.due(Number.POSITIVE_INFINITY)), []);
  });

  test('a clock that is set back neither stops records nor reports', () => {
    const budget = createRecordBudget({ rate: 10, burst: 1, every: 1000 });
    assert.deepEqual([budget.take(coder, 'no-rule', noon), budget.take(coder, 'no-rule', noon)], [true, false]);
    const hour = 3_600_000;
    assert.equal(budget.take(coder, 'no-rule', noon - hour), false);
    assert.equal(budget.take(coder, 'no-rule', noon - hour + 200), true);
    assert.deepEqual(brief(budget.due(noon - hour - 1)), [['coder', 'no-rule', 2, -hour, 0]]);
  });
});

describe('the records of a run', () => {
  const flow = (id: string, more: Partial<FlowRecord> = {}): FlowRecord => ({
    version: recordVersion,
    kind: 'flow',
    id,
    gateway: 'g',
    start: noon,
    end: noon,
    agent: coder,
    source: { address: address('198.18.0.2'), port: 40000 },
    interface: 'agent0',
    destination: { address: address('93.184.216.34'), port: 443 },
    protocol: 'tcp',
    addressNames: [],
    tls: unknown,
    claimedName: unknown,
    request: absent,
    mcp: absent,
    verdict: 'deny',
    reason: 'no-rule',
    enforced: true,
    revision: 3,
    stage: 'packet',
    path: 'kernel',
    toDestination: { bytes: 0n, packets: 0n },
    toAgent: { bytes: 0n, packets: 0n },
    ...more,
  });
  const dns = (id: string): DnsRecord => ({
    version: recordVersion,
    kind: 'dns',
    id,
    gateway: 'g',
    start: noon,
    end: noon,
    agent: coder,
    source: { address: address('198.18.0.2'), port: 40000 },
    verdict: 'deny',
    reason: 'dns-not-permitted',
    enforced: true,
    revision: 3,
    transport: 'udp',
    server: { address: address('198.18.0.1'), port: 53 },
    name: 'a.example',
    type: 'A',
    rcode: 'REFUSED',
    synthetic: [],
    addresses: [],
  });
  const begun = (id: string): FlowRecord => {
    const { end: _end, ...rest } = flow(id, { verdict: 'permit', reason: 'rule' });
    return rest;
  };
  const writing = () => {
    const written: AnyRecord[] = [];
    const budget = createRecordBudget({ rate: 0, burst: 1, every: 1000 });
    const writer = createRecordWriter({
      gateway: 'g',
      budget,
      now: () => noon,
      nextId: () => 'next',
      revision: () => 3,
      write: (record) => written.push(record),
    });
    return { ...writer, written, ids: () => written.map(({ id }) => id) };
  };

  test('denials of every kind share the budget, and permits have none', () => {
    const { emit, ids, report, written } = writing();
    emit(flow('1'));
    for (const one of [flow('2'), dns('3'), dns('4'), flow('5', { kind: 'request', flow: '0' })]) emit(one);
    emit(flow('6', { verdict: 'permit', reason: 'rule' }));
    assert.deepEqual(ids(), ['1', '6']);
    report(noon + 999);
    assert.deepEqual(ids(), ['1', '6']);
    report(noon + 1000);
    assert.deepEqual(
      written.slice(2).map((one) => one.kind === 'suppressed' && [one.id, one.reason, one.count, one.revision]),
      [
        ['next', 'no-rule', 2, 3],
        ['next', 'dns-not-permitted', 2, 3],
      ],
    );
  });

  test('a flow whose start was written has its end, whatever the flood', () => {
    const { emit, ids } = writing();
    emit(begun('1'));
    for (const id of ['2', '3', '4']) emit(flow(id));
    emit(flow('1', { reason: 'flow-cut' }));
    emit(flow('5'));
    assert.deepEqual(ids(), ['1', '2', '1']);
  });
});
