/** That the benchmark works: it goes its whole way once. What it measured in so short a time means nothing, and is not looked at. */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { kernelUnavailable } from './kernel-lab.ts';

const tools = ['clang', 'dnsmasq', 'haproxy', 'nginx', 'nft', 'wrk'] as const;
const unavailable = (): string | false => {
  const missing = tools.find((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  return missing === undefined ? kernelUnavailable() : `there is no ${missing}: \`make setup\``;
};

const bench = new URL('../bench/', import.meta.url).pathname;
const statistics = '/proc/sys/kernel/bpf_stats_enabled';
const name = `test-${process.pid}`;
const cutShort = `${name}-cut-short`;

describe('the benchmark', { skip: unavailable() }, () => {
  after(() => {
    for (const folder of ['results', 'results/rounds'])
      for (const one of [name, cutShort]) rmSync(`${bench}${folder}/${one}.json`, { force: true });
  });

  test('measures everybody, and writes what it found', async () => {
    const before = readFileSync(statistics, 'ascii');
    const { stdout } = await promisify(execFile)(process.execPath, [`${bench}bench.ts`, '--quick', '--name', name], {
      maxBuffer: 1 << 24,
    });
    assert.match(stdout, /new connections per second/);
    const results = JSON.parse(readFileSync(`${bench}results/${name}.json`, 'utf8')) as Record<string, unknown>[];
    for (const result of results) {
      assert.deepEqual(Object.keys(result), ['metric', 'unit', 'value', 'budget', 'holds', 'comparedWith']);
      assert.equal(typeof result.value, 'number');
      assert.equal(result.budget === null, result.holds === null);
    }
    const metrics = results.map(({ metric }) => String(metric));
    for (const variant of [
      'forwarding',
      'cofferdam, 10 rules',
      'cofferdam, 1,000 rules',
      'cofferdam, 20,000 rules',
      'nft list, 20,000 rules',
      'nft set, 20,000 rules',
      'haproxy, 20,000 names',
    ])
      for (const metric of ['new connections', 'time to connect, median', 'TLS handshakes'])
        assert.ok(metrics.includes(`${variant}: ${metric}`), `${variant}: ${metric}`);
    assert.ok(metrics.includes('dnsmasq: DNS queries of known names'));
    for (const what of ['median time to connect', 'bulk throughput', 'connections that failed', 'slowest connection'])
      assert.ok(metrics.some((one) => one.startsWith(`cofferdam, 1,000 rules: ${what} beside`)));
    assert.equal(readFileSync(statistics, 'ascii'), before);
  });

  test('says what it measured until something failed, and fails', async () => {
    const running = spawn(process.execPath, [`${bench}bench.ts`, '--quick', '--name', cutShort]);
    const ended = new Promise<number | null>((done) => running.once('close', done));
    const printed = text(running.stdout);
    let said = '';
    for await (const line of createInterface(running.stderr)) {
      said += `${line}\n`;
      if (!line.startsWith('bench: beside a flood')) continue;
      const { stdout } = spawnSync('pgrep', ['-P', String(running.pid), '-f', 'gateway-process'], {
        encoding: 'ascii',
      });
      const gateways = stdout.trim().split('\n').map(Number);
      assert.equal(gateways.length, 3);
      for (const pid of gateways) process.kill(pid, 'SIGKILL');
    }
    assert.equal(await ended, 1, said);
    assert.match(said, /^bench: not all was measured: Error: /m);
    assert.match(await printed, /new connections per second/);
    const results = JSON.parse(readFileSync(`${bench}results/${cutShort}.json`, 'utf8')) as { metric: string }[];
    assert.ok(results.some(({ metric }) => metric === 'forwarding: bulk throughput'));
    assert.ok(!results.some(({ metric }) => metric.includes('DNS queries')));
    const rounds = JSON.parse(readFileSync(`${bench}results/rounds/${cutShort}.json`, 'utf8')) as { failed?: string };
    assert.ok(rounds.failed !== undefined && said.includes(rounds.failed));
  });
});
