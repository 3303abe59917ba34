/** What the kernel keeps of names across plans: how much fits, what is found again, and what another DNS mode leaves behind. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { firstSetId, firstTrackedId, holderOf } from '@cofferdam/datapath';
import type { DomainName } from '@cofferdam/net';
import { classifyName, classifyNames, type DnsMode } from '@cofferdam/plan';
import type { PolicySet } from '@cofferdam/policy';
import { contextOf, address as ip, name, permit, policyOf, webGroup } from '@cofferdam/testkit';
import { type KernelLab, kernelUnavailable, loadedPlan, openKernelLab } from './kernel-lab.ts';

const policyFor = (names: readonly DomainName[]): PolicySet =>
  policyOf(
    names.map((_, i) => permit({ web: [`g${i}`], ports: ['443'] })),
    { web: names.map((one, i) => webGroup(`g${i}`, [one])) },
  );
const planFor = (names: readonly DomainName[], dnsMode: DnsMode = 'track') => {
  const policy = policyFor(names);
  return loadedPlan(policy, contextOf(policy, { dnsMode }));
};
const placement = { ifindexes: () => [], pools: [], own: [] };
const [a, b] = [name('a.example.com'), name('b.example.com')];
const server = ip('93.184.216.34');

const withLab = (sizes: Readonly<Record<string, number>>, work: (lab: KernelLab) => void) => (): void => {
  const lab = openKernelLab(sizes);
  try {
    lab.inside(() => work(lab));
  } finally {
    lab.close();
  }
};

describe('names in the kernel', { skip: kernelUnavailable() }, () => {
  test(
    'addresses and sets are read back as they were written, and go when they are taken out',
    withLab({}, ({ kernel, apply }) => {
      const plan = planFor([a, b]);
      apply(plan);
      const six = ip('2606:2800:220:1::5');
      const [one, two, set] = [firstTrackedId, firstTrackedId + 1, firstSetId];
      assert.ok(kernel.classify(one, a, classifyName(plan, a)));
      assert.ok(kernel.classify(two, b, classifyName(plan, b)));
      assert.ok(kernel.installSet(set, [one, two], classifyNames(plan, [a, b])));
      assert.ok(kernel.track(holderOf('coder'), server, one));
      assert.ok(kernel.track(holderOf('coder'), six, set));
      assert.ok(kernel.track(holderOf('other'), server, two));
      assert.ok(kernel.track(holderOf('coder'), server, set), 'what was told later takes its place');
      const found = kernel.standingTracked().map(({ holder, address, id }) => `${holder} ${address.value} ${id}`);
      const wanted = [
        `${holderOf('coder')} ${server.value} ${set}`,
        `${holderOf('coder')} ${six.value} ${set}`,
        `${holderOf('other')} ${server.value} ${two}`,
      ];
      assert.deepEqual(found.sort(), wanted.sort());
      assert.deepEqual(
        kernel.standingSets().map(({ id, members }) => [id, [...members].sort()]),
        [[set, [one, two]]],
      );
      assert.deepEqual(
        kernel
          .standingNames()
          .map(({ id }) => id)
          .sort(),
        [one, two],
      );
      kernel.untrack(holderOf('coder'), server);
      kernel.untrack(holderOf('coder'), server);
      assert.equal(kernel.standingTracked().length, 2);
      kernel.removeSet(set, [one, two]);
      assert.deepEqual(kernel.standingSets(), []);
    }),
  );

  test(
    'a full table says so, and keeps nothing of a set that did not fit',
    withLab({ tracked: 2, name_sets: 3 }, ({ kernel, apply }) => {
      const plan = planFor([a, b]);
      apply(plan);
      const classes = classifyNames(plan, [a, b]);
      assert.ok(kernel.track(1n, server, 7));
      assert.ok(kernel.track(2n, server, 7));
      assert.equal(kernel.track(3n, server, 7), false);
      assert.ok(kernel.track(2n, server, 8), 'one that is there is changed');
      assert.ok(kernel.installSet(firstSetId, [1, 2], classes));
      assert.equal(kernel.installSet(firstSetId + 1, [1, 2], classes), false);
      assert.deepEqual(
        kernel.standingSets().map(({ id }) => id),
        [firstSetId],
      );
      assert.ok(kernel.installSet(firstSetId + 2, [3], classes), 'the room is there again');
    }),
  );

  test(
    'a plan has room for all names that are in use, and for more beside',
    withLab({}, ({ kernel }) => {
      const count = 2600;
      const names = Array.from({ length: count + 1 }, (_, i) => name(`h${i}.example.com`));
      const plan = planFor(names, 'synthetic');
      kernel.apply(plan, placement);
      const fits = names.findIndex((one, i) => !kernel.classify(i + 1, one, classifyName(plan, one)));
      assert.ok(fits > 1000 && fits < count, `${fits} of names that match different rules each`);
      const inUse = names.slice(0, count).map((one, i) => ({ id: i + 1, classes: classifyName(plan, one) }));
      kernel.apply(plan, placement, inUse);
      assert.ok(kernel.classify(count + 1, names[count]!, classifyName(plan, names[count]!)));
    }),
  );

  test(
    'what only another DNS mode looks at goes when a plan of this one is applied, and what this one has stays',
    withLab({}, ({ kernel, apply, install, track }) => {
      const there = (): readonly (number | boolean)[] => [
        kernel.standingNames().some(({ synthetic }) => synthetic.length > 0),
        kernel.standingTracked().length,
        kernel.standingSets().length,
      ];
      apply(planFor([a, b], 'synthetic'));
      install(a, [ip('198.18.1.1')], [server]);
      assert.deepEqual(there(), [true, 0, 0]);
      apply(planFor([a], 'synthetic'));
      assert.deepEqual(there(), [true, 0, 0]);
      apply(planFor([a, b]));
      assert.deepEqual(there(), [false, 0, 0]);
      track('coder', server, [a, b]);
      assert.deepEqual(there(), [false, 1, 1]);
      apply(planFor([a, b]));
      assert.deepEqual(there(), [false, 1, 1]);
      apply(planFor([a, b], 'own'));
      assert.deepEqual(there(), [false, 0, 0]);
    }),
  );
});
