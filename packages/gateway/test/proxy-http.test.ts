import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { FlowRecord } from '@cofferdam/flows';
import type { Facts } from '@cofferdam/verdict';
import { deny, fakeGate, permit, rule } from './fakes.ts';
import { converse, type Lab, lab, listen, recordingServer, until } from './proxy-lab.ts';

/** Permits GET below /repos, nothing else; packet and name stage wait for the request. */
const reposOnly = (facts: Facts) => {
  if (facts.claimedName.state === 'known' && facts.claimedName.value !== 'api.example.com')
    return deny('name-mismatch', 0);
  if (facts.request.state === 'unknown') return { kind: 'undecided', rule: 0, path: 'proxy' } as const;
  if (facts.request.state !== 'known')
    return deny(facts.request.state === 'unreadable' ? 'request-unreadable' : 'no-rule', 0);
  const { method, path } = facts.request.value;
  return method === 'GET' && path.startsWith('/repos/') ? permit(0, { stage: 'request' }) : deny('no-rule');
};
const reposGate = () => fakeGate({ decide: reposOnly, rules: [rule({ name: 'repos', readsRequests: true })] });
const openGate = () => fakeGate({ decide: () => permit(0) });

const curlWith = (input: string, ...args: string[]): Promise<{ stdout: string; code: number }> =>
  new Promise((resolve) => {
    const child = execFile(
      'curl',
      ['-sS', '--max-time', '8', ...args],
      { encoding: 'latin1', maxBuffer: 1 << 26 },
      (error, stdout) => resolve({ stdout, code: typeof error?.code === 'number' ? error.code : 0 }),
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
const curl = (...args: string[]) => curlWith('', ...args);

const readBody = async (request: IncomingMessage): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
};

const get =
  (path: string, extra = '', host?: string) =>
  (port: number) =>
    `GET ${path} HTTP/1.1\r\nHost: ${host ?? `api.example.com:${port}`}\r\n${extra}\r\n`;

describe('plain HTTP through the proxy, to a real server', () => {
  let upstream: HttpServer;
  let upstreamPort = 0;
  const seen: { method: string; url: string; host: string; body: string; headers: IncomingMessage['headers'] }[] = [];
  let one: Lab;

  before(async () => {
    upstream = createHttpServer(async (request, response) => {
      const body = await readBody(request);
      seen.push({
        method: request.method ?? '',
        url: request.url ?? '',
        host: request.headers.host ?? '',
        body: body.toString('latin1'),
        headers: request.headers,
      });
      if (request.url?.startsWith('/repos/hash'))
        return void response.end(createHash('sha256').update(body).digest('hex'));
      if (request.url?.startsWith('/repos/chunked')) {
        response.write('a'.repeat(10));
        return void setTimeout(() => response.end('b'.repeat(10)), 5);
      }
      if (request.url?.startsWith('/repos/big')) return void response.end(Buffer.alloc(3_000_000, 'z'));
      if (request.url?.startsWith('/repos/none')) return void response.writeHead(204).end();
      response.end(`you asked for ${request.url}`);
    });
    upstreamPort = await new Promise<number>((resolve) => {
      upstream.listen(0, '127.0.0.1', () => resolve((upstream.address() as { port: number }).port));
    });
    one = await lab(upstreamPort, reposGate());
  });
  after(async () => {
    await one.close();
    upstream.closeAllConnections();
    upstream.close();
  });

  const url = (path: string) => `http://api.example.com:${one.port}${path}`;
  const resolve = () => `api.example.com:${one.port}:127.0.0.1`;

  test('a permitted request; path and host reach the server in canonical form', async () => {
    const { stdout } = await curl(
      '--path-as-is',
      '--resolve',
      resolve(),
      '-H',
      `Host: API.example.com.:${one.port}`,
      url('/x/../repos//%61?q=%2e%2e'),
    );
    assert.equal(stdout, 'you asked for /repos/a?q=%2e%2e');
    assert.equal(seen.at(-1)?.host, `api.example.com:${one.port}`);
    const request = one.records.find((r) => r.kind === 'request');
    assert.deepEqual(request?.request, {
      state: 'known',
      value: { method: 'GET', scheme: 'http', host: 'api.example.com', path: '/repos/a' },
    });
    assert.equal(request?.verdict, 'permit');
    await until(() => one.records.some((r) => r.kind === 'flow' && r.end !== undefined));
    assert.equal(one.records.find((r) => r.kind === 'flow')?.id, request?.flow);
    assert.equal(one.holding(), 0);
  });

  test('a denied request: 403 with a problem document, and the server sees nothing', async () => {
    const before = seen.length;
    const { stdout } = await curl('-i', '--resolve', resolve(), url('/admin'));
    assert.match(stdout, /^HTTP\/1\.1 403/);
    assert.match(stdout, /content-type: application\/problem\+json/i);
    const problem = JSON.parse(stdout.slice(stdout.indexOf('{')));
    assert.deepEqual([problem.status, problem.code, problem.rule], [403, 'no-rule', 'default']);
    const { flow, revision, status } = one.records.find(
      ({ kind, verdict }) => kind === 'request' && verdict === 'deny',
    ) as FlowRecord;
    assert.deepEqual([problem.flow, problem.revision, status], [flow, revision, 403]);
    assert.equal(seen.length, before);
  });

  test('a denied upload still gets its answer', async () => {
    const { stdout, code } = await curlWith(
      'x'.repeat(2_000_000),
      ...['--resolve', resolve(), '--data-binary', '@-', '-H', 'Expect:', url('/repos/a')],
    );
    assert.match(stdout, /no-rule/, `curl exit ${code}`);
  });

  test('dot segments cannot pass a path rule', async () => {
    for (const path of ['/repos/../admin', '/repos/%2e%2e/admin', '/repos/..%2fadmin', '/repos/..;/admin']) {
      assert.match((await curl('--path-as-is', '--resolve', resolve(), url(path))).stdout, /denied by policy/, path);
    }
  });

  test('each request of a connection is judged: pipelined, the denied one ends it', async () => {
    const before = one.records.length;
    const text = [get('/repos/a'), get('/repos/b'), get('/admin'), get('/repos/c')].map((f) => f(one.port)).join('');
    const { received } = await converse(one.port, [text]);
    assert.deepEqual(
      [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]),
      ['200', '200', '403'],
    );
    await until(() => one.records.slice(before).some((r) => r.kind === 'flow' && r.end !== undefined));
    const fresh = one.records.slice(before);
    assert.deepEqual(
      fresh.filter((r) => r.kind === 'request').map((r) => r.verdict),
      ['permit', 'permit', 'deny'],
    );
    const flow = fresh.find((r) => r.kind === 'flow' && r.end !== undefined);
    assert.deepEqual([flow?.verdict, flow?.reason], ['deny', 'no-rule']);
  });

  test('a request in one-byte segments', async () => {
    const { received } = await converse(one.port, [...get('/repos/a', 'Connection: close\r\n')(one.port)], { gap: 0 });
    assert.match(received, /you asked for \/repos\/a/);
  });

  test('keep-alive: many requests, one upstream connection for one downstream', async () => {
    const dialled = one.dialled.length;
    const { stdout } = await curl(
      '--resolve',
      resolve(),
      url('/repos/1'),
      url('/repos/2'),
      url('/repos/none'),
      url('/repos/chunked'),
      url('/repos/5'),
    );
    assert.equal(
      stdout,
      `you asked for /repos/1you asked for /repos/2${'a'.repeat(10)}${'b'.repeat(10)}you asked for /repos/5`,
    );
    assert.equal(one.dialled.length, dialled + 1);
  });

  test('a large response passes whole', async () => {
    assert.equal((await curl('--resolve', resolve(), url('/repos/big'))).stdout.length, 3_000_000);
  });

  test('HEAD has no body; the next request is found', async () => {
    const head = `HEAD /repos/a HTTP/1.1\r\nHost: api.example.com:${one.port}\r\n\r\n`;
    one.gate = fakeGate({ decide: () => permit(0) });
    const { received } = await converse(one.port, [head + get('/repos/b', 'Connection: close\r\n')(one.port)]);
    one.gate = reposGate();
    assert.equal([...received.matchAll(/HTTP\/1\.1 200/g)].length, 2);
    assert.match(received, /you asked for \/repos\/b/);
  });

  describe('bodies', () => {
    let posts: Lab;
    before(async () => {
      posts = await lab(upstreamPort, openGate());
    });
    after(() => posts.close());

    for (const [what, args] of [
      ['with a length', ['-H', 'Expect:']],
      ['chunked', ['-H', 'Expect:', '-H', 'Transfer-Encoding: chunked']],
      ['after 100 Continue', ['-H', 'Expect: 100-continue']],
    ] as const) {
      test(what, async () => {
        const body = 'payload\r\n\r\nGET /admin HTTP/1.1\r\n'.repeat(20_000);
        const path = `http://api.example.com:${posts.port}/repos/hash`;
        const to = `api.example.com:${posts.port}:127.0.0.1`;
        const { stdout } = await curlWith(body, '--resolve', to, ...args, '--data-binary', '@-', path);
        assert.equal(stdout, createHash('sha256').update(body).digest('hex'));
      });
    }

    test('chunk extensions and trailers are not forwarded', async () => {
      const text = `POST /repos/x HTTP/1.1\r\nHost: api.example.com:${posts.port}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-Smuggled: 1\r\n\r\n`;
      await converse(posts.port, [text]);
      assert.equal(seen.at(-1)?.body, 'abc');
      assert.equal(JSON.stringify(seen.at(-1)).includes('smuggled'), false);
    });

    test('hop-by-hop fields and what Connection names are left out', async () => {
      const text = get('/repos/x', 'Connection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nX-Kept: 2\r\n')(posts.port);
      await converse(posts.port, [text]);
      const { headers } = seen.at(-1)!;
      assert.deepEqual(
        [headers['x-hop'], headers.te, headers['x-kept'], headers.connection],
        [undefined, undefined, '2', 'close'],
      );
    });
  });

  describe('what is no strict request is denied where a rule needs the request', () => {
    // What can begin no request is none, and a permit of requests does not match it.
    for (const [what, text, reason = 'request-unreadable'] of [
      [
        'both lengths',
        'POST /repos/a HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc',
      ],
      [
        'two lengths',
        'POST /repos/a HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc',
      ],
      ['two hosts', 'GET /repos/a HTTP/1.1\r\nHost: api.example.com\r\nHost: evil.example\r\n\r\n'],
      ['a folded line', 'GET /repos/a HTTP/1.1\r\nHost: api.example.com\r\nX: a\r\n b\r\n\r\n'],
      ['a space before the colon', 'GET /repos/a HTTP/1.1\r\nHost : api.example.com\r\n\r\n'],
      ['bare line feeds', 'GET /repos/a HTTP/1.1\nHost: api.example.com\n\n'],
      ['HTTP/0.9', 'GET /repos/a\r\n'],
      ['HTTP/2 with prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
      ['a lower-case method', 'get /repos/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n'],
      ['an SSH banner', 'SSH-2.0-client\r\n', 'no-rule'],
      ['binary', '\u0000\u0001\u0002\u0003', 'no-rule'],
    ] as const) {
      test(what, async () => {
        const before = seen.length;
        const records = one.records.length;
        await converse(one.port, [text.replace('api.example.com', `api.example.com:${one.port}`)]);
        assert.equal(seen.length, before);
        await until(() => one.records.slice(records).some((r) => r.kind === 'flow' && r.end !== undefined));
        const flow = one.records.slice(records).find((r) => r.kind === 'flow' && r.end !== undefined);
        assert.deepEqual([flow?.verdict, flow?.reason], ['deny', reason]);
      });
    }
  });

  describe('refused whatever the rules say', () => {
    let open: Lab;
    before(async () => {
      open = await lab(upstreamPort, openGate());
    });
    after(() => open.close());

    const reason = async (text: (port: number) => string): Promise<string> => {
      const { received } = await converse(open.port, [text(open.port)]);
      return /"code":"([a-z-]+)"/.exec(received)?.[1] ?? received;
    };

    for (const [what, text, expected] of [
      [
        'CONNECT',
        (p: number) => `CONNECT api.example.com:${p} HTTP/1.1\r\nHost: api.example.com:${p}\r\n\r\n`,
        'request-unreadable',
      ],
      [
        'an upgrade to h2c',
        get('/repos/a', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n'),
        'request-unreadable',
      ],
      [
        'an https URL on plain HTTP',
        (p: number) => `GET https://api.example.com:${p}/ HTTP/1.1\r\nHost: api.example.com:${p}\r\n\r\n`,
        'request-unreadable',
      ],
      [
        'URL and Host that disagree',
        (p: number) => `GET http://evil.example/ HTTP/1.1\r\nHost: api.example.com:${p}\r\n\r\n`,
        'authority-mismatch',
      ],
    ] as const) {
      test(what, async () => assert.equal(await reason(text), expected));
    }

    test('another Host later on the same connection', async () => {
      const text = get('/repos/a')(open.port) + get('/repos/b', '', 'other.example')(open.port);
      const { received } = await converse(open.port, [text]);
      assert.match(
        received,
        /you asked for \/repos\/a[\s\S]*HTTP\/1\.1 421 Misdirected Request[\s\S]*authority-mismatch/,
      );
      assert.equal(seen.at(-1)?.url, '/repos/a');
    });

    test('an absolute URL of the same host is forwarded in origin form', async () => {
      const text = `GET http://api.example.com:${open.port}/repos/q?x=1 HTTP/1.1\r\nHost: api.example.com:${open.port}\r\nConnection: close\r\n\r\n`;
      assert.match((await converse(open.port, [text])).received, /you asked for \/repos\/q\?x=1/);
    });
  });

  test('a claimed name that is not the address name', async () => {
    const { stdout } = await curl('-H', 'Host: evil.example', '--resolve', resolve(), url('/repos/a'));
    assert.match(stdout, /name-mismatch/);
  });

  test('a head that is never finished: cut after the time for undecided flows', async () => {
    const slow = await lab(upstreamPort, reposGate(), { undecidedTimeout: 100 });
    const { end } = await converse(slow.port, ['GET /repos/a HT']);
    assert.equal(end, 'reset');
    await until(() => slow.records.length > 0);
    assert.deepEqual(
      slow.records.map((r) => [r.verdict, r.reason]),
      [['deny', 'undecided-timeout']],
    );
    await slow.close();
  });

  test('a changed plan cuts an idle connection that it no longer permits, and judges the next request', async () => {
    const changing = await lab(upstreamPort, reposGate());
    const done = converse(changing.port, [get('/repos/a')(changing.port)]);
    await until(() => changing.records.some((r) => r.kind === 'request'));
    changing.gate = fakeGate({ decide: () => deny('no-rule') });
    changing.proxy.rejudge();
    assert.equal((await done).end, 'reset');
    await until(() => changing.records.some((r) => r.reason === 'flow-cut'));
    await changing.close();
  });
});

describe('servers that misbehave', () => {
  const against = async (
    answer: string,
    options: { close?: boolean; requests?: number; gate?: ReturnType<typeof fakeGate>; extra?: string } = {},
  ) => {
    const server = recordingServer((socket) => {
      socket.once('data', () => {
        socket.write(Buffer.from(answer, 'latin1'));
        if (options.close !== false) socket.end();
      });
    });
    const port = await listen(server.server);
    const one = await lab(port, options.gate ?? openGate());
    const text = get('/repos/a', options.extra ?? '')(one.port).repeat(options.requests ?? 1);
    const conversation = await converse(one.port, [text]);
    await one.close();
    server.server.close();
    return { ...conversation, sent: server.text() };
  };

  test('a body that ends with the connection', async () => {
    const { received } = await against('HTTP/1.1 200 OK\r\n\r\nuntil the end');
    assert.match(received, /until the end$/);
  });

  test('a response that cannot be read passes, and no further request is sent', async () => {
    const { received, sent } = await against('HTTP/1.1 200 OK\nContent-Length: 2\n\nok', { requests: 2 });
    assert.match(received, /ok$/);
    assert.equal([...sent.matchAll(/GET /g)].length, 1);
  });

  test('101 that nobody asked for is not passed', async () => {
    const { received } = await against('HTTP/1.1 101 Switching Protocols\r\n\r\n', { close: false });
    assert.equal(received, '');
  });

  test('no response at all', async () => assert.equal((await against('')).received, ''));

  test('interim responses pass', async () => {
    const { received } = await against(
      'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    );
    assert.match(received, /103 Early Hints[\s\S]*200 OK[\s\S]*ok$/);
  });

  const webSocket =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n';
  const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes';

  test('a WebSocket where the rule reads no requests: opaque after 101', async () => {
    const { received, sent } = await against(switching, { extra: webSocket });
    assert.match(received, /frames$/);
    assert.match(sent, /Connection: Upgrade\r\nUpgrade: websocket\r\n/);
  });

  test('a WebSocket where the rule reads requests: denied', async () => {
    const { received, sent } = await against(switching, { extra: webSocket, gate: reposGate() });
    assert.match(received, /403[\s\S]*request-unreadable/);
    assert.equal(sent, '');
  });

  test('a final response before the end of the body closes the connection', async () => {
    const server = recordingServer((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n'));
    });
    const port = await listen(server.server);
    const one = await lab(port, openGate());
    const head = `POST /repos/a HTTP/1.1\r\nHost: api.example.com:${one.port}\r\nContent-Length: 100\r\n\r\n`;
    const { received } = await converse(one.port, [head, 'GET /admin HTTP/1.1\r\n\r\n'], { gap: 50 });
    assert.match(received, /413/);
    assert.equal([...received.matchAll(/HTTP\/1\.1/g)].length, 1);
    await one.close();
    server.server.close();
  });
});
