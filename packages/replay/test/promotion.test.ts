import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AnyRecord } from '@cofferdam/flows';
import { agentOf, resolvable, usableAddress } from '@cofferdam/plan';
import { prepare } from '@cofferdam/policy';
import { createReplay, type Replayed, type ReplayPlan } from '@cofferdam/replay';
import { arbitraryTraffic, live, promotedTo, type Traffic } from '@cofferdam/testkit';
import type { Facts } from '@cofferdam/verdict';
import * as fc from 'fast-check';
import { planOf, queryOf, recordOf } from './lives.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const runs = Number(process.env.COFFERDAM_RUNS ?? 600);

/** What replay says of the traffic once it was lived at one step of its promotion, by the plan of another. */
const replayed = (traffic: Traffic, from: number, plan: ReplayPlan, looked: boolean): readonly Replayed[] => {
  const { policy, context, promotion, encounters } = traffic;
  const prepared = prepare(promotedTo(policy, promotion[from]!), context);
  const said: Replayed[] = [];
  const give = (record: AnyRecord, outcome: Replayed): void => {
    if (record.kind === 'flow') said.push(outcome);
  };
  const replay = createReplay({ planAt: () => plan, give });
  for (const { first, conduct } of encounters) {
    const record = recordOf(context, live(prepared, first, conduct), looked && context.dnsMode === 'synthetic');
    if (record.synthetic !== undefined) replay.add(queryOf(record));
    replay.add(record);
  }
  replay.finish();
  return said;
};

/** The names that the filter would have answered with the address. */
const answered = (
  { loaded }: ReplayPlan,
  { source, interface: on, addressNames, destination, at }: Facts,
): Facts['addressNames'] => {
  const agent = agentOf(loaded, on, source);
  if (agent === undefined) return addressNames;
  return addressNames.filter(
    (name) => resolvable(loaded, agent.class, name, at) && usableAddress(loaded, agent.class, name, destination, at),
  );
};

/**
 * The other half of monitor first. Records of one step of a promotion are replayed by the policy of another; what the gateway makes of
 * the same traffic then is what replay said, or replay said that it does not know.
 */
for (const looked of [false, true]) {
  test(`what promoting does is what replay over the records said${looked ? ', of names that were looked up too' : ''}`, () => {
    const told = { decided: 0, unknown: 0, changed: 0 };
    const property = fc.property(arbitraryTraffic(), fc.nat(1000), fc.nat(1000), (traffic, a, b) => {
      const { policy, context, promotion, encounters, at } = traffic;
      const [from, to] = [a % promotion.length, b % promotion.length];
      const after = promotedTo(policy, promotion[to]!);
      const plan = { loaded: planOf(after, context, at) };
      const prepared = prepare(after, context);
      const said = replayed(traffic, from, plan, looked);
      const before = prepare(promotedTo(policy, promotion[from]!), context);
      assert.equal(said.length, encounters.length);
      for (const [i, { first, conduct }] of encounters.entries()) {
        const outcome = said[i]!;
        told[outcome.kind]++;
        if (outcome.kind === 'unknown') continue;
        const addressNames = answered(plan, first);
        // In synthetic mode there is no address without its name; in track mode others may have been given the same.
        const tracks = context.dnsMode === 'track';
        const truth = live(prepared, tracks ? { ...first, addressNames } : first, conduct);
        const refused = looked && !tracks && addressNames.length < first.addressNames.length;
        const verdict = refused ? 'deny' : truth.verdict;
        assert.equal(outcome.verdict, verdict, JSON.stringify({ from, to, conduct, outcome }));
        if (live(before, first, conduct).verdict !== verdict) told.changed++;
      }
    });
    fc.assert(property, { seed, numRuns: runs });
    assert.ok(told.unknown < 0.25 * told.decided && told.changed > told.decided / 50, JSON.stringify({ told, seed }));
  });
}
