/** Packets that do not ask the policy first: what is malformed, spoofed, fragmented, tagged, or belongs to no flow, each with its reason. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventKind } from '@cofferdam/datapath';
import { contextOf, echoFrame, name, udpFrame } from '@cofferdam/testkit';
import { type Reason, reasonFromNumber } from '@cofferdam/verdict';
import { type KernelLab, kernelUnavailable, loadedPlan, type Outcome, openKernelLab, type Sent } from './kernel-lab.ts';
import { packetRows } from './kernel-packet-rows.ts';
import { shapeRows } from './kernel-packet-shapes.ts';
import {
  agent,
  arp,
  ends,
  families,
  fragment6,
  gateway,
  neighbour,
  policy,
  server,
  syn,
  synthetic,
  udp,
  udpBytes,
} from './kernel-packet-world.ts';

const skip = kernelUnavailable();
let lab: KernelLab;

/** Outcome and reason: from the event where there is one, else from the counter that moved. */
const judged = (send: () => Sent): { readonly sent: Sent; readonly says: string } => {
  const before = lab.drops();
  const sent = send();
  const event = sent.events.find(({ kind }) => kind === eventKind.denied || kind === eventKind.verdict);
  const moved = [...lab.drops()].find(([reason, count]) => count !== (before.get(reason) ?? 0n))?.[0];
  const reason: Reason | undefined = moved ?? (event === undefined ? undefined : reasonFromNumber(event.flow.reason));
  return { sent, says: reason === undefined ? sent.outcome : `${sent.outcome} ${reason}` };
};
const fromAgent = (frame: Uint8Array, on = 'eth1'): string => judged(() => lab.fromAgent(frame, on)).says;
describe('packets from an agent', { skip }, () => {
  before(() => {
    lab = openKernelLab();
    lab.apply(loadedPlan(policy, contextOf(policy, { gatewayAddresses: [gateway[4], gateway[6]] })));
    for (const f of families) lab.install(name('api.example.com'), [synthetic[f]], [server[f]]);
  });
  after(() => lab?.close());
  const inLab = (work: () => void) => () => lab.inside(work);

  for (const { what, frame, says, only, on } of [...packetRows, ...shapeRows])
    for (const family of families.filter((f) => only === undefined || only === f))
      test(
        `IPv${family}: ${what}`,
        inLab(() => {
          assert.equal(fromAgent(frame(family), on), typeof says === 'string' ? says : says(family));
        }),
      );

  test(
    'cut off at any length, nothing passes',
    inLab(() => {
      const open: readonly Outcome[] = ['pass', 'proxy', 'dns', 'local'];
      let tried = 0;
      for (const f of families)
        for (const frame of [
          syn(f),
          syn(f, 80, { tcpOptions: new Uint8Array(12).fill(1) }),
          udp(f),
          udpFrame(ends(f, 53)),
          echoFrame(agent[f], server[f], 'request', 5),
          ...(f === 4 ? [arp(agent[4])] : [neighbour(136, agent[6], agent[6]), fragment6(17, 0, true, udpBytes())]),
        ])
          for (let length = 14; length < frame.length; length++) {
            // Padding and options behind what is looked at are not missed in ARP and neighbour discovery.
            if (frame[12] === 8 && frame[13] === 6 && length >= 14 + 18) continue;
            if (frame[54] === 136 && length >= 54 + 24) continue;
            let outcome: Outcome;
            try {
              ({ outcome } = lab.fromAgent(frame.subarray(0, length)));
            } catch {
              continue; // the test run itself takes no frame that short
            }
            assert.ok(!open.includes(outcome), `IPv${f}, ${length} of ${frame.length} bytes: ${outcome}`);
            tried++;
          }
      assert.ok(tried > 250, `${tried} lengths`);
    }),
  );
});
