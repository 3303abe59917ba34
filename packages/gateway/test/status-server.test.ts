import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseRulesReport } from '@cofferdam/flows';
import { readPrometheus } from '@cofferdam/testkit';
import { serveMetrics, serveStatus } from '../src/status-server.ts';
import { fakeGateway, planOf, use } from './status-fakes.ts';

const directory = mkdtempSync(join(tmpdir(), 'cofferdam-status-'));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Answered {
  readonly code: number;
  readonly type: string | undefined;
  readonly allow: string | undefined;
  readonly text: string;
}

const ask = (
  where: { readonly socketPath: string } | { readonly host: string; readonly port: number },
  path: string,
  method = 'GET',
  body?: string,
): Promise<Answered> =>
  new Promise((resolve, reject) => {
    const asked = request({ ...where, path, method, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () =>
        resolve({
          code: response.statusCode ?? 0,
          type: response.headers['content-type'],
          allow: response.headers.allow,
          text: Buffer.concat(parts).toString(),
        }),
      );
    });
    asked.on('error', reject);
    asked.end(body);
  });

const served = async (name: string, owner?: number) => {
  const gateway = fakeGateway(planOf(3, ['code', 'model']));
  gateway.hits.hit(0, 'permitted', 1000, 2n);
  gateway.uses = [use('10.0.0.1', 3)];
  const socketPath = join(directory, name);
  let clock = 0;
  const warnings: string[] = [];
  const server = serveStatus(
    gateway.status,
    { path: socketPath, ...(owner === undefined ? {} : { owner }) },
    { now: () => clock, warn: (text) => warnings.push(text) },
  );
  await server.listening;
  after(server.close);
  return { gateway, server, socketPath, warnings, advance: (ms: number) => (clock += ms) };
};

describe('the status socket', () => {
  test('says the rules, the state and the metrics', async () => {
    const { socketPath } = await served('all.sock');
    const rules = await ask({ socketPath }, '/v1/rules');
    assert.deepEqual([rules.code, rules.type], [200, 'application/json']);
    const report = parseRulesReport(rules.text);
    assert.ok(report.ok);
    assert.deepEqual(
      report.value.rules.map(({ rule, use: { permitted } }) => [rule.name, permitted]),
      [
        ['code', 2],
        ['model', 0],
      ],
    );
    const state = JSON.parse((await ask({ socketPath }, '/v1/state')).text);
    assert.deepEqual([state.plan.revision, state.plan.dnsMode], [3, 'synthetic']);
    assert.deepEqual(state.agents, [{ agent: 'coder', flows: 3, hellos: 0, proxied: 0, untold: 0 }]);
    assert.deepEqual(state.tables[0], { table: 'flows', entries: 3, capacity: 65_536 });
    assert.deepEqual(state.quotas.flows, 4096);
    const metrics = await ask({ socketPath }, '/metrics?x=1');
    assert.equal(metrics.type, 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(readPrometheus(metrics.text).has('cofferdam_rule_hits_total'), true);
  });

  test('is for its owner alone', async () => {
    const { socketPath } = await served('owned.sock', process.getuid?.());
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
    assert.equal(statSync(socketPath).uid, process.getuid?.());
  });

  test('another owner may be named by root', {
    skip: process.getuid?.() !== 0 && 'only root may give files away',
  }, async () => {
    const { socketPath } = await served('given.sock', 61_234);
    assert.equal(statSync(socketPath).uid, 61_234);
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  });

  test('only GET, and only what there is', async () => {
    const { socketPath } = await served('methods.sock');
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']) {
      const answered = await ask(
        { socketPath },
        '/v1/rules',
        method,
        method === 'POST' ? 'x'.repeat(100_000) : undefined,
      );
      assert.deepEqual([answered.code, answered.allow], [405, 'GET'], method);
    }
    for (const path of ['/', '/v1', '/v1/rules/', '/../etc/passwd', '/metrics/x'])
      assert.equal((await ask({ socketPath }, path)).code, 404, path);
  });

  test('who asks often is told the same for a second', async () => {
    const { gateway, socketPath, advance } = await served('often.sock');
    const permitted = async (): Promise<number> => {
      const report = parseRulesReport((await ask({ socketPath }, '/v1/rules')).text);
      assert.ok(report.ok);
      return report.value.rules[0]!.use.permitted;
    };
    assert.equal(await permitted(), 2);
    gateway.hits.hit(0, 'permitted', 2000);
    advance(999);
    assert.equal(await permitted(), 2);
    advance(1);
    assert.equal(await permitted(), 3);
  });

  test('more than a few connections are not taken', async () => {
    const { socketPath } = await served('many.sock');
    const open = Array.from({ length: 40 }, () => connect(socketPath));
    const closed = open.map((socket) => new Promise<void>((resolve) => socket.on('close', () => resolve())));
    for (const socket of open) socket.on('error', () => socket.destroy());
    // Those beyond the limit are closed at once, the others when they said nothing for too long: one of each is enough here.
    await Promise.race(closed);
    assert.ok(open.some(({ destroyed }) => !destroyed));
    for (const socket of open) socket.destroy();
    await Promise.all(closed);
    for (let i = 0; ; i++) {
      const code = await ask({ socketPath }, '/v1/state').then(
        (answered) => answered.code,
        () => 0,
      );
      if (code === 200) break;
      assert.ok(i < 200, 'it does not answer any more');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });

  test('takes the place of one that an earlier process left, and is gone at the end', async () => {
    const first = await served('again.sock');
    const second = await served('again.sock');
    assert.equal((await ask({ socketPath: second.socketPath }, '/v1/state')).code, 200);
    first.server.close();
    second.server.close();
    assert.equal(statSync(second.socketPath, { throwIfNoEntry: false }), undefined);
  });

  test('a file that is no socket is not taken away', async () => {
    const path = join(directory, 'file');
    writeFileSync(path, 'mine', { mode: 0o644 });
    const { status } = fakeGateway(planOf(1, ['code']));
    const server = serveStatus(status, { path, owner: 61_234 }, { now: () => 0, warn: () => undefined });
    await assert.rejects(server.listening, /EADDRINUSE/);
    assert.equal(readFileSync(path, 'utf8'), 'mine');
    assert.deepEqual([statSync(path).mode & 0o777, statSync(path).uid], [0o644, process.getuid?.()]);
  });
});

test('over TCP there are the metrics and nothing else', async () => {
  const { status } = fakeGateway(planOf(1, ['code']));
  const server = serveMetrics(status, { address: '127.0.0.1', port: 0 }, { now: () => 0, warn: () => undefined });
  after(server.close);
  const { port } = await server.listening;
  const where = { host: '127.0.0.1', port: port! };
  assert.equal(readPrometheus((await ask(where, '/metrics')).text).has('cofferdam_plan_revision'), true);
  assert.equal((await ask(where, '/v1/rules')).code, 404);
  assert.equal((await ask(where, '/v1/state')).code, 404);
});
