/** TLS that the gateway of a network opens, for agents that were given its authority's certificate and nothing else. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { LabProcess } from '@cofferdam/testkit/lab';
import { arrivedSince, brief, isFlow } from './attempts.ts';
import { cofferdam, containedUnavailable } from './contained.ts';
import { fetched, type GatewayLab, gatewayPolicy, startGatewayLab } from './gateway-lab.ts';

const reads =
  'to: [public-internet], web: [named], protocol: tcp, ports: [443], http: { methods: [GET], paths: ["/open/**"] }';
const writes = reads.replace('GET', 'POST');
const byName = 'to: [public-internet], web: [named], protocol: tcp, ports: [443]';

describe('TLS that a gateway opens', { skip: containedUnavailable() }, () => {
  let g: GatewayLab;
  let gateway: LabProcess;
  let given = '';
  const start = async (): Promise<LabProcess> => {
    const folder = join(g.lab.directory, 'authority');
    const words = g.words(['--ca', join(folder, 'authority.pem')]);
    const started = g.lab.spawn('host', [cofferdam, ...words], { env: g.lab.ca.environment });
    await started.waitFor(/gateway gateway (stands|goes on): .*rule/);
    return started;
  };
  before(async () => {
    g = await startGatewayLab();
    const folder = join(g.lab.directory, 'authority');
    given = join(g.lab.directory, 'given.pem');
    for (const words of [
      ['ca', 'init', '--dir', folder],
      ['ca', 'export', '--dir', folder, '-o', given],
    ]) {
      const { code, stderr } = await g.lab.exec('host', [cofferdam, ...words]);
      assert.equal(code, 0, stderr);
    }
    await g.write(gatewayPolicy([reads]));
    gateway = await start();
  });
  after(async () => {
    try {
      await gateway?.kill('SIGTERM');
      await gateway?.ended;
      await g?.remove();
    } finally {
      await g?.stop();
    }
  });

  let changes = 0;
  const change = async (rule: string): Promise<void> => {
    changes += 1;
    await g.write(gatewayPolicy([rule]));
    await gateway.waitFor(new RegExp(`(reloaded:[^]*){${changes}}`));
  };
  const ask = (path: string, ...words: readonly string[]): Promise<string> =>
    fetched(g.a, g.lab, `https://example.com${path}`, '--cacert', given, '-w', ' %{http_code}', ...words);
  const requests = async (since: number) => brief(await arrivedSince(g.lab, since, ['request']));
  const ends = async (): Promise<readonly string[]> =>
    (await g.records())
      .filter(isFlow)
      .filter(({ kind, end }) => kind === 'flow' && end !== undefined)
      .map(({ verdict, reason, treatment }) => `${verdict} ${reason} ${treatment ?? ''}`.trim());

  for (const family of ['-4', '-6'] as const)
    test(`what a rule permits arrives, and what none does is answered here, ${family}`, async () => {
      const since = await g.lab.mark();
      assert.match(await ask('/open/a', family), /"server":"web".* 200$/s);
      assert.match(await ask('/open/../shut', family, '--path-as-is'), /"code":"no-rule".* 403$/s);
      assert.match(await ask('/open/a', family, '-d', 'secret'), /"code":"no-rule".* 403$/s);
      assert.deepEqual(await requests(since), ['web:443 request GET example.com/open/a']);
    });

  test('an agent that does not trust the gateway reaches nothing, and the record says why', async () => {
    const since = await g.lab.mark();
    assert.match(await fetched(g.a, g.lab, 'https://example.com/open/a'), /^curl 60/);
    assert.deepEqual(await requests(since), []);
    assert.equal((await ends()).at(-1), 'deny certificate-refused inspect');
  });

  test('another plan judges the next request, by the same authority', async () => {
    await change(writes);
    const since = await g.lab.mark();
    assert.match(await ask('/open/a'), / 403$/);
    assert.match(await ask('/open/a', '-d', 'x'), / 200$/);
    assert.deepEqual(await requests(since), ['web:443 request POST example.com/open/a']);
  });

  test('a plan that opens nothing shows the agent the server’s own certificate', async () => {
    await change(byName);
    assert.match(await ask('/shut'), /^curl 60/);
    assert.match(await fetched(g.a, g.lab, 'https://example.com/shut'), /"server":"web"/);
  });

  test('a process that died and came back opens TLS as before', async () => {
    await change(reads);
    await gateway.kill('SIGKILL');
    await gateway.ended;
    assert.match(await ask('/open/a'), /^curl (6|7|28|35|56)/, 'nothing passes unread meanwhile');
    gateway = await start();
    assert.match(await ask('/open/a'), / 200$/);
  });
});
