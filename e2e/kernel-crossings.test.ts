/** Flows from one agent to another, on two agent interfaces, and what one agent may take of what all share. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answerBit, firstBit, marks, type Quotas } from '@cofferdam/datapath';
import type { Address } from '@cofferdam/net';
import {
  clientHelloStream,
  coder,
  contextOf,
  type Ends,
  icmpFrame,
  address as ip,
  ipPacket,
  name,
  permit,
  policyOf,
  reversed,
  smartGroup,
  tcpFrame,
  udpFrame,
  udpHeaderAndPayload,
  webGroup,
  workload,
} from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import { type KernelLab, kernelUnavailable, loadedPlan, openKernelLab } from './kernel-lab.ts';

const skip = kernelUnavailable();
const one = { 4: ip('10.11.1.7'), 6: ip('fd11::7') } as const;
const other = { 4: ip('10.11.2.9'), 6: ip('fd12::9') } as const;
const synthetic = { 4: ip('198.18.1.1'), 6: ip('fd00:cffd:1::1') } as const;
const inventory = [coder, workload('database', ['10.11.2.9', 'fd12::9'], { interface: 'eth2' })];
const smart = [smartGroup('coder', ['agent:coder']), smartGroup('database', ['agent:database'])];
const web = [webGroup('named', ['db.internal.example'])];
const policy = policyOf(
  [
    permit({ from: ['coder'], to: ['database'], ports: ['5432'] }),
    permit({ from: ['coder'], to: ['database'], protocol: 'udp', ports: ['5000'] }),
    permit({ from: ['coder'], to: ['database'], protocol: 'icmp' }),
    permit({ from: ['coder'], to: ['database'], web: ['named'], ports: ['443'] }),
  ],
  { smart, web, inventory },
);
const none: Quotas = { flows: 0, hellos: 0, flowRate: 0, flowBurst: 0, eventRate: 0, eventBurst: 0 };

let lab: KernelLab;
let port = 2000;
const ends = (family: 4 | 6, destinationPort: number, destination: Address = other[family]): Ends => ({
  source: one[family],
  destination,
  sourcePort: ++port,
  destinationPort,
});

before(() => {
  if (!skip) lab = openKernelLab();
});
after(() => lab?.close());

const inLab = (work: (family: 4 | 6) => void) => () =>
  lab.inside(() => {
    for (const family of [4, 6] as const) {
      lab.forgetAll();
      lab.kernel.setQuotas(none);
      lab.apply(loadedPlan(policy, contextOf(policy)));
      work(family);
    }
  });

/** What a packet that was passed on one agent interface meets on its way out of another. */
const leaves = (frame: Uint8Array, mark: number, on: string) => lab.toAgent(frame, on, false, mark).outcome;

describe('from agent to agent', { skip }, () => {
  test(
    'a permitted flow leaves by the other interface with its mark, and its answers come back',
    inLab((f) => {
      const e = ends(f, 5000);
      const there = lab.fromAgent(udpFrame(e), 'eth1');
      assert.equal(there.outcome, 'pass');
      assert.equal(leaves(udpFrame(e), there.mark, 'eth2'), 'none');
      assert.equal(leaves(udpFrame(e), 0, 'eth2'), 'dropped', 'nothing leaves without the mark');
      const back = lab.fromAgent(udpFrame(reversed(e)), 'eth2');
      assert.deepEqual([back.outcome, back.mark], ['pass', (marks.pass + answerBit) >>> 0]);
      assert.equal(leaves(udpFrame(reversed(e)), back.mark, 'eth1'), 'none');
      assert.equal(lab.flow(e, 'udp')?.toAgent.packets, 1n);
    }),
  );

  test(
    'the other agent opens nothing by that, and answers nothing that is over',
    inLab((f) => {
      const e = ends(f, 5000);
      const back = (words: Partial<Ends> = {}) => lab.fromAgent(udpFrame({ ...reversed(e), ...words }), 'eth2');
      assert.equal(back().outcome, 'reject', 'nobody asked');
      lab.fromAgent(udpFrame(e), 'eth1');
      assert.equal(back().outcome, 'pass');
      assert.equal(back({ sourcePort: 5001 }).outcome, 'reject');
      assert.equal(back({ destinationPort: e.sourcePort - 1 }).outcome, 'reject');
      assert.equal(back({ destination: ip(f === 4 ? '10.11.1.8' : 'fd11::8') }).outcome, 'reject');
      assert.equal(
        lab.fromAgent(udpFrame(reversed(e)), 'eth1').outcome,
        'dropped',
        'it is not an agent of that interface',
      );
      lab.forgetAll();
      assert.equal(back().outcome, 'reject');
    }),
  );

  test(
    'an answer is judged where it leaves: after a change of plan it goes nowhere',
    inLab((f) => {
      const e = ends(f, 5432);
      const syn = lab.fromAgent(tcpFrame(e, { flags: 'S', sequence: 100 }), 'eth1');
      assert.equal(syn.outcome, 'pass');
      const synAck = tcpFrame(reversed(e), { flags: 'SA', sequence: 900, acknowledgement: 101 });
      const answer = lab.fromAgent(synAck, 'eth2');
      assert.equal(leaves(synAck, answer.mark, 'eth1'), 'none');
      // A SYN of the other agent between the same ends is no answer.
      const begins = tcpFrame(reversed(e), { flags: 'S', sequence: 7 });
      assert.equal(leaves(begins, lab.fromAgent(begins, 'eth2').mark, 'eth1'), 'dropped');
      const nothing = policyOf([], { smart, web, inventory });
      lab.apply(loadedPlan(nothing, contextOf(nothing)));
      const data = tcpFrame(reversed(e), {
        flags: 'PA',
        sequence: 901,
        acknowledgement: 101,
        payload: new Uint8Array(9),
      });
      const late = lab.fromAgent(data, 'eth2');
      assert.equal(leaves(data, late.mark, 'eth1'), 'dropped');
      assert.equal(lab.fromAgent(data, 'eth2').outcome, 'dropped', 'the flow is denied now');
    }),
  );

  test(
    'a flow to a name of the other agent is answered from its real address',
    inLab((f) => {
      lab.install(name('db.internal.example'), [synthetic[f]], [other[f]]);
      const e = ends(f, 443, synthetic[f]);
      const syn = lab.fromAgent(tcpFrame(e, { flags: 'S', sequence: 100 }), 'eth1');
      assert.deepEqual([syn.outcome, (syn.mark & firstBit) !== 0], ['pass', true]);
      const real = { ...e, destination: other[f] };
      assert.equal(leaves(tcpFrame(real, { flags: 'S', sequence: 100 }), syn.mark, 'eth2'), 'none');
      const synAck = (to: Ends) => tcpFrame(reversed(to), { flags: 'SA', sequence: 900, acknowledgement: 101 });
      const answer = lab.fromAgent(synAck(real), 'eth2');
      assert.equal(answer.outcome, 'pass');
      assert.equal(leaves(synAck(e), answer.mark, 'eth1'), 'none');
    }),
  );

  test(
    'ICMP errors of the other agent are about what it received, and pass cut',
    inLab((f) => {
      const e = ends(f, 5000);
      lab.fromAgent(udpFrame(e), 'eth1');
      const quoted = ipPacket(e.source, e.destination, 17, udpHeaderAndPayload(e));
      const error = (to: Address) =>
        icmpFrame(other[f], to, { type: f === 4 ? 3 : 1, code: f === 4 ? 3 : 4, payload: quoted });
      const sent = lab.fromAgent(error(one[f]), 'eth2');
      assert.deepEqual([sent.outcome, (sent.mark & answerBit) !== 0], ['pass', true]);
      assert.equal(leaves(error(one[f]), sent.mark, 'eth1'), 'none');
      assert.equal(lab.fromAgent(error(ip(f === 4 ? '10.11.1.8' : 'fd11::8')), 'eth2').outcome, 'dropped');
    }),
  );
});

describe('quotas', { skip }, () => {
  const denied = (frame: Uint8Array, on = 'eth1'): string | undefined => {
    const { events } = lab.fromAgent(frame, on);
    return events.map(({ flow }) => reasonFromNumber(flow.reason))[0];
  };
  const live = (f: 4 | 6): number | undefined =>
    [...lab.kernel.uses()].find(({ address }) => address?.family === f && address.value === one[f].value)?.flows;

  test(
    'an agent holds as many flows as it may, gets places back, and costs another nothing',
    inLab((f) => {
      lab.kernel.setQuotas({ ...none, flows: 3 });
      const flows = [1, 2, 3].map(() => ends(f, 5000));
      for (const e of flows) assert.equal(lab.fromAgent(udpFrame(e)).outcome, 'pass');
      assert.equal(live(f), 3);
      assert.equal(denied(udpFrame(ends(f, 5000))), 'flow-quota');
      assert.equal(lab.fromAgent(udpFrame(flows[0]!)).outcome, 'pass', 'no live one is cut');
      assert.equal(lab.flow(flows[0]!, 'udp')?.toDestination.packets, 2n);
      lab.kernel.forget({ ...flows[1]!, protocol: 'udp', ifindex: lab.indexOf('eth1') });
      assert.equal(live(f), 2);
      assert.equal(lab.fromAgent(udpFrame(ends(f, 5000))).outcome, 'pass');
      const back = policyOf([permit({ protocol: 'udp' })], { inventory });
      lab.apply(loadedPlan(back, contextOf(back)));
      const e = { source: other[f], destination: one[f], sourcePort: 7, destinationPort: 8 };
      assert.equal(lab.fromAgent(udpFrame(e), 'eth2').outcome, 'pass');
    }),
  );

  test(
    'an agent opens flows as fast as it may',
    inLab((f) => {
      lab.kernel.setQuotas({ ...none, flowRate: 1, flowBurst: 4 });
      const outcomes = Array.from({ length: 6 }, () => denied(udpFrame(ends(f, 5000))));
      assert.deepEqual(outcomes.slice(4), ['flow-rate', 'flow-rate']);
      assert.ok(!outcomes.slice(0, 4).includes('flow-rate'));
      const e = { source: other[f], destination: one[f], sourcePort: 7, destinationPort: 8 };
      assert.equal(denied(udpFrame(e), 'eth2'), 'no-rule', 'the other agent has a rate of its own');
    }),
  );

  test(
    'denials beyond the rate are counted and not told, spoofed sources at the cost of the interface',
    inLab((f) => {
      lab.kernel.setQuotas({ ...none, eventRate: 1, eventBurst: 2 });
      const told = (frame: Uint8Array): number =>
        Array.from({ length: 10 }, () => lab.fromAgent(frame).events.length).reduce((a, b) => a + b);
      const before = [...lab.kernel.uses()].reduce((sum, { untold }) => sum + untold, 0n);
      assert.equal(told(udpFrame(ends(f, 9))), 2);
      assert.equal(told(udpFrame({ ...ends(f, 9), source: ip(f === 4 ? '10.99.0.1' : 'fd99::1') })), f === 4 ? 2 : 0);
      const after = [...lab.kernel.uses()].reduce((sum, { untold }) => sum + untold, 0n);
      assert.equal(after - before, f === 4 ? 16n : 18n);
    }),
  );

  test(
    'an agent keeps as many hellos as it may',
    inLab((f) => {
      lab.kernel.setQuotas({ ...none, hellos: 2 });
      const anywhere = policyOf([permit({ web: ['named'], ports: ['443'] })], { web, inventory });
      lab.apply(loadedPlan(anywhere, contextOf(anywhere)));
      lab.install(name('db.internal.example'), [synthetic[f]], [ip(f === 4 ? '93.184.216.34' : '2606:2800:220:1::5')]);
      const part = clientHelloStream({ sni: 'db.internal.example' }).subarray(0, 40);
      const reads = (): string | undefined => {
        const e = ends(f, 443, synthetic[f]);
        const syn = lab.fromAgent(tcpFrame(e, { flags: 'S', sequence: 100 }));
        assert.equal(syn.outcome, 'pass');
        lab.toAgent(tcpFrame(reversed(e), { flags: 'SA', sequence: 900, acknowledgement: 101 }));
        return denied(tcpFrame(e, { flags: 'PA', sequence: 101, acknowledgement: 901, payload: part }));
      };
      assert.deepEqual([reads(), reads(), reads()], [undefined, undefined, 'hello-slots-full']);
      lab.forgetAll();
      assert.equal(reads(), undefined);
    }),
  );
});
