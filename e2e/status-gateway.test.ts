/** What the gateway of a network says of itself: over a reload that moves rules, to Prometheus, and after a restart. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readPrometheus, sampleOf } from '@cofferdam/testkit';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { eventually } from './attacker.ts';
import { cofferdam, containedUnavailable } from './contained.ts';
import { database, fetched, type GatewayLab, gatewayPolicy, greeter, startGatewayLab } from './gateway-lab.ts';

const metrics = '127.0.0.1:9464';
const toWeb = 'id: web, to: [public-internet], web: [named], protocol: tcp, ports: [80, 443]';
const toEcho = 'id: echo, to: [public-internet], web: [named], protocol: tcp, ports: [5000]';
const toDatabase = 'id: database, to: [databases], protocol: tcp, ports: [5432]';

describe('the status of a gateway', { skip: containedUnavailable() }, () => {
  let g: GatewayLab;
  let gateway: LabProcess;

  /** Of each rule by its id, in the order of the walk: what was permitted. Told at most a second late. */
  const permitted = async (): Promise<readonly (readonly [string, number])[]> => {
    const { code, stdout, stderr } = await g.lab.exec('host', [cofferdam, 'rules', '--gateway', 'gateway', '--json']);
    assert.equal(code, 0, stderr);
    const { rules } = JSON.parse(stdout) as { rules: { id: string; permitted: number }[] };
    return rules.map((rule) => [rule.id, rule.permitted] as const);
  };
  const become = async (wanted: readonly (readonly [string, number])[]): Promise<void> => {
    const text = JSON.stringify(wanted);
    let last = '';
    await eventually(`rules told as ${text}`, async () => {
      last = JSON.stringify(await permitted());
      return last === text;
    }).catch((error: Error) => assert.fail(`${error.message}; told last: ${last}`));
  };
  const fetch = async (url: string): Promise<void> => {
    assert.match(await fetched(g.a, g.lab, url), /"server":"web"/);
  };

  before(async () => {
    g = await startGatewayLab();
    await g.write(gatewayPolicy([toWeb, toEcho]));
    gateway = await g.start(['--metrics', metrics]);
  });
  after(() => g?.stop());

  test('a rule has the hits of both ways, and keeps them in another place', async () => {
    const since = await g.lab.mark();
    for (const _ of [1, 2]) {
      await fetch('https://example.com/');
      await fetch('http://example.com/');
    }
    const arrived = (await g.lab.arrivals({ since, kind: 'request', server: 'web' })).length;
    assert.equal(arrived, 4);
    await become([
      ['web', arrived],
      ['echo', 0],
    ]);
    await greeter(g.b, 5432, 'database');
    await g.write(gatewayPolicy([toDatabase, toEcho, toWeb]));
    await gateway.waitFor(/reloaded: 3 rules in force/);
    await become([
      ['database', 0],
      ['echo', 0],
      ['web', arrived],
    ]);
    await fetch('https://example.com/');
    assert.equal(await fetched(g.a, g.lab, `telnet://${database[4]}:5432`), 'database');
    await become([
      ['database', 1],
      ['echo', 0],
      ['web', arrived + 1],
    ]);
  });

  test('Prometheus is told the same, of agents by name, and nothing else is told there', async () => {
    const ask = async (path: string): Promise<string> =>
      (await g.lab.exec('host', ['curl', '-sS', '-m', '5', '-w', '%{http_code}\n', `http://${metrics}${path}`])).stdout;
    await eventually('metrics of the last second', async () => (await ask('/metrics')).includes('agent="worker"'));
    const text = await ask('/metrics');
    const families = readPrometheus(text.replace(/200\n$/, ''));
    const hits = (rule: string): number | undefined =>
      sampleOf(families, 'cofferdam_rule_hits_total', { ruleset: 'tested', rule, outcome: 'permitted' });
    assert.deepEqual([hits('rule-0'), hits('rule-1'), hits('rule-2')], [1, 0, 5]);
    assert.equal(sampleOf(families, 'cofferdam_plan_rules'), 3);
    assert.equal(sampleOf(families, 'cofferdam_agent_quota', { of: 'flows' }), 4096);
    assert.doesNotMatch(text, /10\.11\.|fd11:|example\.com/);
    assert.match(await ask('/v1/rules'), /404\n$/);
  });

  test('after a restart it counts anew, and does not take what the kernel counted before for its own', async () => {
    await gateway.kill('SIGTERM');
    await gateway.ended;
    const { code } = await g.lab.exec('host', [cofferdam, 'rules', '--gateway', 'gateway']);
    assert.equal(code, 1);
    gateway = await g.start(['--metrics', metrics]);
    await become([
      ['database', 0],
      ['echo', 0],
      ['web', 0],
    ]);
    await fetch('https://example.com/');
    await become([
      ['database', 0],
      ['echo', 0],
      ['web', 1],
    ]);
    await gateway.kill('SIGTERM');
    await gateway.ended;
    await g.remove();
  });
});
