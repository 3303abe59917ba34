import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CutFlow, FlowKey } from '@cofferdam/datapath';
import { literalPrefix } from '@cofferdam/net';
import { createCutFlows } from '../src/cut-flows.ts';

const flow = (sourcePort: number, clientAck: number): CutFlow => ({
  key: {
    ifindex: 2,
    protocol: 'tcp',
    source: literalPrefix('10.11.1.7/32').address,
    sourcePort,
    destination: literalPrefix('198.18.1.0/32').address,
    destinationPort: 443,
  },
  clientAck,
});

/** A kernel whose plan changes as a test says, and what is said to agents, in order. */
const started = () => {
  const said: string[] = [];
  const waiting: (() => void)[] = [];
  const state = { generation: 1n, cut: [] as readonly CutFlow[], acks: new Map<number, number>(), judged: 0 };
  const cutFlows = createCutFlows({
    kernel: {
      generation: () => state.generation,
      judgeAnew: () => {
        state.judged++;
        return state.cut;
      },
      clientAck: ({ sourcePort }: FlowKey) => state.acks.get(sourcePort),
    },
    resets: {
      probe: ({ sourcePort }, ack) => void said.push(`probe ${sourcePort} ${ack}`),
      reset: ({ sourcePort }, ack) => void said.push(`reset ${sourcePort} ${ack}`),
    },
    later: (step) => void waiting.push(step),
  });
  const wait = (): void => {
    for (const step of waiting.splice(0)) step();
  };
  return { said, state, cutFlows, wait };
};

test('nothing is judged anew while plan and hour stay', () => {
  const { state, cutFlows } = started();
  cutFlows.look();
  cutFlows.look();
  assert.equal(state.judged, 0);
  state.generation = 2n;
  cutFlows.look();
  cutFlows.look();
  assert.equal(state.judged, 1);
});

test('what is cut is asked first and reset then, where its agent stands by that time', () => {
  const { said, state, cutFlows, wait } = started();
  state.cut = [flow(40_000, 7), flow(40_001, 9)];
  state.generation = 2n;
  cutFlows.look();
  assert.deepEqual(said, ['probe 40000 7', 'probe 40001 9']);
  state.acks.set(40_000, 8);
  wait();
  assert.deepEqual(said.slice(2), ['reset 40000 8', 'reset 40001 9']);
});
