/** The ring buffer that events come through, so small that every few of them go round its end. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Kernel, type KernelEvent, layout, openKernel, runProgram } from '@cofferdam/datapath';
import { formatAddress } from '@cofferdam/net';
import { contextOf, tcpFrame } from '@cofferdam/testkit';
import { agent, everything, families, server } from './kernel-flow-world.ts';
import { type KernelLab, kernelUnavailable, loadedPlan, objectFile, openKernelLab } from './kernel-lab.ts';

const skip = kernelUnavailable();

/** Bytes: as few as a ring can have. */
const ringSize = 4096;
/** Of each event there is its length before it. */
const room = Math.floor(ringSize / (layout.event.size + 8));

describe('the ring buffer of events', { skip }, () => {
  let lab: KernelLab;
  let kernel: Kernel;
  let receive: (event: KernelEvent) => void = () => undefined;
  before(() => {
    lab = openKernelLab();
    kernel = openKernel(objectFile, (event) => receive(event), { events: ringSize });
    const { ifindexes } = lab;
    kernel.apply(loadedPlan(everything, contextOf(everything)), { ifindexes, pools: [], own: [] });
  });
  after(() => {
    kernel.close();
    lab.close();
  });

  /** A packet that no rule permits, told apart by its port. */
  const send = (port: number): void =>
    lab.inside(() => {
      const family = families[port % 2]!;
      const ends = { source: agent[family], destination: server[family], sourcePort: port, destinationPort: 9 };
      const frame = Buffer.from(tcpFrame(ends, { flags: 'S' }));
      runProgram(kernel.programs.fromAgent, frame, { ifindex: lab.indexOf('eth1') });
    });
  const taken = (): { readonly ports: readonly number[]; readonly count: number } => {
    const ports: number[] = [];
    receive = ({ key }) => {
      const family = families[key.sourcePort % 2]!;
      assert.equal(formatAddress(key.destination), formatAddress(server[family]));
      ports.push(key.sourcePort);
    };
    const count = kernel.poll();
    return { ports, count };
  };

  test('every event arrives once and in order, however often they go round the end', () => {
    for (let port = 1000, step = 0; step < 60; step++) {
      const sent = Array.from({ length: step % (room + 1) }, () => port++);
      for (const one of sent) send(one);
      assert.deepEqual(taken(), { ports: sent, count: sent.length });
      assert.deepEqual(taken(), { ports: [], count: 0 }, 'and not again');
    }
    assert.equal(kernel.eventsLost(), 0n);
  });

  test('those that had no room are counted, and the ring goes on', () => {
    const lost = kernel.eventsLost();
    const sent = Array.from({ length: 3 * room }, (_, i) => 5000 + i);
    for (const one of sent) send(one);
    assert.deepEqual(taken().ports, sent.slice(0, room));
    assert.equal(kernel.eventsLost() - lost, BigInt(2 * room));
    send(6000);
    assert.deepEqual(taken().ports, [6000]);
  });

  test('one that the receiver fails at is passed over, and the first failure is told when all are read', () => {
    for (const port of [7000, 7001, 7002, 7003]) send(port);
    const met: number[] = [];
    receive = ({ key: { sourcePort } }) => {
      met.push(sourcePort);
      if (sourcePort === 7001 || sourcePort === 7002) throw new Error(`not ${sourcePort}`);
    };
    assert.throws(() => kernel.poll(), /not 7001/);
    assert.deepEqual(met, [7000, 7001, 7002, 7003]);
    assert.deepEqual(taken(), { ports: [], count: 0 });
  });

  test('a ring that was closed has nothing, whoever asks, and may be closed by its receiver', () => {
    let other: Kernel | undefined;
    let met = 0;
    other = openKernel(
      objectFile,
      () => {
        met += 1;
        other?.close();
      },
      { events: ringSize },
    );
    const { ifindexes } = lab;
    other.apply(loadedPlan(everything, contextOf(everything)), { ifindexes, pools: [], own: [] });
    const { fromAgent } = other.programs;
    lab.inside(() => {
      for (const sourcePort of [1, 2, 3]) {
        const ends = { source: agent[4], destination: server[4], sourcePort, destinationPort: 9 };
        runProgram(fromAgent, Buffer.from(tcpFrame(ends, { flags: 'S' })), { ifindex: lab.indexOf('eth1') });
      }
    });
    assert.equal(other.poll(), 1);
    assert.equal(other.poll(), 0);
    assert.equal(met, 1);
  });
});
