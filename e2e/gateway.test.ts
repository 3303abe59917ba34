/** The gateway of a network: two subnets and a spoke, agents that know nothing of it, and a process that comes and goes. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { FlowRecord } from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { isFlow, lastRecords } from './attempts.ts';
import { cofferdam, containedUnavailable } from './contained.ts';
import {
  database,
  fetched,
  type GatewayLab,
  gatewayPolicy,
  greeter,
  startGatewayLab,
  talker,
  worker,
} from './gateway-lab.ts';

const skip = containedUnavailable();
const families = [4, 6] as const;
const toWeb = 'to: [public-internet], web: [named], protocol: tcp, ports: [80, 443]';
const toEcho = 'to: [public-internet], web: [named], protocol: tcp, ports: [5000]';
const toDatabase = 'to: [databases], protocol: tcp, ports: [5432]';

describe('the gateway of a network', { skip }, () => {
  let g: GatewayLab;
  let gateway: LabProcess;
  const say = (what: string): string => `telnet://${what.includes(':') ? `[${what}]` : what}:5432`;
  const denials = async (): Promise<readonly string[]> =>
    lastRecords(await g.records())
      .filter((one): one is FlowRecord => isFlow(one) && one.kind === 'flow' && one.verdict === 'deny')
      .map(({ agent, destination, reason }) => `${agent.name ?? '?'} ${formatAddress(destination.address)} ${reason}`);

  before(async () => {
    g = await startGatewayLab();
    await g.write(gatewayPolicy([toWeb, toEcho]));
  });
  after(async () => {
    await g?.stop();
  });

  test('without it, agents reach nothing and each other', async () => {
    await greeter(g.b, 5432, 'database');
    await g.lab.exec('host', ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
    for (const f of families) assert.equal(await fetched(g.a, g.lab, say(database[f])), 'database');
    await g.lab.exec('host', ['sysctl', '-qw', 'net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0']);
  });

  test('agents reach what their policy names, by the kernel path and the proxy, and nothing else', async () => {
    gateway = await g.start();
    const since = await g.lab.mark();
    for (const f of families) {
      assert.match(await fetched(g.a, g.lab, 'https://example.com/', `-${f}`), /"server":"web"/);
      assert.match(await fetched(g.a, g.lab, 'http://example.com/', `-${f}`), /"server":"web"/);
      assert.match(await fetched(g.a, g.lab, 'https://github.com/', `-${f}`), /curl 6/);
      assert.match(await fetched(g.a, g.lab, say(database[f])), /curl 7/, 'east-west is denied');
    }
    assert.match(await fetched(g.a, g.lab, 'http://10.20.0.20/'), /curl 7/, 'so is the spoke');
    assert.match(await fetched(g.b, g.lab, 'https://example.com/'), /curl 6/, 'another agent has nothing');
    const arrived = await g.lab.arrivals({ since, kind: 'request' });
    assert.deepEqual([...new Set(arrived.map(({ server }) => server))], ['web']);
    assert.equal(arrived.length, 4);
    const said = await denials();
    assert.ok(said.includes(`worker ${database[4]} no-rule`), said.join('\n'));
    assert.ok(said.includes(`worker ${database[6]} no-rule`));
    assert.ok(said.includes('worker 10.20.0.20 no-rule'));
  });

  test('an address that inventory does not know gets nothing, also not by the name server', async () => {
    assert.match(await fetched(g.a, g.lab, 'https://example.com/', '--interface', '10.11.1.8'), /curl (28|6)/);
    const query = await g.a.exec(['dig', '+time=1', '+tries=1', '-b', '10.11.1.8', '@10.11.1.1', 'example.com']);
    assert.notEqual(query.code, 0);
    // The worker's own address, from the other subnet.
    const spoofed = await g.b.exec(['ip', 'address', 'add', '10.11.1.7/32', 'dev', 'eth0']);
    assert.equal(spoofed.code, 0);
    assert.match(await fetched(g.b, g.lab, 'https://104.131.20.7:5000/', '--interface', '10.11.1.7'), /curl (28|7)/);
    await g.b.exec(['ip', 'address', 'del', '10.11.1.7/32', 'dev', 'eth0']);
    assert.ok((await denials()).some((one) => one.endsWith('source-spoofed')));
  });

  test('a changed policy is in force at once: a new permit opens, and what it no longer permits is cut at both ends', async () => {
    const live = talker(g.a, 'echo.example', 5000);
    await live.waitFor(/^3$/m);
    await g.write(gatewayPolicy([toWeb, toDatabase]));
    await gateway.waitFor(/reloaded: 2 rules in force/);
    await live.waitFor(/ended (ConnectionResetError|BrokenPipeError)/, 2000);
    for (const f of families) assert.equal(await fetched(g.a, g.lab, say(database[f])), 'database');
    // Toward the worker nothing is open, though its own flows to the database are.
    await greeter(g.a, 5432, 'worker');
    for (const f of families) assert.match(await fetched(g.b, g.lab, say(worker[f])), /curl 7/);
    const cut = lastRecords(await g.records()).find((one) => one.reason === 'flow-cut');
    assert.ok(cut !== undefined && isFlow(cut) && cut.kind === 'flow' && cut.destination.port === 5000);
  });

  test('a policy with an error is refused, and the one in force stays', async () => {
    await g.write(gatewayPolicy([toWeb, 'to: [nobody-wrote-this], protocol: tcp']));
    await gateway.waitFor(/was not reloaded; the plan in force stays/);
    assert.match(gateway.stderr(), /nobody-wrote-this/);
    assert.equal(await fetched(g.a, g.lab, say(database[4])), 'database');
    await g.write(gatewayPolicy([toWeb, toEcho, toDatabase]));
    await gateway.kill('SIGHUP');
    await gateway.waitFor(/reloaded: 3 rules in force/);
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`${signal}: the kernel goes on, nothing opens, and the next start takes over without cutting a flow`, async () => {
      const live = talker(g.a, 'echo.example', 5000);
      await live.waitFor(/^2$/m);
      const { stdout: before } = await g.a.exec(['getent', 'ahostsv4', 'example.com']);
      await gateway.kill(signal);
      await gateway.ended;
      const said = live.stdout().split('\n').length;
      await new Promise((done) => setTimeout(done, 1000));
      assert.ok(live.stdout().split('\n').length > said + 3, 'the live flow went on');
      assert.equal(await fetched(g.a, g.lab, say(database[4])), 'database', 'a new flow by address is permitted');
      assert.match(await fetched(g.a, g.lab, 'http://10.20.0.20/'), /curl 7/);
      assert.match(await fetched(g.a, g.lab, 'https://github.com/'), /curl 6/);
      const names = await g.lab.exec('host', [cofferdam, 'flows', '--json']);
      assert.equal(names.code, 0);

      gateway = await g.start();
      assert.match(gateway.stderr(), /goes on/);
      const { stdout: after } = await g.a.exec(['getent', 'ahostsv4', 'example.com']);
      assert.equal(after, before, 'names keep their addresses');
      assert.match(await fetched(g.a, g.lab, 'https://example.com/'), /"server":"web"/);
      const now = live.stdout().split('\n').length;
      await live.waitFor(new RegExp(`^${now + 5}$`, 'm'));
      assert.doesNotMatch(live.stdout(), /ended/);
      await live.kill();
      await live.ended;
      // The record of its end has the id of its beginning, which another process wrote.
      const { source } = (await g.records())
        .filter(isFlow)
        .filter((one) => one.kind === 'flow')
        .findLast((one) => one.destination.port === 5000)!;
      await new Promise((done) => setTimeout(done, 4000));
      const records = (await g.records())
        .filter(isFlow)
        .filter((one) => one.kind === 'flow' && one.source.port === source.port);
      assert.deepEqual(
        records.map(({ end }) => end !== undefined),
        [false, true],
      );
      assert.equal(records[0]!.id, records[1]!.id);
    });
  }

  test('removed, it leaves the host as it was', async () => {
    await gateway.kill('SIGTERM');
    assert.equal((await gateway.ended).code, 0);
    await g.remove();
    const state = await g.lab.exec('host', [
      'sh',
      '-c',
      'nft list ruleset; ip -br link; ip rule; cat /proc/sys/net/ipv4/ip_forward; ls /run/cofferdam/gateway',
    ]);
    assert.doesNotMatch(state.stdout, /cofferdam_|cfd[0-9a-f]/);
    assert.match(state.stdout, /^eth1@/m);
    assert.match(state.stdout, /^eth2@/m);
    const addresses = await g.lab.exec('host', ['ip', '-br', 'address', 'show', 'eth1']);
    assert.match(addresses.stdout, /10\.11\.1\.1\/24.*fd11:1::1\/64/);
    const { code, stderr } = await g.lab.exec('host', [cofferdam, 'gateway', 'remove']);
    assert.deepEqual([code, /there is no gateway/.test(stderr)], [1, true]);
  });
});
