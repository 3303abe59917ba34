import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  encodeFlowKey,
  eventKind,
  type FlowEntry,
  type FlowKey,
  flowFlag,
  flowId,
  flowState,
  type KernelEvent,
  type KernelFlow,
} from '@cofferdam/datapath';
import type { FlowRecord } from '@cofferdam/flows';
import { type DomainName, parseAddress } from '@cofferdam/net';
import { absent, known, type Reason, reasonEntry, unknown } from '@cofferdam/verdict';
import type { Gate } from '../src/gate.ts';
import { createKernelFlowLog } from '../src/kernel-flow-log.ts';
import { isCollected } from './collected.ts';
import { fakeGate, rule } from './fakes.ts';

const address = (text: string) => parseAddress(text)!;
const second = 1_000_000_000n;

const key = (over: Partial<FlowKey> = {}): FlowKey => ({
  ifindex: 2,
  protocol: 'tcp',
  source: address('198.18.0.2'),
  sourcePort: 40_000,
  destination: address('198.18.1.0'),
  destinationPort: 443,
  ...over,
});

const flow = (reason: Reason, over: Partial<KernelFlow> = {}): KernelFlow => ({
  start: 0n,
  last: 0n,
  firstByte: 0n,
  toDestination: { bytes: 100n, packets: 2n },
  toAgent: { bytes: 200n, packets: 3n },
  real: address('140.82.121.6'),
  agent: 0,
  name: 7,
  revision: 3,
  flags: 0,
  rule: undefined,
  wouldRule: undefined,
  wouldVerdict: undefined,
  wouldReason: 0,
  state: flowState.binding,
  reason: reasonEntry(reason).number,
  stage: 'packet',
  tls: unknown,
  claimed: unknown,
  slot: 0,
  ...over,
});

/** By id; the second is of a set. */
const names = new Map([
  [7, ['api.example.com']],
  [8, ['api.example.com', 'cdn.example.net']],
]);

const event = (
  kind: number,
  one: KernelFlow,
  { key: of = key(), name = '' }: Partial<Pick<KernelEvent, 'key' | 'name'>> = {},
): KernelEvent => ({ kind, id: flowId(encodeFlowKey(of)), key: of, flow: one, name });

interface Row {
  readonly key: FlowKey;
  readonly flow: KernelFlow;
}

const entry = ({ key: of, flow: one }: Row): FlowEntry => {
  const { start, last, firstByte, state, flags } = one;
  return {
    id: flowId(encodeFlowKey(of)),
    key: of,
    flow: one,
    protocol: of.protocol,
    start,
    last,
    firstByte,
    state,
    flags,
  };
};

const desk = (gate: () => Gate | undefined = () => undefined) => {
  const records: FlowRecord[] = [];
  const forgotten: FlowKey[] = [];
  const denied: (readonly [FlowKey, number])[] = [];
  const classified: DomainName[] = [];
  let now = 1000;
  let id = 0;
  const log = createKernelFlowLog({
    gateway: 'test',
    interfaceOf: () => 'agent0',
    began: 0n,
    flowId: (_, start) => `f${start + 1n}`,
    gate,
    namesOf: (id) => (names.get(id) ?? []).map((one) => one as DomainName),
    isPooled: (one) => one.value >> 16n === address('198.18.0.0').value >> 16n,
    wallTime: (boot) => Number(boot / 1_000_000n),
    now: () => now,
    nextId: () => `f${++id}`,
    emit: (record) => records.push(record),
    forget: (one) => forgotten.push(one),
    deny: (one, reason) => denied.push([one, reason]),
    classify: (name) => classified.push(name),
  });
  return {
    log: {
      receive: log.receive,
      sweep: (rows: readonly Row[], at: bigint) => log.sweep(rows.map(entry), at),
      finish: (rows: readonly Row[]) => log.finish(rows.map(entry)),
    },
    walk: log.sweep,
    records,
    forgotten,
    denied,
    classified,
    at: (ms: number) => (now = ms),
  };
};

test('a flow has a record when its name is read, and one under the same id at its end', () => {
  const d = desk();
  d.log.receive(event(eventKind.verdict, flow('rule')));
  assert.equal(d.records.length, 0, 'its name is still to come');
  const read = { tls: known(true as const), claimed: known(true as const), stage: 'name' as const };
  d.log.receive(event(eventKind.verdict, flow('rule', read), { name: 'api.example.com' }));
  const closed = flow('rule', { ...read, flags: flowFlag.reset, last: second });
  d.log.sweep([{ key: key(), flow: closed }], 10n * second);
  assert.deepEqual(
    d.records.map(({ id, end, claimedName, verdict }) => ({ id, end, claimedName, verdict })),
    [
      { id: 'f1', end: undefined, claimedName: known('api.example.com'), verdict: 'permit' },
      { id: 'f1', end: 1000, claimedName: known('api.example.com'), verdict: 'permit' },
    ],
  );
  assert.deepEqual(d.forgotten, [key()]);
  assert.equal(d.records[1]!.synthetic?.value, address('198.18.1.0').value);
  assert.deepEqual(d.records[1]!.addressNames, ['api.example.com']);
});

test('a record has all names that its address was given for', () => {
  const d = desk();
  const direct = { name: 8, tls: known(true as const), claimed: absent };
  const to = key({ destination: address('140.82.121.6') });
  d.log.receive(event(eventKind.verdict, flow('rule', direct), { key: to }));
  d.log.receive(event(eventKind.denied, flow('no-rule', { name: 9, state: flowState.denied }), { key: to }));
  assert.deepEqual(
    d.records.map(({ addressNames, synthetic }) => [addressNames, synthetic]),
    [
      [['api.example.com', 'cdn.example.net'], undefined],
      [[], undefined],
    ],
  );
});

test('a flow that says nothing has its first record after a second', () => {
  const d = desk();
  d.log.receive(event(eventKind.verdict, flow('rule')));
  d.log.sweep([{ key: key(), flow: flow('rule', { flags: flowFlag.synAnswered }) }], second / 2n);
  assert.equal(d.records.length, 0);
  d.log.sweep([{ key: key(), flow: flow('rule', { flags: flowFlag.synAnswered }) }], 2n * second);
  assert.equal(d.records.length, 1);
});

test('a live flow that is denied ends with that reason, once', () => {
  const d = desk();
  d.log.receive(event(eventKind.verdict, flow('rule')));
  const belied = flow('name-mismatch', {
    state: flowState.denied,
    tls: known(true as const),
    claimed: known(true as const),
  });
  d.log.receive(event(eventKind.verdict, belied, { name: 'evil.example' }));
  assert.deepEqual(
    d.records.map(({ verdict, reason, claimedName }) => [verdict, reason, claimedName]),
    [['deny', 'name-mismatch', known('evil.example')]],
  );
  d.log.sweep([{ key: key(), flow: belied }], 60n * second);
  assert.equal(d.records.length, 1, 'the sweep adds none');
});

test('the same denied packet again within five seconds is the same record', () => {
  const d = desk();
  const packet = event(eventKind.denied, flow('no-rule', { state: flowState.denied }));
  d.log.receive(packet);
  d.log.receive(packet);
  d.at(5999);
  d.log.receive(packet);
  assert.equal(d.records.length, 1);
  d.at(6000);
  d.log.receive(packet);
  d.log.receive(
    event(eventKind.denied, flow('no-rule', { state: flowState.denied }), { key: key({ destinationPort: 80 }) }),
  );
  assert.equal(d.records.length, 3);
});

test('a walk reads no more of a flow that is to be left alone than what says so', () => {
  const d = desk();
  const alone = (one: KernelFlow): FlowEntry => {
    const unread = (): never => {
      throw new Error('it was read');
    };
    return Object.defineProperties(entry({ key: key(), flow: one }), { key: { get: unread }, flow: { get: unread } });
  };
  const closed = flow('rule', { flags: flowFlag.clientFin | flowFlag.serverFin, state: flowState.permitted });
  d.log.receive(event(eventKind.verdict, flow('rule', { tls: absent, claimed: absent })));
  d.walk([alone(closed)], 2n * second);
  assert.equal(d.records.length, 1, 'its start');
  assert.throws(() => d.walk([alone(closed)], 2n * second + 1n), /it was read/, 'control: it is over');
});

test('what the kernel has no more is forgotten, though nothing said so: the next flow in its place is another', () => {
  const d = desk();
  const read = { tls: absent, claimed: absent };
  d.log.receive(event(eventKind.verdict, flow('rule', read)));
  d.log.sweep([{ key: key(), flow: flow('rule', read) }], second);
  d.log.receive(event(eventKind.verdict, flow('rule', read)));
  d.log.sweep([{ key: key({ sourcePort: 9 }), flow: flow('rule', read) }], 2n * second);
  d.log.receive(event(eventKind.verdict, flow('rule', { ...read, start: 3n * second })));
  assert.deepEqual(
    d.records.map(({ id, end }) => [id, end]),
    [
      ['f1', undefined],
      ['f3000000001', undefined],
    ],
  );
});

test('ten seconds after its first byte an undecided flow is denied, in the kernel and in its record', () => {
  const d = desk();
  const waiting = flow('no-decision', { state: flowState.pending, firstByte: second });
  d.log.sweep([{ key: key(), flow: waiting }], 10n * second);
  assert.deepEqual(d.denied, []);
  d.log.sweep([{ key: key(), flow: waiting }], 12n * second);
  assert.deepEqual(d.denied, [[key(), reasonEntry('undecided-timeout').number]]);
  assert.deepEqual(
    d.records.map(({ reason }) => reason),
    ['undecided-timeout'],
  );
});

test('an undecided flow that ends was never permitted', () => {
  const d = desk();
  d.log.sweep(
    [{ key: key(), flow: flow('no-decision', { state: flowState.pending, flags: flowFlag.reset }) }],
    9n * second,
  );
  assert.deepEqual(
    d.records.map(({ verdict, reason }) => [verdict, reason]),
    [['deny', 'undecided-closed']],
  );
});

test('idle flows end by their protocol, live ones stay', () => {
  const idle = (protocol: 'tcp' | 'udp' | 'icmp', after: bigint) => {
    const d = desk();
    const one = flow('rule', { state: flowState.permitted, flags: flowFlag.synAnswered });
    d.log.sweep([{ key: key({ protocol }), flow: one }], after * second);
    return d.forgotten.length === 1;
  };
  assert.deepEqual([idle('udp', 119n), idle('udp', 121n)], [false, true]);
  assert.deepEqual([idle('icmp', 29n), idle('icmp', 31n)], [false, true]);
  assert.deepEqual([idle('tcp', 86_399n), idle('tcp', 86_401n)], [false, true]);
});

test('what the proxy holds is recorded by the proxy', () => {
  const d = desk();
  const held = flow('rule', { state: flowState.proxied, flags: flowFlag.reset });
  d.log.sweep([{ key: key(), flow: held }], 60n * second);
  assert.deepEqual([d.records.length, d.forgotten.length], [0, 1]);
  d.log.finish([{ key: key(), flow: held }]);
  assert.equal(d.records.length, 0);
});

test('a claimed name that nobody resolved is classified; what is no name is not', () => {
  const d = desk();
  d.log.receive(event(eventKind.nameMiss, flow('no-decision'), { name: 'www.example.com' }));
  d.log.receive(event(eventKind.nameMiss, flow('no-decision'), { name: 'bad name\n' }));
  assert.deepEqual(d.classified, ['www.example.com']);
});

test('a protocol that no rule can permit keeps its number', () => {
  const d = desk();
  const packet = flow('protocol-not-supported', { state: flowState.denied, tls: absent, claimed: absent });
  d.log.receive(event(eventKind.denied, packet, { key: key({ protocol: 132, sourcePort: 0, destinationPort: 0 }) }));
  assert.deepEqual(
    d.records.map(({ protocol, destination }) => [protocol, destination.port]),
    [['ip-132', undefined]],
  );
});

test('what is live when the run ends has its last record then', () => {
  const d = desk();
  d.log.receive(event(eventKind.verdict, flow('rule', { tls: known(true as const) })));
  d.at(5000);
  d.log.finish([{ key: key(), flow: flow('rule', { tls: known(true as const), state: flowState.permitted }) }]);
  assert.deepEqual(
    d.records.map(({ end }) => end),
    [undefined, 5000],
  );
});

test('a live flow keeps the name of its rule, and not the plan that has it', async () => {
  const gateOf = (revision: number): Gate => ({
    ...fakeGate({ rules: [rule({ name: `of ${revision}` })] }),
    revision,
    commit: `c${revision}`,
  });
  let gate = gateOf(3);
  const before = new WeakRef(gate);
  const d = desk(() => gate);
  const permitted = flow('rule', { rule: 0, tls: absent, claimed: absent });
  d.log.receive(event(eventKind.verdict, permitted));
  assert.equal(await isCollected(before), false, 'control: it is in force');
  gate = gateOf(4);
  assert.ok(await isCollected(before));
  d.log.receive(event(eventKind.end, { ...permitted, flags: flowFlag.reset }));
  assert.deepEqual(
    d.records.map((one) => [one.end, one.rule?.name, one.commit, one.revision]),
    [
      [undefined, 'of 3', 'c3', 3],
      [0, 'of 3', 'c3', 3],
    ],
  );
});

test('a record names the rule of the plan that judged the flow last, or none where that plan is gone', () => {
  const named = (revision: number, name: string): Gate => ({
    ...fakeGate({ rules: [rule({ reference: { index: 0, name, ruleset: 'rules', tier: 'agent' } })] }),
    revision,
  });
  let gate = named(3, 'before');
  const d = desk(() => gate);
  const permitted = flow('rule', { rule: 0, tls: absent, claimed: absent });
  d.log.receive(event(eventKind.verdict, permitted));
  gate = named(4, 'after');
  d.log.receive(event(eventKind.end, { ...permitted, start: second }, { key: { ...key(), sourcePort: 9 } }));
  const cut = { ...permitted, revision: 4, state: flowState.denied, reason: reasonEntry('flow-cut').number };
  d.log.receive(event(eventKind.verdict, cut));
  assert.deepEqual(
    d.records.map((one) => [one.reason, one.rule?.name]),
    [
      ['rule', 'before'],
      ['rule', undefined],
      ['flow-cut', 'after'],
    ],
  );
});
