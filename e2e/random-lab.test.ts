/**
 * The randomised lab: generated networks, policies and traffic through a real gateway. Every packet that arrives anywhere is one that the
 * reference evaluator permits, and every flow that it permits arrives.
 *
 * `COFFERDAM_SEED` replays a failure, `COFFERDAM_CASES` sets how many policies are tried.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PolicySet } from '@cofferdam/policy';
import { permit, ruleset } from '@cofferdam/testkit';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { containedUnavailable } from './contained.ts';
import { drawOf, labRecords, newCounts, startRunner } from './random-lab.ts';
import { describeFailure, shrink } from './random-lab-failure.ts';
import { type DnsMode, dnsModes, drawWorld, hasVlans } from './random-lab-world.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const cases = Number(process.env.COFFERDAM_CASES ?? 200);
const casesOfEach = 25;

/** Seeds of networks that come one after the other go through all modes. */
const modeOf = (networkSeed: number): DnsMode => dnsModes[networkSeed % dnsModes.length]!;

describe('generated networks, policies and traffic', { skip: containedUnavailable() }, () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab({ daemons: ['resolver'], records: labRecords });
  });
  after(async () => {
    await lab?.stop();
  });

  for (const dnsMode of dnsModes)
    test(`a gateway that permits too much is found out, and one that permits too little, in DNS mode ${dnsMode}`, async () => {
      const runner = await startRunner(lab, { ...drawWorld(drawOf(seed), false, dnsMode), monitor: false });
      try {
        const { policy, flows } = runner.draw(drawOf(seed));
        const byName = permit({ protocol: 'any', name: 'by-name', web: ['any-web'] });
        const everything = permit({ protocol: 'any', name: 'everything' });
        const open = { ...policy, smartGroups: new Map(), rulesets: [ruleset([byName, everything])] };
        const closed = { ...open, rulesets: [] };
        const wrongOf = async (inForce: PolicySet, judgedBy?: PolicySet): Promise<string> =>
          (await runner.run({ policy: inForce, flows }, undefined, judgedBy)).map(({ because }) => because).join('\n');
        assert.equal(await wrongOf(open), '');
        assert.match(await wrongOf(open, closed), /which the evaluator denies|no permit covers it/);
        assert.match(await wrongOf(closed, open), /is permitted and did not arrive|was told no address/);
      } finally {
        await runner.stop();
      }
    });

  test(`what arrives is permitted, and what is permitted arrives: ${cases} policies`, {
    timeout: 24 * 3_600_000,
  }, async (context) => {
    const counts = newCounts();
    const vlans = await hasVlans(lab);
    for (let first = 0; first < cases; first += casesOfEach) {
      // Each network begins with a seed of its own, so that a failure in it is replayed without those before.
      const networkSeed = (seed + first) >>> 0;
      const dnsMode = modeOf(networkSeed);
      const runner = await startRunner(lab, drawWorld(drawOf(networkSeed), vlans, dnsMode));
      try {
        for (let index = 0; index < Math.min(casesOfEach, cases - first); index++) {
          // The process comes and goes; names that were learnt stay.
          if (index === 12) await runner.world.restart(first % 50 === 0 ? 'SIGKILL' : 'SIGTERM');
          const one = runner.draw(drawOf((networkSeed ^ 0x5bd1e995) + index * 7919));
          const wrong = await runner.run(one, counts);
          if (wrong.length === 0) continue;
          const shrunk = await shrink(runner.run, one, wrong);
          const failure = describeFailure(runner.world, shrunk);
          assert.fail(`COFFERDAM_SEED=${networkSeed} COFFERDAM_CASES=${index + 1}, DNS mode ${dnsMode}\n${failure}`);
        }
      } finally {
        await runner.stop();
      }
    }
    context.diagnostic(`seed ${seed}, ${JSON.stringify(counts)}`);
    assert.ok(counts.arrived >= counts.permitted);
    // Traffic of both sorts was there. A few cases, as a replay has them, may be of one.
    if (cases < 50) return;
    assert.ok(counts.permitted * 4 > counts.flows, `only ${counts.permitted} of ${counts.flows} flows were permitted`);
    assert.ok(counts.permitted * 4 < counts.flows * 3, `${counts.permitted} of ${counts.flows} flows were permitted`);
  });
});
