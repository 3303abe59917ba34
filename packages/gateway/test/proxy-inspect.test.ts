/** TLS that a rule has opened: a real client and a real server, and the proxy between them with an authority of its own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttps, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import {
  type Authority,
  type AuthorityFiles,
  createAuthority,
  createLeafs,
  readAuthority,
} from '@cofferdam/certificates';
import type { DomainName } from '@cofferdam/net';
import { syntheticWays } from '../src/arrival.ts';
import type { Binding } from '../src/index.ts';
import { createTlsOpener } from '../src/tls-opening.ts';
import { compiledGate, type Sketch } from './compiled-gate.ts';
import { address, name } from './fakes.ts';
import { type Lab, lab, loopbackBinding, until } from './proxy-lab.ts';

const host = 'api.example.com';
const there = '93.184.216.34';

const open = async (files: AuthorityFiles, at = Date.now()): Promise<Authority> => {
  const read = await readAuthority(files, at);
  assert.ok(read.ok);
  return read.authority;
};

/** The internet's authority, and the gateway's. */
let world: AuthorityFiles;
let ours: AuthorityFiles;
before(async () => {
  world = await createAuthority('World', Date.now());
  ours = await createAuthority('Gateway', Date.now());
});

const closing: (() => Promise<unknown>)[] = [];
const close = async (): Promise<void> => {
  for (const one of closing.splice(0).reverse()) await one();
};
afterEach(close);
after(close);

interface Answer {
  readonly status: number;
  readonly body: string;
}

interface Site {
  readonly one: Lab;
  /** Method, URL and Host of each request that the server got. */
  readonly got: string[];
  readonly ask: (path: string, more?: Readonly<Record<string, unknown>>, body?: string) => Promise<Answer | string>;
  readonly end: () => Promise<string>;
}

interface SiteOptions {
  readonly certificateFor?: string;
  readonly by?: () => AuthorityFiles;
  /** When the server's certificate was made. */
  readonly madeAt?: number;
  readonly trusts?: () => AuthorityFiles;
}

const site = async (rules: Sketch['rules'], options: SiteOptions = {}): Promise<Site> => {
  const gate = compiledGate({ mode: 'synthetic', web: { api: [host], other: ['other.example.com'] }, rules });
  const at = options.madeAt ?? Date.now();
  const leafs = await createLeafs(await open((options.by ?? (() => world))(), at), { now: () => at, kept: 4 });
  const leaf = await leafs.leafFor({ name: (options.certificateFor ?? host) as DomainName });
  const got: string[] = [];
  const server = createHttps({ cert: leaf.certificate, key: leaf.key }, (req, res) => {
    got.push(`${req.method} ${req.url} ${req.headers.host}`);
    let size = 0;
    req.on('data', (bytes: Buffer) => {
      size += bytes.length;
    });
    req.on('end', () => res.end(`${size} bytes for ${req.url}`));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const binding: Binding = { ...loopbackBinding, name: name(host), addresses: [address(there)] };
  const opener = createTlsOpener({
    leafs: await createLeafs(await open(ours), { now: Date.now, kept: 16 }),
    trusted: [world.certificate],
    handshakeTimeout: 2000,
  });
  const one = await lab((server.address() as { port: number }).port, gate, {
    ways: syntheticWays({ at: () => binding, contains: () => true }),
    opener,
    undecidedTimeout: 1000,
  });
  closing.push(one.close);
  const ask: Site['ask'] = (path, more = {}, body) =>
    new Promise((resolve) => {
      const request = httpsRequest({
        host: '127.0.0.1',
        port: one.port,
        servername: host,
        headers: { Host: `${host}:${one.port}` },
        path,
        ca: (options.trusts ?? (() => ours))().certificate,
        agent: false,
        ...more,
      });
      request.on('response', (response) => {
        let text = '';
        response.on('data', (bytes) => {
          text += bytes;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
      });
      request.on('error', (e) => resolve((e as NodeJS.ErrnoException).code ?? e.message));
      request.end(body);
    });
  const end = async (): Promise<string> => {
    const last = () => one.records.find(({ kind, end: ended }) => kind === 'flow' && ended !== undefined);
    await until(() => last() !== undefined);
    const { verdict, reason, treatment, stage } = last()!;
    return `${verdict} ${reason} ${stage} ${treatment ?? 'untreated'}`;
  };
  return { one, got, ask, end };
};

const reads = { name: 'reads', web: ['api'], http: { methods: ['GET'], paths: ['/v1/**'] } };

describe('a rule that reads requests, and TLS', () => {
  test('what it permits arrives, in the canonical form that was judged', async () => {
    const { one, got, ask, end } = await site([reads]);
    assert.deepEqual(await ask('/v1//a/%2e%2e/models?x=1'), { status: 200, body: '0 bytes for /v1/models?x=1' });
    assert.deepEqual(got, [`GET /v1/models?x=1 ${host}:${one.port}`]);
    assert.equal(await end(), 'permit rule request inspect');
    const request = one.records.find(({ kind }) => kind === 'request');
    assert.deepEqual(request?.request, {
      state: 'known',
      value: { method: 'GET', scheme: 'https', host, path: '/v1/models' },
    });
    assert.deepEqual(request?.tls, { state: 'known', value: true });
  });

  test('what it does not permit is answered by the gateway, and nothing of it arrives', async () => {
    const { got, ask, end } = await site([reads]);
    const denied = (await ask('/v2/secret', { method: 'POST' }, 'secret')) as Answer;
    assert.equal(denied.status, 403);
    assert.match(denied.body, /"code":"no-rule"/);
    assert.deepEqual(got, []);
    assert.equal(await end(), 'deny no-rule request inspect');
  });

  test('each request of a connection is judged', async () => {
    const { one, got, end } = await site([reads]);
    const socket = connectTls({ port: one.port, host: '127.0.0.1', servername: host, ca: ours.certificate });
    let received = '';
    socket.on('data', (bytes) => {
      received += bytes;
    });
    socket.on('error', () => undefined);
    const head = (method: string, path: string): string =>
      `${method} ${path} HTTP/1.1\r\nHost: ${host}:${one.port}\r\n\r\n`;
    socket.write(head('GET', '/v1/a') + head('GET', '/v1/b') + head('DELETE', '/v1/c'));
    await once(socket, 'close');
    assert.deepEqual(
      got.map((line) => line.split(' ').slice(0, 2).join(' ')),
      ['GET /v1/a', 'GET /v1/b'],
    );
    assert.match(received, /0 bytes for \/v1\/a.*0 bytes for \/v1\/b.*403 Forbidden/s);
    assert.equal(await end(), 'deny no-rule request inspect');
  });

  test('a Host that the hello did not claim: domain fronting', async () => {
    const { got, ask, end } = await site([{ ...reads, web: ['api', 'other'] }]);
    const denied = (await ask('/v1/a', { headers: { Host: 'other.example.com' } })) as Answer;
    assert.equal(denied.status, 403);
    assert.deepEqual(got, []);
    assert.match(await end(), /^deny (name-mismatch|authority-mismatch) /);
  });

  test('a large upload and a large answer pass whole', async () => {
    const { ask } = await site([{ ...reads, http: { methods: ['PUT'] } }]);
    const answer = (await ask('/v1/a', { method: 'PUT' }, 'x'.repeat(20_000_000))) as Answer;
    assert.equal(answer.body, '20000000 bytes for /v1/a');
  });
});

describe('what is opened', () => {
  for (const [what, rules, expected] of [
    [
      '`decrypt: allowed`, though its name is enough',
      [{ name: 'a', web: ['api'], decrypt: 'allowed' }],
      'permit rule request inspect',
    ],
    [
      'a name alone',
      [
        { name: 'a', web: ['api'], tls: 'absent' },
        { name: 'b', web: ['api'] },
      ],
      'permit rule name passthrough',
    ],
    [
      'not what a rule before forbids to open',
      [{ name: 'a', web: ['api'], decrypt: 'not-allowed' }, reads],
      'permit rule name passthrough',
    ],
    [
      'not past a permit that forbids it',
      [
        { ...reads, http: { methods: ['POST'] } },
        { name: 'b', web: ['api'], decrypt: 'not-allowed' },
      ],
      'deny would-need-opening request inspect',
    ],
    [
      'for a denial of requests',
      [
        { name: 'a', action: 'deny', http: { methods: ['DELETE'] } },
        { name: 'b', web: ['api'] },
      ],
      'permit rule request inspect',
    ],
  ] as const) {
    test(what, async () => {
      // Who is passed through meets the server's own certificate.
      const passes = expected.endsWith('passthrough');
      const { ask, end } = await site([...rules] as Sketch['rules'], { trusts: () => (passes ? world : ours) });
      await ask('/v1/a');
      assert.equal(await end(), expected);
    });
  }

  for (const version of ['-tls1_2', '-tls1_3'])
    test(`by an agent that trusts another authority: its alert says so, and the record (${version})`, async () => {
      const { one, end, got } = await site([reads]);
      const directory = mkdtempSync(join(tmpdir(), 'cofferdam-inspect-'));
      closing.push(async () => rmSync(directory, { recursive: true }));
      const file = join(directory, 'world.pem');
      writeFileSync(file, world.certificate);
      const words = ['s_client', version, '-connect', `127.0.0.1:${one.port}`, '-servername', host];
      const client = spawn('openssl', [...words, '-CAfile', file, '-verify_return_error'], { stdio: 'ignore' });
      await once(client, 'exit');
      assert.equal(await end(), 'deny certificate-refused name inspect');
      assert.deepEqual(got, []);
    });
});

describe('a destination that cannot be trusted gets no request', () => {
  for (const [what, options, code] of [
    ['a certificate for another name', { certificateFor: 'evil.example' }, 'upstream-name'],
    ['an unknown authority', { by: () => ours }, 'upstream-untrusted'],
    ['a certificate that ended', { madeAt: Date.now() - 30 * 24 * 3_600_000, by: 'old' }, 'upstream-expired'],
  ] as const) {
    test(what, async () => {
      let by = options.by as (() => AuthorityFiles) | 'old' | undefined;
      if (by === 'old') {
        world = await createAuthority('World', Date.now() - 40 * 24 * 3_600_000);
        by = undefined;
      }
      const { ask, got, end } = await site([reads], {
        ...options,
        ...(by === undefined ? { by: () => world } : { by }),
      });
      const denied = (await ask('/v1/a')) as Answer;
      assert.equal(denied.status, 403);
      assert.match(denied.body, new RegExp(`"code":"${code}"`));
      assert.deepEqual(got, []);
      assert.equal(await end(), `deny ${code} name inspect`);
    });
  }
});
