/** The policies of examples/, each with the real tool it is for: what it names is reached, and what is next to that is not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type Lab, startLab } from '@cofferdam/testkit/lab';
import { containedUnavailable, runContained, startContained } from './contained.ts';

const skip = containedUnavailable();
const example = (name: string): string => readFileSync(new URL(`../examples/${name}.yaml`, import.meta.url), 'utf8');
const user = 61_234;
let lab: Lab;

/** The names of agent tools, those of their telemetry too: what is denied must be there to be reached. */
const toolNames = [
  ...['api.anthropic.com', 'platform.claude.com', 'statsig.anthropic.com', 'http-intake.logs.us5.datadoghq.com'],
  ...['api.openai.com', 'chatgpt.com', 'auth.openai.com', 'ab.chatgpt.com'],
  ...['api.business.githubcopilot.com', 'api.individual.githubcopilot.com', 'api.githubcopilot.com'],
  ...['telemetry.business.githubcopilot.com', 'en.wikipedia.org', 'upload.wikimedia.org', 'index.crates.io'],
];

before(async () => {
  if (skip) return;
  lab = await startLab({
    records: [
      { name: 'catalog.db.internal.example', addresses: ['10.20.0.10', 'fd20::10'] },
      { name: 'orders.db.internal.example', addresses: ['10.20.0.10', 'fd20::10'] },
      { name: 'acme-datasets.s3.eu-west-1.amazonaws.com', addresses: ['93.184.215.14'] },
      ...toolNames.map((name) => ({ name, addresses: ['160.79.104.10', '2607:6bc0::10'] })),
    ],
  });
});
after(async () => {
  if (!skip) await lab.stop();
});

const reasons = (records: readonly { readonly verdict: string; readonly reason: string }[]): readonly string[] => [
  ...new Set(records.flatMap(({ verdict, reason }) => (verdict === 'deny' ? [reason] : []))),
];

test('coding agent: its code host and registries, by curl, Python and Node', { skip }, async () => {
  const policy = example('coding-agent');
  const since = await lab.mark();
  const fetches = [
    'curl -sS -m 10 https://api.github.com/zen',
    `python3 -c "import urllib.request as u; print(u.urlopen('https://pypi.org/simple/', timeout=10).status)"`,
    `"${process.execPath}" -e "fetch('https://raw.githubusercontent.com/acme/x').then(r => process.exit(r.ok ? 0 : 1))"`,
  ];
  const good = await runContained(lab, { policy, user, command: ['sh', '-c', fetches.join(' && ')] });
  assert.equal(good.code, 0, good.stderr);
  const names = (await lab.arrivals({ since, kind: 'request' })).map((one) =>
    one.kind === 'request' ? one.authority : '',
  );
  assert.deepEqual(names, ['api.github.com', 'pypi.org', 'raw.githubusercontent.com']);

  const before = await lab.mark();
  const bad = await runContained(lab, {
    policy,
    user,
    command: ['curl', '-sS', '-m', '10', 'https://gist.github.com/'],
  });
  assert.notEqual(bad.code, 0);
  assert.deepEqual(reasons(bad.records), ['dns-not-permitted']);
  assert.match(bad.stderr, /denied dns gist\.github\.com by default/);
  assert.deepEqual(await lab.arrivals({ since: before, name: 'gist.github.com' }), []);
});

/** Fetches each URL in turn and prints which were answered, as the tool's own runtime does it. */
const fetching = {
  node: (urls: readonly string[]) => [
    process.execPath,
    '-e',
    `(async () => { for (const url of ${JSON.stringify(urls)}) await fetch(url).then(() => console.log(url), () => 0); })()`,
  ],
  curl: (urls: readonly string[]) => [
    'sh',
    '-c',
    urls.map((url) => `curl -sS -m 10 -o /dev/null '${url}' && echo '${url}'`).join('; '),
  ],
} as const;

interface Tool {
  readonly example: string;
  readonly runtime: keyof typeof fetching;
  readonly reached: readonly string[];
  /** Telemetry, other plans, and where data could be left. */
  readonly refused: readonly string[];
}

const agentTools: readonly Tool[] = [
  {
    example: 'claude-code',
    runtime: 'node',
    reached: ['api.anthropic.com', 'platform.claude.com', 'api.github.com'],
    refused: ['statsig.anthropic.com', 'http-intake.logs.us5.datadoghq.com', 'gist.github.com'],
  },
  {
    example: 'codex',
    runtime: 'curl',
    reached: ['api.openai.com', 'chatgpt.com', 'auth.openai.com', 'index.crates.io'],
    refused: ['ab.chatgpt.com', 'gist.github.com'],
  },
  {
    example: 'copilot-cli',
    runtime: 'node',
    reached: ['api.business.githubcopilot.com', 'api.github.com'],
    refused: ['telemetry.business.githubcopilot.com', 'api.individual.githubcopilot.com', 'api.githubcopilot.com'],
  },
  {
    example: 'browser-agent',
    runtime: 'curl',
    reached: ['api.anthropic.com', 'en.wikipedia.org', 'upload.wikimedia.org'],
    refused: ['www.example.com', 'cdn.attacker.example'],
  },
];

for (const { example: name, runtime, reached, refused } of agentTools)
  test(`${name}: its model and its places, and neither telemetry nor ways out`, { skip }, async () => {
    const urls = [...reached, ...refused].map((host) => `https://${host}/`);
    const asked = async (since: Awaited<ReturnType<Lab['mark']>>): Promise<readonly string[]> => {
      const arrivals = await lab.arrivals({ since, kind: 'request' });
      return arrivals.flatMap((one) => (one.kind === 'request' ? [one.authority] : []));
    };
    const before = await lab.mark();
    const control = await lab.exec('host', fetching[runtime](urls), { env: lab.ca.environment });
    assert.deepEqual(control.stdout.trim().split('\n'), urls, control.stderr);
    assert.deepEqual(await asked(before), [...reached, ...refused]);
    for (const host of refused) {
      const kinds = (await lab.arrivals({ since: before, name: host })).map(({ kind }) => kind);
      for (const kind of ['query', 'request'])
        assert.ok(
          kinds.some((each) => each === kind),
          `${host}: ${kinds}`,
        );
    }

    const since = await lab.mark();
    const run = await runContained(lab, { policy: example(name), user, command: fetching[runtime](urls) });
    assert.deepEqual(run.stdout.trim().split('\n'), urls.slice(0, reached.length), run.stderr);
    assert.deepEqual(await asked(since), reached);
    // Not even the question got out.
    for (const host of refused) assert.deepEqual(await lab.arrivals({ since, name: host }), []);
    assert.deepEqual(reasons(run.records), ['dns-not-permitted']);
    const denied = run.records.flatMap((one) => (one.kind === 'dns' && one.verdict === 'deny' ? [one.name] : []));
    assert.deepEqual([...new Set(denied)], refused);
  });

test('MCP server over HTTP: clients reach it, it reaches its two services and reads pages only', { skip }, async () => {
  const server = [
    'python3 -m http.server 8080 --bind 127.0.0.1 >/dev/null 2>&1 & server=$!',
    'curl -sS -m 10 -o /dev/null -w "%{http_code}\\n" https://api.github.com/search',
    'curl -sS -m 10 -o /dev/null -w "%{http_code}\\n" http://wiki.internal.example/pages/on-call',
    'curl -sS -m 10 -o /dev/null -w "%{http_code}\\n" -d secret http://wiki.internal.example/pages/on-call',
    'curl -sS -m 10 -o /dev/null -w "%{http_code}\\n" http://wiki.internal.example/admin',
    'echo ready; sleep 20; kill $server',
  ];
  const run = await startContained(lab, {
    policy: example('mcp-server'),
    user,
    options: ['--publish', '8080'],
    command: ['sh', '-c', server.join('\n')],
  });
  try {
    await run.waitFor(/ready/, 20_000);
    assert.deepEqual(run.stdout().trim().split('\n'), ['200', '200', '403', '403', 'ready']);
    const client = await lab.exec('host', [
      'curl',
      '-sS',
      '-m',
      '10',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      'http://127.0.0.1:8080/',
    ]);
    assert.equal(client.stdout, '200', client.stderr);
    const seen = await lab.arrivals({ server: 'spoke-wiki', kind: 'request' });
    assert.deepEqual(
      seen.map((one) => (one.kind === 'request' ? `${one.method} ${one.target}` : '')),
      ['GET /pages/on-call'],
    );
  } finally {
    await run.kill('SIGTERM');
    await run.ended;
  }
});

test('remote tools: one organisation is read, tools that read are called, and the model is not opened', {
  skip,
}, async () => {
  const call = (tool: string): string =>
    `-H 'Content-Type: application/json' -d '${JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: tool, arguments: {} },
    })}' https://api.githubcopilot.com/mcp/`;
  const asks = [
    'https://api.github.com/repos/acme/shop/issues/7',
    'https://api.github.com/repos/evil/drop/issues/7',
    '-X DELETE https://api.github.com/repos/acme/shop',
    call('search_code'),
    call('create_gist'),
    '-X DELETE https://api.githubcopilot.com/mcp/',
    `-X GET -H 'X-HTTP-Method-Override: POST' ${call('create_gist')}`,
    'https://api.anthropic.com/v1/messages',
  ];
  const since = await lab.mark();
  const run = await runContained(lab, {
    policy: example('remote-tools'),
    user,
    command: ['sh', '-c', asks.map((ask) => `curl -sS -m 10 -o /dev/null -w '%{http_code}\\n' ${ask}`).join('\n')],
  });
  assert.deepEqual(run.stdout.trim().split('\n'), ['200', '403', '403', '200', '200', '200', '403', '200'], run.stderr);
  const arrived = (await lab.arrivals({ since, kind: 'request' })).map((one) =>
    one.kind === 'request' ? `${one.method} ${one.authority}${one.target}` : '',
  );
  assert.deepEqual(arrived, [
    'GET api.github.com/repos/acme/shop/issues/7',
    'POST api.githubcopilot.com/mcp/',
    'DELETE api.githubcopilot.com/mcp/',
    'GET api.anthropic.com/v1/messages',
  ]);
  const model = run.records.find(
    (one) =>
      one.kind === 'flow' && one.end !== undefined && one.addressNames.some((name) => name === 'api.anthropic.com'),
  );
  assert.equal(model?.kind === 'flow' && model.treatment, 'passthrough');
});

test('Python data agent: one bucket and the package index, and not the bucket beside it', { skip }, async () => {
  const script = [
    'import urllib.request as u, sys',
    "print(u.urlopen('https://pypi.org/simple/', timeout=10).status)",
    'try:',
    "  u.urlopen('https://attacker-bucket.s3.eu-west-1.amazonaws.com/', timeout=10)",
    'except OSError as e:',
    '  sys.exit(7)',
  ];
  const run = await runContained(lab, {
    policy: example('python-data-agent'),
    user,
    command: ['python3', '-c', script.join('\n')],
  });
  assert.equal(run.code, 7, run.stderr);
  assert.equal(run.stdout.trim(), '200');
  assert.deepEqual(reasons(run.records), ['dns-not-permitted']);
  const bucket = await runContained(lab, {
    policy: example('python-data-agent'),
    user,
    command: ['curl', '-sS', '-m', '10', '-k', '-o', '/dev/null', 'https://acme-datasets.s3.eu-west-1.amazonaws.com/x'],
  });
  assert.equal(bucket.code, 0, bucket.stderr);
});

test('git over ssh: clone and push work, ssh elsewhere and git over https do not', { skip }, async () => {
  const policy = example('git-over-ssh');
  // ssh insists that its key belongs to whoever uses it.
  const env = { GIT_SSH_COMMAND: lab.ssh.command, GIT_CONFIG_GLOBAL: '/dev/null' };
  const clone = await runContained(lab, {
    policy,
    env,
    cwd: '/tmp',
    command: ['git', 'clone', '-q', lab.ssh.repository, '/tmp/tool'],
  });
  assert.equal(clone.code, 0, clone.stderr);
  assert.ok(
    clone.records.some((one) => one.kind === 'flow' && one.verdict === 'permit' && one.destination.port === 22),
  );

  const since = await lab.mark();
  const other = await runContained(lab, {
    policy,
    cwd: '/tmp',
    command: [
      'ssh',
      '-o',
      'BatchMode=yes',
      '-o',
      'ConnectTimeout=5',
      '-o',
      'StrictHostKeyChecking=no',
      'x@45.83.64.10',
    ],
  });
  assert.notEqual(other.code, 0);
  assert.deepEqual(reasons(other.records), ['no-rule']);
  const https = await runContained(lab, {
    policy,
    cwd: '/tmp',
    command: ['curl', '-sS', '-m', '10', 'https://github.com/'],
  });
  assert.notEqual(https.code, 0);
  assert.deepEqual(reasons(https.records), ['no-rule']);
  assert.deepEqual(await lab.arrivals({ since, server: 'attacker' }), []);
});

test('database client: the databases by name and subnet, not by address and not other ports', { skip }, async () => {
  const policy = example('database-client');
  const greeting = [
    'import socket, sys',
    's = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)',
    's.settimeout(5)',
    'sys.stdout.write(repr(s.recv(5)))',
  ].join('\n');
  const dial = (host: string, port: string) =>
    runContained(lab, { policy, user, command: ['python3', '-c', greeting, host, port] });
  const named = await dial('catalog.db.internal.example', '3306');
  assert.equal(named.code, 0, named.stderr);
  assert.match(named.stdout, /x0a|\\n/);
  const byAddress = await dial('10.20.0.10', '3306');
  assert.notEqual(byAddress.code, 0);
  assert.deepEqual(reasons(byAddress.records), ['no-rule']);
  const otherPort = await dial('catalog.db.internal.example', '22');
  assert.notEqual(otherPort.code, 0);
  assert.deepEqual(reasons(otherPort.records), ['no-rule']);
});
