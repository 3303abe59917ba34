/** A plan takes effect in one step: live flows go on while they are permitted, and end at their next packet when they are not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startLab } from '@cofferdam/testkit/lab';
import { containedUnavailable } from './contained.ts';

const policy = (names: string): string => `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: agent }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: names }
spec: { domains: [${names}] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: agent }
spec:
  rules:
    - { name: echo, action: permit, from: [agents], to: [public-internet], web: [names], protocol: tcp }
`;

test('another plan, under a live connection', { skip: containedUnavailable() }, async () => {
  await using lab = await startLab({ daemons: ['resolver'] });
  const script = fileURLToPath(new URL('plan-change-run.ts', import.meta.url));
  const words = [process.execPath, script, policy('echo.example'), policy('example.com'), lab.resolver4];
  const { stdout, stderr, code } = await lab.exec('host', words, { timeout: 60_000 });
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout.trim().split('\n').at(-1)!), {
    before: 'one',
    same: 'more',
    after: 'ConnectionResetError',
    lookup: '',
    again: 'same address',
    reason: 'flow-cut',
  });
});
