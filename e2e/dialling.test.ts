/** Which of a name's addresses is dialled: one that answers, and only such as the policy permits. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deadAddresses, type Lab, startLab } from '@cofferdam/testkit/lab';
import { containedUnavailable, runContained, startContained } from './contained.ts';

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
spec: { domains: [dead-first.example, moving.example] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: agent }
spec:
  rules:
    - { name: web, action: permit, from: [agents], to: [public-internet], web: [names], protocol: tcp, ports: [443, 80] }
    - { name: datagrams, action: permit, from: [agents], to: [public-internet], web: [names], protocol: udp, ports: [5000] }
`;

const deadAddress = deadAddresses.find((one) => !one.includes(':'))!;

let lab: Lab;
before(async () => {
  if (!skip) lab = await startLab({ daemons: ['resolver'] });
});
after(async () => {
  if (!skip) await lab.stop();
});

test('the connection after one that met a dead address begins with the live one', { skip }, async () => {
  const capture = await lab.capture();
  const once = 'curl -4 -sS -m 12 -o /dev/null https://dead-first.example/';
  let tried = 0;
  for (let runs = 0; runs < 8 && tried === 0; runs++) {
    const run = await runContained(lab, { policy, command: ['sh', '-ec', Array(4).fill(once).join('; ')] });
    assert.equal(run.code, 0, run.stderr);
    tried = (await capture.packets(`host ${deadAddress}`)).length;
  }
  await capture.stop();
  assert.equal(tried, 1, 'one SYN of the first connection, and none of the others');
});

/** One socket, from which it asks the name anew before each datagram, as a client of statistics or logs does. */
const datagrams = `
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
print('begun', flush=True)
for i in range(60):
    try:
        s.sendto(b'ping', socket.getaddrinfo('moving.example', 5000, socket.AF_INET)[0][4])
        print('answered', s.recvfrom(99)[0].decode(), flush=True)
        break
    except OSError:
        time.sleep(0.1)
`;

test('a socket that goes on sending reaches the address that its name moved to', { skip }, async () => {
  await lab.setRecord('moving.example', [deadAddress]);
  const capture = await lab.capture();
  const run = await startContained(lab, { policy, command: ['python3', '-c', datagrams] });
  await run.waitFor(/begun/);
  await new Promise((done) => setTimeout(done, 1500));
  await lab.setRecord('moving.example', ['104.131.20.7']);
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  const before = await capture.packets(`udp port 5000 and host ${deadAddress}`);
  await capture.stop();
  assert.ok(before.length > 1, 'connection tracking knew of the address that was first');
  assert.match(stdout, /answered ping/);
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
