/** Hits that the kernel counts by places in the walk, told by rule over changes of the plan. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRuleTally, ruleKey } from '@cofferdam/flows';
import { createRuleTotals } from '@cofferdam/gateway';
import { permit, tcpFrame } from '@cofferdam/testkit';
import { ends, inLab, lab, labForTests, opened, rules, use } from './kernel-flow-world.ts';
import { kernelUnavailable } from './kernel-lab.ts';

const skip = kernelUnavailable();

describe('hits over changes of the plan', { skip }, () => {
  labForTests();

  const ssh = { ...permit({ to: ['server'], ports: ['22'] }), id: 'ssh' };
  const echo = { ...permit({ to: ['server'], ports: ['7'] }), id: 'echo' };
  const mail = { ...permit({ to: ['server'], ports: ['25'] }), id: 'mail' };
  const keys = (): readonly string[] => lab.plan().plan.rules.map(ruleKey);
  const denied = (): void => void lab.fromAgent(tcpFrame(ends(4, 23), { flags: 'S' }));

  test(
    'each rule has its own, wherever it stood',
    inLab(() => {
      use(rules(ssh, echo));
      const totals = createRuleTotals({
        kernel: lab.kernel,
        keys: keys(),
        own: createRuleTally(),
        wallTime: Number,
        standing: true,
      });
      const told = (): readonly (readonly (string | number | undefined)[])[] => {
        const uses = totals.uses();
        return [
          ...lab.plan().plan.rules.map(({ id }, place) => [id, uses.rules[place]!.permitted] as const),
          ['default', uses.default.denied],
        ];
      };
      opened(4, 22);
      opened(6, 22);
      opened(4, 7);
      denied();
      assert.deepEqual(told(), [
        ['ssh', 2],
        ['echo', 1],
        ['default', 1],
      ]);
      use(rules(mail, echo, ssh));
      totals.renewed(keys());
      opened(4, 25);
      opened(4, 22);
      denied();
      assert.deepEqual(told(), [
        ['mail', 1],
        ['echo', 1],
        ['ssh', 3],
        ['default', 2],
      ]);
      use(rules(ssh));
      totals.renewed(keys());
      opened(6, 22);
      assert.deepEqual(told(), [
        ['ssh', 4],
        ['default', 2],
      ]);
      use(rules(echo, mail, ssh));
      totals.renewed(keys());
      assert.deepEqual(told(), [
        ['echo', 1],
        ['mail', 1],
        ['ssh', 4],
        ['default', 2],
      ]);
    }),
  );
});
