/** Which of a name's addresses is dialled: one that answers, and only such as the policy permits. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deadAddresses, type Lab, startLab } from '@cofferdam/testkit/lab';
import { containedUnavailable, runContained } from './contained.ts';

const skip = containedUnavailable();
const policy = `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: agent }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: names }
spec: { domains: [dead-first.example] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: agent }
spec:
  rules:
    - { name: web, action: permit, from: [agents], to: [public-internet], web: [names], protocol: tcp, ports: [443, 80] }
`;

let lab: Lab;
before(async () => {
  if (!skip) lab = await startLab({ daemons: ['resolver'] });
});
after(async () => {
  if (!skip) await lab.stop();
});

for (const [what, url] of [
  ['on the kernel path', 'https://dead-first.example/'],
  ['on the proxy path', 'http://dead-first.example/'],
] as const) {
  for (const family of ['-4', '-6']) {
    test(`${what}, ${family}: a dead address does not hold up a name that has a live one`, { skip }, async () => {
      const capture = await lab.capture();
      const dead = deadAddresses.find((one) => one.includes(':') === (family === '-6'));
      let tried = 0;
      // Resolvers turn the order of answers: some runs begin with the live address and show nothing.
      for (let runs = 0; runs < 8 && tried === 0; runs++) {
        const command = ['curl', family, '-sS', '-m', '12', '-o', '/dev/null', url];
        const run = await runContained(lab, { policy, command });
        assert.equal(run.code, 0, run.stderr);
        tried = (await capture.packets(`host ${dead}`)).length;
      }
      await capture.stop();
      assert.notEqual(tried, 0, 'the dead address was never dialled, so nothing was shown');
    });
  }
}
