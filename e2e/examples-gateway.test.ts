/**
 * All of examples/ in force at once, on one gateway in front of four subnets: the agents of examples/inventory.yaml, LangGraph workers and
 * their tools, and hosted agents that are monitored. The spoke and the internet lie behind the uplink.
 */
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FlowRecord } from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import { joinSubnet, type Lab, type LabProcess, type Machine, startLab } from '@cofferdam/testkit/lab';
import { eventually } from './attacker.ts';
import { isFlow, lastRecords } from './attempts.ts';
import { cofferdam, containedUnavailable, readRecords } from './contained.ts';
import { fetched, greeter } from './gateway-lab.ts';

const skip = containedUnavailable();
const folder = fileURLToPath(new URL('../examples', import.meta.url));
const examples = globSync('*.yaml', { cwd: folder }).flatMap((name) => ['--policy', join(folder, name)]);

const subnets = {
  workstations: {
    device: 'eth1',
    gateway: ['10.11.1.1/24', 'fd11::1/64'],
    agents: ['10.11.1.12/24', '10.11.1.99/24', 'fd11::12/64'],
  },
  workers: { device: 'eth2', gateway: ['10.12.1.1/24', 'fd12:1::1/64'], agents: ['10.12.1.11/24', 'fd12:1::11/64'] },
  tools: { device: 'eth3', gateway: ['10.12.2.1/24', 'fd12:2::1/64'], agents: ['10.12.2.11/24', 'fd12:2::11/64'] },
  hosted: { device: 'eth4', gateway: ['10.40.0.1/27', 'fd40::1/64'], agents: ['10.40.0.7/27', 'fd40::7/64'] },
} as const;
type Subnet = keyof typeof subnets;
const addressOf = { worker: ['10.12.1.11', 'fd12:1::11'], tools: ['10.12.2.11', 'fd12:2::11'] } as const;

describe('examples/ behind one gateway', { skip, timeout: 240_000 }, () => {
  let lab: Lab;
  let log: string;
  let gateway: LabProcess;
  const machines = new Map<Subnet, Machine>();
  const on = (subnet: Subnet): Machine => machines.get(subnet)!;
  const to = (host: string, port: number): string => `telnet://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const fetch = (subnet: Subnet, url: string, ...words: readonly string[]) => fetched(on(subnet), lab, url, ...words);
  /** `AGENT ADDRESS:PORT RULE REASON` of what was denied, or would have been where `would`. */
  const denials = async (would = false): Promise<readonly string[]> =>
    lastRecords(await readRecords(log))
      .filter((one): one is FlowRecord => isFlow(one) && one.kind === 'flow')
      .flatMap(({ agent, destination, verdict, rule, reason, wouldBe }) => {
        const by = would ? (wouldBe === 'unknown' ? undefined : wouldBe) : { verdict, rule, reason };
        const where = `${formatAddress(destination.address)}:${destination.port ?? ''}`;
        return by?.verdict === 'deny' ? [`${agent.name} ${where} ${by.rule?.name ?? 'default'} ${by.reason}`] : [];
      });

  /** Waits for records of these denials. */
  const denied = (lines: readonly string[], would = false): Promise<void> =>
    eventually(lines.join(', '), async () => {
      const there = await denials(would);
      return lines.every((line) => there.includes(line));
    });

  before(async () => {
    lab = await startLab({
      daemons: ['resolver'],
      records: [
        ...['api.openai.com', 'api.anthropic.com', 'en.wikipedia.org', 'mcp.tools.example'].map((name) => ({
          name,
          addresses: ['160.79.104.10', '2607:6bc0::10'],
        })),
        { name: 'checkpoints.db.internal.example', addresses: ['10.20.0.10', 'fd20::10'] },
      ],
    });
    for (const [name, words] of Object.entries(subnets))
      machines.set(name as Subnet, await joinSubnet(lab, { name, ...words }));
    log = join(lab.directory, 'examples.jsonl');
    await greeter(lab.machines.spoke, 5432, 'database');
    await greeter(on('tools'), 8443, 'tool');
    await greeter(on('workers'), 8443, 'worker');
    await lab.exec('host', ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  });
  after(async () => {
    for (const machine of machines.values()) await machine.stop();
    await lab?.stop();
  });

  test('control: without it, subnets reach each other, and the host everything', async () => {
    for (const address of addressOf.tools) assert.equal(await fetch('workers', to(address, 8443)), 'tool');
    for (const address of addressOf.worker) assert.equal(await fetch('tools', to(address, 8443)), 'worker');
    for (const address of ['10.20.0.10', '10.20.0.20', 'fd20::10'])
      assert.equal(await fetched(lab.machines.host, lab, to(address, 5432)), 'database');
    await lab.exec('host', ['sysctl', '-qw', 'net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0']);
  });

  test('it stands, with all of them as one policy', async () => {
    const devices = Object.values(subnets).map(({ device }) => device);
    const words = ['gateway', ...examples, '--agents', devices.join(','), '--log', log];
    gateway = lab.spawn('host', [cofferdam, ...words]);
    await gateway.waitFor(/gateway gateway stands: .* rules, .* workloads/);
  });

  test('a workstation has the policy that `run` would give it, and a neighbour in no inventory has none', async () => {
    const since = await lab.mark();
    for (const family of ['-4', '-6']) {
      assert.match(await fetch('workstations', 'https://api.anthropic.com/', family), /"server":"models"/);
      assert.match(await fetch('workstations', 'https://api.openai.com/', family), /curl 6/);
    }
    assert.match(await fetch('workstations', 'https://api.anthropic.com/', '--interface', '10.11.1.99'), /curl (6|28)/);
    const asked = await lab.arrivals({ since, kind: 'request' });
    assert.deepEqual(
      asked.map((one) => (one.kind === 'request' ? one.authority : '')),
      ['api.anthropic.com', 'api.anthropic.com'],
    );
  });

  test('workers: their model, their database in the spoke by name and address, and nothing beside it', async () => {
    assert.match(await fetch('workers', 'https://api.openai.com/'), /"server":"models"/);
    for (const host of ['checkpoints.db.internal.example', '10.20.0.10', 'fd20::10'])
      assert.equal(await fetch('workers', to(host, 5432)), 'database', host);
    assert.match(await fetch('workers', to('10.20.0.20', 5432)), /curl 7/);
    assert.match(await fetch('workers', to('10.20.0.10', 3306)), /curl 7/);
    assert.match(await fetch('workers', 'https://en.wikipedia.org/'), /curl 6/);
    await denied(['10.20.0.20:5432', '10.20.0.10:3306'].map((where) => `worker-1 ${where} default no-rule`));
  });

  test('between the subnets: workers call tools on their port, and tools call nobody', async () => {
    for (const address of addressOf.tools) {
      assert.equal(await fetch('workers', to(address, 8443)), 'tool');
      assert.match(await fetch('workers', to(address, 22)), /curl 7/);
    }
    for (const address of addressOf.worker) assert.match(await fetch('tools', to(address, 8443)), /curl 7/);
    assert.match(await fetch('tools', to('10.20.0.10', 5432)), /curl 7/);
    assert.match(await fetch('tools', 'https://en.wikipedia.org/'), /"server":"models"/);
    assert.match(await fetch('tools', 'https://api.openai.com/'), /curl 6/);
    await denied(['tools-1 10.12.1.11:8443 default no-rule', 'tools-1 10.20.0.10:5432 default no-rule']);
  });

  test('hosted agents are monitored: all passes, and records say which rule would have denied it', async () => {
    assert.match(await fetch('hosted', 'https://mcp.tools.example/'), /"server":"models"/);
    assert.match(await fetch('hosted', 'https://example.com/'), /"server":"web"/);
    assert.equal(await fetch('hosted', to('10.20.0.20', 5432)), 'database');
    assert.match(await fetch('hosted', 'http://169.254.169.254/'), /curl 7/, 'metadata is never lifted');
    await denied(
      [
        `foundry-agents ${lab.address('example.com')}:443 default-deny-internet rule-denies`,
        'foundry-agents 10.20.0.20:5432 deny-east-west rule-denies',
        'foundry-agents 169.254.169.254:80 default reserved-address',
      ],
      true,
    );
    assert.deepEqual(
      (await denials()).filter((one) => one.startsWith('foundry-agents')),
      ['foundry-agents 169.254.169.254:80 default reserved-address'],
    );
  });

  test('removed, the subnets are the host’s again', async () => {
    await gateway.kill('SIGTERM');
    assert.equal((await gateway.ended).code, 0);
    const { code, stderr } = await lab.exec('host', [cofferdam, 'gateway', 'remove']);
    assert.equal(code, 0, stderr);
    for (const { device } of Object.values(subnets)) assert.match(stderr, new RegExp(device));
  });
});
