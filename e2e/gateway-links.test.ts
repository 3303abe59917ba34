/** Interfaces, addresses and routes around a gateway of a network go and come while agents attack: nothing opens, and it comes back. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { eventually } from './attacker.ts';
import { cofferdam, containedUnavailable } from './contained.ts';
import { type GatewaySiege, siegePolicy, startSiege } from './gateway-siege.ts';

const skip = containedUnavailable();

describe('links of a gateway of a network', { skip, timeout: 280_000 }, () => {
  let s: GatewaySiege;
  let gateway: LabProcess;

  const end = async (signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> => {
    await gateway.kill(signal);
    await gateway.ended;
  };
  const on: GatewaySiege['on'] = (where, ...argv) => s.on(where, ...argv);

  before(async () => {
    s = await startSiege();
    await s.write(siegePolicy());
    gateway = await s.fresh(s.lab.resolvers.flatMap((one) => ['--resolver', one]));
  });
  after(() => s?.stop());

  test('an agent interface goes down and up: live flows go on, and answers are aimed at nobody again', async () => {
    await s.recovers('before');
    const aim = async (): Promise<string> =>
      (
        await on(
          'inside',
          'sh',
          '-c',
          'ip route show table 101; ip -6 route show table 101; ip neigh show nud permanent; ip -6 neigh show nud permanent',
        )
      )
        .split('\n')
        .sort()
        .join('\n');
    const before = await aim();
    assert.match(before, /10\.11\.1\.0\/24 via 198\.18\.0\.6 dev eth1/, 'control');
    await on('inside', 'ip', 'link', 'set', 'eth1', 'down');
    await s.holds(0);
    assert.equal((await s.silent(1)).length, 6);
    await pause(1500);
    await on('inside', 'ip', 'link', 'set', 'eth1', 'up');
    await eventually('all of it is back', async () => (await aim()) === before);
    await eventually('live flows go on', async () => (await s.silent()).length === 0);
    await s.recovers('an interface that was down');
    await s.holds();
  });

  test('the other end of an agent interface goes down and up', async () => {
    await s.a.exec(['ip', 'link', 'set', 'eth0', 'down']);
    await pause(500);
    const lines = ['link set eth0 up', 'route replace default via 10.11.1.1'];
    assert.equal((await s.a.exec(['ip', '-batch', '-'], { input: `${lines.join('\n')}\n` })).code, 0);
    await eventually('IPv4 flows go on', async () => (await s.silent()).every((one) => one.startsWith('fd11')));
    // Addresses of IPv6 go with the link; this is the agents’ own affair.
    await s.restoreAgents();
    await s.recovers('agents that were away');
    await s.holds();
  });

  test('agents that answer for none of their addresses: what refuses them does not carry their bytes anywhere', async () => {
    // Resets for the agent have the address that it tried as their source.
    const deaf = `table arp deaf { chain in { type filter hook input priority 0; arp operation request drop; }; }
      table ip6 deaf { chain in { type filter hook input priority 0; icmpv6 type nd-neighbor-solicit drop; }; }`;
    for (const machine of [s.a, s.b]) assert.equal((await machine.exec(['nft', '-f', '-'], { input: deaf })).code, 0);
    for (const device of ['eth1', 'eth2']) await on('inside', 'ip', 'neigh', 'flush', 'dev', device);
    for (const device of ['eth1', 'eth2']) await on('inside', 'ip', '-6', 'neigh', 'flush', 'dev', device);
    await pause(4000);
    await s.holds();
    for (const machine of [s.a, s.b]) assert.equal((await machine.exec(['nft', 'flush', 'ruleset'])).code, 0);
    await s.recovers('agents that answer again');
    await s.holds();
  });

  test('its own address on an agent interface is changed, and changed back', async () => {
    await on('inside', 'ip', 'address', 'del', '10.11.1.1/24', 'dev', 'eth1');
    await on('inside', 'ip', 'address', 'add', '10.11.1.2/24', 'dev', 'eth1');
    await s.holds();
    // What is new is the gateway’s as well: nothing of it is reached but names.
    const tried = await s.a.exec(['curl', '-sS', '-m', '3', 'http://10.11.1.2:15001/']);
    assert.notEqual(tried.code, 0);
    await on('inside', 'ip', 'address', 'del', '10.11.1.2/24', 'dev', 'eth1');
    await on('inside', 'ip', 'address', 'add', '10.11.1.1/24', 'dev', 'eth1');
    await s.recovers('an address that is back');
    await s.holds();
  });

  test('an agent interface is renamed: its agents reach nothing, until it has its name again', async () => {
    await on('inside', 'sh', '-c', 'ip link set eth1 down && ip link set eth1 name other && ip link set other up');
    await s.holds();
    assert.equal((await s.silent(1)).length, 6);
    await gateway.waitFor(/the interface eth1 is gone: its agents reach nothing/);
    // A start does not take it for another.
    await end('SIGKILL');
    const refused = await s.lab.exec('host', [cofferdam, ...s.words()]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /no interface `eth1` here/);
    await s.holds(1);
    await on('inside', 'sh', '-c', 'ip link set other down && ip link set other name eth1 && ip link set eth1 up');
    gateway = await s.start(s.lab.resolvers.flatMap((one) => ['--resolver', one]));
    await s.recovers('an interface that has its name again');
    await s.holds();
  });

  test('the host loses its default route and gets it back: live flows go on', async () => {
    await s.recovers('before');
    await on('host', 'sh', '-c', 'ip route del default; ip -6 route del default');
    await s.holds(1);
    await on('host', 'sh', '-c', 'ip route add default via 192.168.50.1; ip -6 route add default via 2a01:4f8:50::1');
    await eventually('live flows go on', async () => (await s.silent()).length === 0);
    await s.recovers('a route that is back');
  });

  test('a bridge as agent interface is refused, with what to do, and all is as it was', async () => {
    await on(
      'host',
      'sh',
      '-c',
      'ip link add br0 type bridge && ip address add 10.99.0.1/24 dev br0 && ip link set br0 up',
    );
    const words = s.words(['--name', 'bridged']).map((one) => (one === 'eth1,eth2' ? 'br0' : one));
    const { code, stderr } = await s.lab.exec('host', [cofferdam, ...words], { timeout: 10_000 });
    assert.equal(code, 125);
    assert.match(stderr, /br0 cannot be moved into the gateway .*give a port instead: ip link add/);
    assert.match(await on('host', 'ip', '-br', 'address', 'show', 'br0'), /10\.99\.0\.1\/24/);
    assert.doesNotMatch(await on('host', 'ls', '/run/cofferdam/gateway'), /bridged/);
    await on('host', 'ip', 'link', 'delete', 'br0');
    await s.recovers('a bridge that was refused');
  });
});
