import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Address } from '@cofferdam/net';
import type { Decision, Facts } from '@cofferdam/verdict';
import type { Gate } from '../src/index.ts';
import { address, deny, fakeGate, permit, rule } from './fakes.ts';
import { commandExists, freePort, listening } from './loopback.ts';
import { converse, type Lab, lab, listen, loopbackBinding, recordingServer, until } from './proxy-lab.ts';

/** Permits what claims no other name than the address's; waits for the hello. */
const byName = (facts: Facts): Decision => {
  if (facts.tls.state === 'unknown') return { kind: 'undecided', rule: 0, path: 'proxy' };
  if (facts.tls.state === 'unreadable') return deny('hello-unreadable', 0);
  if (facts.claimedName.state === 'unreadable') return deny('name-unreadable', 0);
  if (facts.claimedName.state === 'known' && facts.claimedName.value !== 'api.example.com')
    return deny('name-mismatch', 0);
  return permit(0, { stage: 'name' });
};
const tlsOnly = (facts: Facts): Decision => (facts.tls.state === 'absent' ? deny('no-rule') : byName(facts));
/** As a rule with `http` sees it: it waits for a request for ever. */
const needsRequest = (facts: Facts): Decision =>
  facts.request.state === 'unknown'
    ? { kind: 'undecided', rule: 0, path: 'proxy' }
    : facts.request.state === 'unreadable'
      ? deny('request-unreadable', 0)
      : deny('no-rule');

const gateOf = (decide: (facts: Facts) => Decision): Gate => fakeGate({ decide, rules: [rule({ name: 'by-name' })] });

/** What the record of the end says. */
const ended = async (one: Lab): Promise<string> => {
  await until(() => one.records.some((r) => r.end !== undefined));
  const record = one.records.find((r) => r.end !== undefined)!;
  return `${record.verdict} ${record.reason}`;
};

const skipTls = commandExists('openssl') ? false : 'needs openssl';

describe('TLS through the proxy, openssl on both sides', { skip: skipTls }, () => {
  let directory = '';
  let server: ChildProcess;
  let serverPort = 0;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'cofferdam-tls-'));
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=api.example.com',
        '-keyout',
        join(directory, 'key.pem'),
        '-out',
        join(directory, 'cert.pem'),
      ],
      { stdio: 'ignore' },
    );
    serverPort = await freePort();
    // P-384 only: a client that offers a share of another group first is sent a HelloRetryRequest.
    server = spawn(
      'openssl',
      [
        's_server',
        '-quiet',
        '-accept',
        `127.0.0.1:${serverPort}`,
        '-key',
        join(directory, 'key.pem'),
        '-cert',
        join(directory, 'cert.pem'),
        '-groups',
        'P-384',
        '-rev',
      ],
      { stdio: 'ignore' },
    );
    await listening(serverPort);
  });
  after(() => {
    server?.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  /** What an s_client that sends one line gets back. */
  const client = (port: number, ...args: string[]): Promise<string> =>
    new Promise((resolve) => {
      const child = spawn('openssl', ['s_client', '-quiet', '-connect', `127.0.0.1:${port}`, ...args], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      let out = '';
      child.stdout.on('data', (chunk) => {
        out += chunk;
        if (out.includes('\n')) child.kill();
      });
      child.on('close', () => resolve(out.trim()));
      child.stdin.write('hello\n');
    });

  for (const [what, args, expected] of [
    ['the right name', ['-servername', 'api.example.com'], 'olleh'],
    ['with a retry of the hello', ['-servername', 'api.example.com', '-groups', 'X25519:P-384'], 'olleh'],
    ['TLS 1.2', ['-servername', 'api.example.com', '-tls1_2'], 'olleh'],
    ['no name', ['-noservername'], 'olleh'],
    ['another name', ['-servername', 'evil.example'], ''],
  ] as const) {
    test(what, async () => {
      const one = await lab(serverPort, gateOf(byName));
      assert.equal(await client(one.port, ...args), expected);
      assert.equal(await ended(one), expected === '' ? 'deny name-mismatch' : 'permit rule');
      const record = one.records.find((r) => r.end !== undefined)!;
      assert.deepEqual([record.tls.state, record.treatment], ['known', expected === '' ? undefined : 'passthrough']);
      if (expected === '') assert.equal(record.toDestination.bytes, 0n);
      await one.close();
    });
  }

  test('a rule that needs the request on TLS: would-need-opening; monitored: lifted', async () => {
    const one = await lab(serverPort, gateOf(needsRequest));
    assert.equal(await client(one.port, '-servername', 'api.example.com'), '');
    assert.equal(await ended(one), 'deny would-need-opening');
    await one.close();
    // Nothing denies a request that nobody reads.
    const lifting = (facts: Facts): Decision =>
      facts.request.state === 'unreadable' ? permit('default', { reason: 'monitored' }) : needsRequest(facts);
    const lifted = await lab(serverPort, fakeGate({ decide: lifting, monitored: true }));
    assert.equal(await client(lifted.port, '-servername', 'api.example.com'), 'olleh');
    assert.equal(await ended(lifted), 'permit would-need-opening');
    assert.equal(lifted.records[0]?.enforced, false);
    await lifted.close();
  });
});

describe('flows that are no HTTP', () => {
  const echo = () => recordingServer((socket) => socket.pipe(socket));
  const greeter = () =>
    recordingServer((socket) => {
      socket.write('220 ready\r\n');
      socket.on('end', () => socket.end());
    });

  const run = async (
    serve: ReturnType<typeof echo>,
    decide: (facts: Facts) => Decision,
    pieces: readonly (string | Buffer)[],
    options: { half?: boolean; gap?: number; monitored?: boolean; undecidedTimeout?: number } = {},
  ) => {
    const port = await listen(serve.server);
    const gate = fakeGate({ decide, rules: [rule()], monitored: options.monitored === true });
    const one = await lab(
      port,
      gate,
      options.undecidedTimeout === undefined ? {} : { undecidedTimeout: options.undecidedTimeout },
    );
    const conversation = await converse(one.port, pieces, options);
    const verdict = await ended(one);
    await one.close();
    serve.server.close();
    return { ...conversation, verdict, sent: serve.text(), records: one.records };
  };

  test('opaque bytes pass where the walk permits without TLS, half-close included', async () => {
    const { received, verdict } = await run(echo(), byName, ['\u0000\u0001binary'], { half: true });
    assert.deepEqual([received, verdict], ['\u0000\u0001binary', 'permit rule']);
  });

  test('opaque bytes where TLS is required: nothing reaches the server', async () => {
    const { sent, verdict, end } = await run(echo(), tlsOnly, ['\u0000\u0001binary']);
    assert.deepEqual([sent, verdict, end], ['', 'deny no-rule', 'reset']);
  });

  test('a hello that breaks its framing', async () => {
    const { sent, verdict } = await run(echo(), byName, [Buffer.from('160301000502000001ff', 'hex')]);
    assert.deepEqual([sent, verdict], ['', 'deny hello-unreadable']);
  });

  test('a hello that never ends: nothing passes, cut after the time', async () => {
    const { sent, verdict } = await run(echo(), byName, [Buffer.from('16030100050100', 'hex')], {
      undecidedTimeout: 100,
    });
    assert.deepEqual([sent, verdict], ['', 'deny undecided-timeout']);
  });

  test('a client that ends inside its hello', async () => {
    const { sent, verdict } = await run(echo(), byName, [Buffer.from('160301', 'hex')], { half: true });
    assert.deepEqual([sent, verdict], ['', 'deny undecided-closed']);
  });

  test('the server speaks first: the walk decides before it passes', async () => {
    const { received, sent, verdict } = await run(greeter(), byName, ['', 'EHLO me\r\n'], { gap: 100, half: true });
    assert.deepEqual([received, sent, verdict], ['220 ready\r\n', 'EHLO me\r\n', 'permit rule']);
    const denied = await run(greeter(), tlsOnly, [], {});
    assert.deepEqual([denied.received, denied.verdict], ['', 'deny no-rule']);
  });

  for (const [what, bytes] of [
    ['TLS', Buffer.from('160301002f01', 'hex')],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
  ] as const) {
    test(`${what} after the server spoke first`, async () => {
      const serve = greeter();
      const port = await listen(serve.server);
      const one = await lab(port, gateOf(byName));
      const end = await new Promise<string>((resolve) => {
        const socket = connect(one.port, '127.0.0.1');
        socket.once('data', () => socket.write(bytes));
        socket.on('error', () => resolve('reset'));
        socket.on('end', () => resolve('end'));
      });
      assert.equal(end, 'reset');
      assert.equal(await ended(one), 'deny spoke-out-of-turn');
      assert.equal(serve.text(), '');
      await one.close();
      serve.server.close();
    });
  }

  test('what a lax server would take for a request claims an unreadable name', async () => {
    const { sent, verdict } = await run(echo(), byName, ['GET / HTTP/1.1\nHost: evil.example\n\n']);
    assert.deepEqual([sent, verdict], ['', 'deny name-unreadable']);
  });

  test('a monitored agent: denials that the gateway makes are lifted and say so', async () => {
    const hello = Buffer.from('16030100050100', 'hex');
    const lifting = (facts: Facts): Decision =>
      facts.tls.state === 'unreadable' ? permit(0, { reason: 'hello-unreadable' }) : byName(facts);
    const { received, verdict, records } = await run(echo(), lifting, [hello, ''], {
      undecidedTimeout: 50,
      monitored: true,
      half: true,
      gap: 150,
    });
    assert.deepEqual([Buffer.from(received, 'latin1').equals(hello), verdict], [true, 'permit undecided-timeout']);
    assert.equal(
      records.every((r) => !r.enforced),
      true,
    );
  });

  test('many megabytes both ways at once, whole', async () => {
    const serve = recordingServer((socket) => socket.pipe(socket));
    const port = await listen(serve.server);
    const one = await lab(port, gateOf(byName));
    const block = Buffer.alloc(1 << 20, 0);
    const total = await new Promise<number>((resolve) => {
      const socket = connect({ port: one.port, host: '127.0.0.1', allowHalfOpen: true });
      let got = 0;
      socket.on('data', (chunk) => {
        got += chunk.length;
      });
      socket.on('end', () => resolve(got));
      for (let i = 0; i < 8; i++) socket.write(block);
      socket.end();
    });
    assert.equal(total, 8 << 20);
    await ended(one);
    const record = one.records.find((r) => r.end !== undefined)!;
    assert.deepEqual([record.toDestination.bytes, record.toAgent.bytes], [8n << 20n, 8n << 20n]);
    await one.close();
    serve.server.close();
  });

  test('a slow reader holds the sender back: buffers stay bounded', async () => {
    const serve = recordingServer((socket) => {
      const block = Buffer.alloc(1 << 16);
      const push = (): void => {
        while (!socket.destroyed && socket.write(block));
      };
      socket.on('drain', push);
      socket.once('data', push);
    });
    const port = await listen(serve.server);
    const one = await lab(port, gateOf(byName));
    const socket = connect(one.port, '127.0.0.1');
    socket.pause();
    socket.write('\u0000go');
    await new Promise((resolve) => setTimeout(resolve, 300));
    const memory = process.memoryUsage().external;
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(process.memoryUsage().external - memory < 32 << 20);
    socket.destroy();
    await one.close();
    serve.server.close();
  });
});

describe('before anything is dialled', () => {
  const refused = async (
    gate: Gate | undefined,
    over: Parameters<typeof lab>[2] = {},
  ): Promise<{ verdict: string; dialled: number[] }> => {
    const one = await lab(1, gate, over);
    assert.equal((await converse(one.port, ['x'])).end, 'reset');
    const verdict = await ended(one);
    const { dialled } = one;
    assert.equal(one.holding(), 0);
    await one.close();
    return { verdict, dialled };
  };

  test('no plan', async () => assert.deepEqual(await refused(undefined), { verdict: 'deny no-plan', dialled: [] }));
  test('denied by the walk', async () =>
    assert.deepEqual(await refused(gateOf(() => deny('no-rule'))), { verdict: 'deny no-rule', dialled: [] }));
  test('an address of the pool that stands for nothing', async () => {
    assert.deepEqual(await refused(gateOf(byName), { binding: 'unmapped' }), {
      verdict: 'deny address-unmapped',
      dialled: [],
    });
  });
  test('nobody answers', async () => {
    const port = await freePort();
    const one = await lab(port, gateOf(byName));
    await converse(one.port, ['x']);
    assert.equal(await ended(one), 'deny upstream-unreachable');
    await one.close();
  });
  test('an address of this machine that the plan does not know as one', async () => {
    const serve = recordingServer((socket) => socket.end('hi'));
    const port = await listen(serve.server);
    const one = await lab(port, gateOf(byName), { dial: () => undefined });
    assert.equal((await converse(one.port, ['x'])).end, 'reset');
    assert.equal(await ended(one), 'deny gateway-port');
    assert.equal(one.records[0]?.rule, undefined, 'no rule of the policy said so');
    assert.equal(one.records[0]?.destination.address.value, address('127.0.0.1').value);
    const dial = (to: Address) =>
      to.value === address('127.0.0.1').value ? undefined : connect({ host: '127.0.0.1', port });
    const binding = { ...loopbackBinding, addresses: ['127.0.0.1', '127.0.0.2'].map(address) };
    const other = await lab(port, gateOf(byName), { dial, binding });
    assert.equal((await converse(other.port, [])).received, 'hi', 'another address of the name is dialled');
    for (const each of [one, other]) await each.close();
    serve.server.close();
  });
  test('the agent holds as many connections as it may', async () => {
    const serve = recordingServer(() => undefined);
    const port = await listen(serve.server);
    const one = await lab(port, gateOf(byName), { ofOneAgent: 1 });
    const first = connect(one.port, '127.0.0.1');
    await until(() => one.holding() === 1);
    assert.equal((await converse(one.port, ['x'])).end, 'reset');
    assert.equal(await ended(one), 'deny flow-quota');
    first.destroy();
    await one.close();
    serve.server.close();
  });

  test('candidates are dialled in order: those the walk denies are left out, the next is tried when one is dead', async () => {
    const serve = recordingServer((socket) => socket.end('hi'));
    const live = await listen(serve.server);
    const dead = await freePort();
    let attempt = 0;
    const binding = { ...loopbackBinding, addresses: ['127.0.0.2', '127.0.0.3', '127.0.0.4'].map(address) };
    const decide = (facts: Facts): Decision =>
      facts.destination.value === address('127.0.0.2').value ? deny('rule-denies', 0) : byName(facts);
    const one = await lab(() => (attempt++ === 0 ? dead : live), gateOf(decide), { binding });
    assert.equal((await converse(one.port, [])).received, 'hi');
    assert.deepEqual(one.dialled, [3, 4]);
    await ended(one);
    assert.equal(one.records[0]?.destination.address.value, address('127.0.0.4').value);
    assert.equal(one.records[0]?.synthetic?.value, address('127.0.0.1').value);
    await one.close();
    serve.server.close();
  });

  test('an idle connection is cut', async () => {
    const serve = recordingServer(() => undefined);
    const port = await listen(serve.server);
    const one = await lab(port, gateOf(byName), { idle: 100 });
    assert.equal((await converse(one.port, [])).end, 'reset');
    await one.close();
    serve.server.close();
  });
});

test('what lives when the gateway ends has its last record by then, and one', async () => {
  const { server } = recordingServer((socket) => socket.on('data', (bytes) => socket.write(bytes)));
  const one = await lab(
    await listen(server),
    gateOf(() => permit()),
  );
  const socket = connect(one.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('\0opaque');
  await new Promise((resolve) => socket.once('data', resolve));
  const ends = () => one.records.filter(({ end }) => end !== undefined);
  assert.equal(ends().length, 0);
  one.proxy.close();
  assert.deepEqual(
    ends().map(({ verdict, toDestination }) => [verdict, toDestination.bytes]),
    [['permit', 7n]],
  );
  await until(() => one.holding() === 0);
  assert.equal(ends().length, 1);
  await one.close();
  server.close();
});

test('an error of the program’s own cuts its connection, and is told', async () => {
  const { server } = recordingServer((socket) => socket.on('end', () => socket.end()));
  const faults: unknown[] = [];
  const broken = new Error('broken');
  const one = await lab(
    await listen(server),
    gateOf((facts) => {
      if (facts.tls.state === 'absent') throw broken;
      return permit();
    }),
    { fault: (e) => faults.push(e) },
  );
  assert.equal((await converse(one.port, ['\0opaque'])).end, 'reset');
  await until(() => one.holding() === 0);
  assert.deepEqual(faults, [broken]);
  await one.close();
  server.close();
});
