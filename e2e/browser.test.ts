/**
 * A real browser behind the containment: Chromium with its own sandbox, its own resolver, HTTP/2, an offer of HTTP/3 and of Encrypted
 * ClientHello. It loads a permitted page which embeds things of permitted and of denied names.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { AnyRecord } from '@cofferdam/flows';
import { type Arrival, type Lab, startLab, worldHosts } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { type ContainedResult, containedUnavailable, runContained } from './contained.ts';

const chromium = '/usr/bin/chromium';
const skip =
  containedUnavailable() || (existsSync(chromium) ? false : 'chromium is not installed; `make setup` installs it');

const user = 61_234;
/** Shares address and server with the page, and no rule names it. */
const denied = 'www.example.com';
const attacker = '45.83.64.10';

/** An ECHConfigList of one configuration whose public name is `cover` (draft-ietf-tls-esni, section 4), with X25519 and AES-128-GCM. */
const echFor = (cover: string): string => {
  const key = [...Buffer.alloc(32, 9)];
  const contents = [
    7,
    0x00,
    0x20,
    0,
    key.length,
    ...key,
    0,
    4,
    0,
    1,
    0,
    1,
    0,
    cover.length,
    ...Buffer.from(cover),
    0,
    0,
  ];
  const config = [0xfe, 0x0d, 0, contents.length, ...contents];
  return Buffer.from([0, config.length, ...config]).toString('base64');
};

/** Fetches each URL, and then shows by URL whether there was an answer. */
const page = (urls: readonly string[]): string => `
<script src="https://github.com/script.js"></script>
<img src="https://${denied}/image.png">
<body><script>
const reached = (url) => fetch(url, { mode: 'no-cors' }).then(() => true, () => false);
const urls = ${JSON.stringify(urls)};
Promise.all(urls.map(reached)).then((all) => {
  document.body.textContent = JSON.stringify(Object.fromEntries(urls.map((url, i) => [url, all[i]])));
});
</script>`;
const urls = {
  permitted: 'https://github.com/fetched',
  samePage: 'https://example.com/fetched',
  denied: `https://${denied}/fetched`,
  address: `https://${attacker}/fetched`,
} as const;

describe('a browser', { skip, timeout: 90_000 }, () => {
  let lab: Lab;
  let words: readonly string[];
  before(async () => {
    const { addresses } = worldHosts.find(({ names }) => names.includes('example.com'))!;
    const https = `alpn="h3,h2" ipv4hint=${addresses[0]} ech="${echFor('cover.example')}"`;
    lab = await startLab({ daemons: ['resolver', 'resolver2'], records: [{ name: 'example.com', addresses, https }] });
    // The lab's certificates have one key, which Chromium is told to trust; it has no option for a CA of its own.
    const key = execFileSync('openssl', ['pkey', '-in', `${lab.ca.directory}/leaf.key`, '-pubout', '-outform', 'DER']);
    const trusted = createHash('sha256').update(key).digest('base64');
    words = [
      '--headless=new',
      `--ignore-certificate-errors-spki-list=${trusted}`,
      '--virtual-time-budget=10000',
      '--dump-dom',
      `https://example.com/page?${encodeURIComponent(page(Object.values(urls)))}`,
    ];
  });
  after(() => lab?.stop());

  const shown = (dom: string): unknown => JSON.parse(/<body>(\{.*?\})/s.exec(dom)?.[1] ?? JSON.stringify(dom));
  const requests = (arrivals: readonly Arrival[]): readonly string[] =>
    arrivals.flatMap((one) => (one.kind === 'request' ? [one.authority + one.target.split('?')[0]!] : []));
  const asked = ['example.com/fetched', 'example.com/page', 'github.com/fetched', 'github.com/script.js'];

  test('control: without containment it gets everything, by QUIC and Encrypted ClientHello where it can', async () => {
    const home = join(lab.directory, 'browser');
    await mkdir(home);
    await chown(home, user, user);
    const since = await lab.mark();
    const { stdout, stderr } = await lab.exec('host', [
      ...['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', 'env', `HOME=${home}`],
      ...[chromium, `--user-data-dir=${home}`, ...words],
    ]);
    assert.deepEqual(
      shown(stdout),
      { [urls.permitted]: true, [urls.samePage]: true, [urls.denied]: true, [urls.address]: true },
      stderr,
    );
    const arrivals = await lab.arrivals({ since });
    const all = requests(arrivals);
    for (const one of [...asked, `${denied}/image.png`, `${denied}/fetched`, `${attacker}/fetched`])
      assert.ok(all.includes(one), `${one}: ${all.join(' ')}`);
    assert.ok(arrivals.some(({ kind, local }) => kind === 'datagram' && local.port === 443));
    assert.ok(arrivals.some((one) => one.kind === 'tls' && one.sni === 'cover.example'));
    assert.ok(arrivals.some((one) => one.kind === 'query' && one.name === 'clients2.google.com'));
  });

  describe('contained', () => {
    let result: ContainedResult;
    let arrivals: readonly Arrival[];
    before(async () => {
      const policy = agentPolicy({
        web: { permitted: ['example.com', 'github.com'] },
        rules: ['web: [permitted], protocol: tcp, ports: [443], tls: required'],
      });
      const since = await lab.mark();
      const command = [chromium, '--user-data-dir=/tmp/profile', ...words];
      result = await runContained(lab, { policy, command, user, env: { HOME: '/tmp' } });
      arrivals = await lab.arrivals({ since });
    });

    test('loads the page and what is permitted of it', () => {
      assert.equal(result.code, 0, result.stderr);
      assert.deepEqual(
        shown(result.stdout),
        { [urls.permitted]: true, [urls.samePage]: true, [urls.denied]: false, [urls.address]: false },
        result.stderr,
      );
      assert.deepEqual([...new Set(requests(arrivals))].filter((one) => !one.endsWith('/favicon.ico')).sort(), asked);
    });

    test('nothing of it reaches another name, by whatever way it knows', () => {
      const names = new Set(
        arrivals.flatMap((one) => (one.kind === 'tls' ? [one.sni] : one.kind === 'query' ? [one.name] : [])),
      );
      assert.deepEqual([...names].sort(), ['example.com', 'github.com']);
      assert.deepEqual(
        arrivals.filter(({ kind, server }) => kind === 'datagram' || server === 'attacker'),
        [],
      );
    });

    test('each denial has its record', () => {
      const reasons = (matches: (record: AnyRecord) => boolean): readonly string[] => [
        ...new Set(
          result.records
            .filter(matches)
            .map(({ verdict, reason, rule }) => `${verdict} ${reason} ${rule?.name ?? 'default'}`),
        ),
      ];
      const denials = (name: string) => reasons((one) => one.kind === 'dns' && one.name === name);
      assert.deepEqual(denials(denied), ['deny dns-not-permitted default']);
      assert.deepEqual(denials('clients2.google.com'), ['deny dns-not-permitted default']);
      const flowsTo = (protocol: string, name: string) =>
        reasons((one) => one.kind === 'flow' && one.protocol === protocol && one.addressNames.join() === name);
      assert.deepEqual(flowsTo('udp', 'example.com'), ['deny quic default']);
      assert.deepEqual(flowsTo('tcp', 'example.com'), ['permit rule rule-0']);
      assert.deepEqual(flowsTo('tcp', ''), ['deny no-rule default']);
    });
  });
});
