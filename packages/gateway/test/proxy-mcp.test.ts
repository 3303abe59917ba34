/** Calls of MCP, which rules speak of and which stand in the bodies of requests: a real server, and raw clients that try to hide them. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { syntheticWays } from '../src/arrival.ts';
import { createHolds, longestHeld } from '../src/held-bytes.ts';
import { compiledGate, type Sketch } from './compiled-gate.ts';
import { address, name } from './fakes.ts';
import { converse, type Lab, lab, listen, loopbackBinding, until } from './proxy-lab.ts';

const host = 'mcp.example.com';
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Got {
  readonly line: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

const start = async (
  rules: Sketch['rules'],
  more: Partial<Sketch> & { readonly undecidedTimeout?: number; readonly answer?: RequestListener } = {},
): Promise<{ readonly one: Lab; readonly got: readonly Got[] }> => {
  const { undecidedTimeout = 2000, answer = (_, res) => res.end('arrived'), ...sketch } = more;
  const got: Got[] = [];
  const server = createServer((req, res) => {
    const pieces: Buffer[] = [];
    req.on('data', (bytes: Buffer) => pieces.push(bytes));
    req.on('end', () => {
      got.push({ line: `${req.method} ${req.url}`, headers: req.headers, body: Buffer.concat(pieces).toString() });
      answer(req, res);
    });
  });
  const port = await listen(server);
  const gate = compiledGate({ mode: 'synthetic', web: { tools: [host] }, rules, ...sketch });
  const binding = { ...loopbackBinding, name: name(host), addresses: [address('93.184.216.34')] };
  const one = await lab(port, gate, {
    ways: syntheticWays({ at: () => binding, contains: () => true }),
    undecidedTimeout,
  });
  closing.push(one.close, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { one, got };
};

const json = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
const post = (body: unknown, fields: readonly string[] = [], type = 'application/json'): string => {
  const text = json(body);
  const head = [
    'POST /mcp HTTP/1.1',
    `Host: ${host}`,
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(text)}`,
  ];
  return `${[...head, ...fields].join('\r\n')}\r\n\r\n${text}`;
};
const message = (method: string, params?: unknown, id?: number) => ({ jsonrpc: '2.0', id, method, params });
const call = (tool: string, id = 1) => message('tools/call', { name: tool, arguments: {} }, id);
const last = 'Connection: close';

/** Of the answer: its status, and its body where it is JSON. */
const answerOf = ({ received }: { readonly received: string }) => {
  const [head = '', ...body] = received.split('\r\n\r\n');
  const text = body.join('\r\n\r\n');
  return {
    status: Number(head.split(' ')[1]),
    body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text,
  };
};
const called = ({ records }: Lab) =>
  records
    .filter(({ kind }) => kind === 'request')
    .map(({ verdict, reason, rule, mcp }) => {
      const what = mcp.state === 'known' ? `${mcp.value.method} ${mcp.value.tool ?? ''}`.trim() : mcp.state;
      return `${verdict} ${reason} ${rule?.name ?? 'default'}: ${what}`;
    });

const handshake = { name: 'handshake', web: ['tools'], mcp: { methods: ['initialize', 'notifications/initialized'] } };
const search = { name: 'search', web: ['tools'], mcp: { methods: ['tools/call'], tools: ['search_code'] } };

describe('a rule that permits calls', () => {
  test('what it permits arrives as it was sent', async () => {
    const { one, got } = await start([search]);
    const text =
      '{ "jsonrpc":"2.0",\n "id":1, "method":"tools\\/call", "params":{"name":"search_code","arguments":{"q":"é"}} }';
    const answer = answerOf(await converse(one.port, [Buffer.from(post(text, [last]))]));
    assert.deepEqual(
      [answer, got.map(({ line, body }) => [line, body])],
      [{ status: 200, body: 'arrived' }, [['POST /mcp', text]]],
    );
    assert.deepEqual(called(one), ['permit rule search: tools/call search_code']);
  });

  test('what it does not is answered as an error of the call, and nothing of it arrives', async () => {
    const { one, got } = await start([search]);
    const { status, body } = answerOf(await converse(one.port, [post(call('delete_repo', 7))]));
    assert.equal(status, 200);
    assert.deepEqual([body.jsonrpc, body.id, body.error.code, body.error.data.code], ['2.0', 7, -32_043, 'no-rule']);
    assert.match(body.error.message, /^denied by policy: /);
    assert.deepEqual([got, called(one)], [[], ['deny no-rule default: tools/call delete_repo']]);
  });

  test('what waits for no answer gets none of JSON-RPC', async () => {
    const { one, got } = await start([search]);
    const { status, body } = answerOf(await converse(one.port, [post(message('notifications/cancelled'))]));
    assert.deepEqual([status, body.code, got], [403, 'no-rule', []]);
  });

  test('`tools` alone speaks of calls of tools only', async () => {
    const { one } = await start([{ ...search, mcp: { tools: ['search_code'] } }]);
    await converse(one.port, [post(call('search_code')), post(message('tools/list', {}, 2))], { gap: 100 });
    assert.deepEqual(called(one), ['permit rule search: tools/call search_code', 'deny no-rule default: tools/list']);
    assert.deepEqual(
      one.records.flatMap(({ kind, status }) => (kind === 'request' ? [status] : [])),
      [200, 200],
    );
  });

  test('answers to what the server asked go by a name of their own', async () => {
    const answer = { jsonrpc: '2.0', id: 3, result: { roots: [] } };
    const without = await start([search]);
    assert.equal(answerOf(await converse(without.one.port, [post(answer)])).status, 403);
    assert.deepEqual([without.got, called(without.one)], [[], ['deny no-rule default: $answer']]);
    const { one, got } = await start([{ ...search, mcp: { methods: ['$answer'] } }]);
    await converse(one.port, [post(answer, [last])]);
    assert.equal(got.length, 1);
  });

  test('several on one connection are judged one by one, also where they are sent ahead', async () => {
    const { one, got } = await start([handshake, search]);
    const all = [
      message('initialize', {}, 1),
      message('notifications/initialized'),
      call('search_code', 2),
      call('rm', 3),
    ];
    const { received } = await converse(one.port, [all.map((each) => post(each)).join('')]);
    assert.equal(got.length, 3);
    assert.match(received, /"id":3,"error"/);
    assert.deepEqual(called(one), [
      'permit rule handshake: initialize',
      'permit rule handshake: notifications/initialized',
      'permit rule search: tools/call search_code',
      'deny no-rule default: tools/call rm',
    ]);
  });

  test('a batch passes where all of it does, with a record of each call', async () => {
    const { one, got } = await start([handshake, search]);
    await converse(one.port, [post([call('search_code', 1), message('notifications/initialized')], [last])]);
    assert.equal(got.length, 1);
    assert.deepEqual(called(one), [
      'permit rule search: tools/call search_code',
      'permit rule handshake: notifications/initialized',
    ]);
    assert.deepEqual(
      one.records.filter(({ kind }) => kind === 'request').map(({ toDestination }) => toDestination.bytes > 0n),
      [true, false],
    );
  });

  test('one call hidden in a batch denies the batch', async () => {
    const { one, got } = await start([handshake, search]);
    const batch = [
      call('search_code', 1),
      message('notifications/initialized'),
      call('delete_repo', 2),
      call('search_code', 3),
    ];
    const { status, body } = answerOf(await converse(one.port, [post(batch)]));
    assert.deepEqual([status, body.map(({ id }: { id: number }) => id), got], [200, [1, 2, 3], []]);
    assert.deepEqual(called(one), ['deny no-rule default: tools/call delete_repo']);
  });

  test('a body in chunks of one byte is one body', async () => {
    const { one, got } = await start([search]);
    const text = json(call('search_code'));
    const chunks = [...text].map((sign) => `1\r\n${sign}\r\n`).join('');
    const head = `POST /mcp HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n${last}\r\n\r\n`;
    await converse(one.port, [head, chunks, '0\r\n\r\n']);
    assert.deepEqual(
      got.map(({ body }) => body),
      [text],
    );
  });

  test('what the head says of the call may be there, and is what the body says', async () => {
    const { one, got } = await start([search]);
    const fields = ['Mcp-Method: tools/call', 'Mcp-Name: =?base64?c2VhcmNoX2NvZGU=?=', last];
    assert.equal(answerOf(await converse(one.port, [post(call('search_code'), fields)])).status, 200);
    assert.equal(got[0]?.headers['mcp-method'], 'tools/call');
  });

  test('a client that waits to be told to go on is told, and the server is not asked', async () => {
    const { one, got } = await start([search]);
    const [head, body] = post(call('search_code'), ['Expect: 100-continue', last]).split('\r\n\r\n');
    const { received } = await converse(one.port, [`${head}\r\n\r\n`, '', body!], { gap: 50 });
    assert.match(received, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
    assert.equal(got[0]?.headers.expect, undefined);
  });

  test('a body that nobody has to read is not held back', async () => {
    const { one, got } = await start([{ name: 'all', web: ['tools'], http: { methods: ['POST'] } }, search]);
    const big = post(JSON.stringify('x'.repeat(longestHeld + 1)), [last]);
    assert.equal(answerOf(await converse(one.port, [big])).status, 200);
    assert.equal(got[0]?.body.length, longestHeld + 3);
    assert.deepEqual(called(one), ['permit rule all: unknown']);
  });
});

describe('what cannot be read', () => {
  const text = json(call('search_code'));
  const zipped = gzipSync(text).toString('latin1');
  const bodies: Readonly<Record<string, string>> = {
    'two methods in one call': post(`{"method":"tools/list",${text.slice(1)}`),
    'a method in capitals beside one': post(`{"Method":"tools/list",${text.slice(1)}`),
    'no JSON': post('x'),
    'another type': post(text, [], 'text/plain'),
    'another character set': post(text, [], 'application/json; charset=utf-7'),
    'two types': post(text, ['Content-Type: text/plain']),
    'another method in the head': post(text, ['Mcp-Method: tools/list']),
    'another tool in the head': post(text, ['Mcp-Method: tools/call', 'Mcp-Name: delete_repo']),
    'another tool in the head, encoded': post(text, [`Mcp-Name: =?base64?${Buffer.from('rm').toString('base64')}?=`]),
    'two tools in the head': post(text, ['Mcp-Name: search_code', 'Mcp-Name: delete_repo']),
    'a batch with one method in the head': post([call('search_code')], ['Mcp-Method: tools/call', 'Mcp-Method: x']),
    'an encoding': `POST /mcp HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\n\r\n${zipped}`,
    'another method of HTTP': post(text).replace('POST', 'PUT'),
    'a body that is too long': post(JSON.stringify({ ...call('search_code'), pad: 'x'.repeat(longestHeld) })),
    'chunks that are none': `POST /mcp HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nx`,
  };
  for (const [what, request] of Object.entries(bodies)) {
    test(`is not permitted by a rule of calls: ${what}`, async () => {
      const { one, got } = await start([search]);
      const { status, body } = answerOf(await converse(one.port, [request]));
      assert.deepEqual([status, body.code, got], [403, 'request-unreadable', []]);
      assert.deepEqual(called(one), ['deny request-unreadable search: unreadable']);
    });

    test(`is denied by a rule of calls: ${what}`, async () => {
      const never = { name: 'never', action: 'deny', web: ['tools'], mcp: { tools: ['delete_repo'] } };
      const { one, got } = await start([never, { name: 'all', web: ['tools'] }]);
      const { status } = answerOf(await converse(one.port, [request]));
      assert.deepEqual([status, got], [403, []]);
      assert.match(called(one)[0]!, /^deny rule-denies never: unreadable$/);
    });
  }

  test('control: what a rule denies among calls that pass', async () => {
    const never = { name: 'never', action: 'deny', web: ['tools'], mcp: { tools: ['delete_repo'] } };
    const { one, got } = await start([never, { name: 'all', web: ['tools'] }]);
    const get = `GET /mcp HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
    await converse(one.port, [get, post(call('search_code')), post(call('delete_repo', 2))], { gap: 100 });
    assert.deepEqual(
      got.map(({ line }) => line),
      ['GET /mcp', 'POST /mcp'],
    );
    assert.deepEqual(called(one), [
      'permit rule all: absent',
      'permit rule all: tools/call search_code',
      'deny rule-denies never: tools/call delete_repo',
    ]);
  });

  test('in a WebSocket is denied by a rule of calls, since nobody reads it', async () => {
    const never = { name: 'never', action: 'deny', web: ['tools'], mcp: { tools: ['delete_repo'] } };
    const upgrade = `GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
    const { one, got } = await start([never, { name: 'all', web: ['tools'] }]);
    assert.equal(answerOf(await converse(one.port, [upgrade])).status, 403);
    assert.deepEqual([got, called(one)], [[], ['deny rule-denies never: absent']]);
    const control = await start([{ name: 'all', web: ['tools'] }]);
    await converse(control.one.port, [upgrade], { half: true });
    assert.equal(control.got.length, 1);
  });

  test('of a monitored agent it arrives whole, and its record says why it would not', async () => {
    const { one, got } = await start([search], { containment: 'monitor' });
    const text = JSON.stringify('x'.repeat(longestHeld + 100_000));
    assert.equal(answerOf(await converse(one.port, [post(text, [last])])).status, 200);
    assert.equal(got[0]?.body, text);
    assert.match(called(one)[0]!, /^permit monitored .*: unreadable$/);
  });

  test('a body that does not come is not waited for', async () => {
    const { one, got } = await start([search], { undecidedTimeout: 200 });
    await converse(one.port, [post(call('search_code')).slice(0, -5), '', ''], { gap: 300 });
    assert.deepEqual([got, called(one)], [[], ['deny undecided-timeout search: unknown']]);
  });

  test('nor one whose client ends', async () => {
    const { one, got } = await start([search]);
    await converse(one.port, [post(call('search_code')).slice(0, -5)], { half: true });
    await until(() => called(one).length > 0);
    assert.deepEqual([got, called(one)], [[], ['deny undecided-closed search: unknown']]);
  });
});

describe('another plan', () => {
  const sketchOf = (revision: number, rules: Sketch['rules']): Sketch => ({
    mode: 'synthetic',
    web: { tools: [host] },
    rules,
    revision,
  });

  test('that comes while a body is held back is the one that judges it', async () => {
    for (const [rules, expected] of [
      [[search], 'permit rule search: tools/call search_code'],
      [[handshake], 'deny no-rule default: tools/call search_code'],
    ] as const) {
      const { one } = await start([search]);
      const [first, second] = [post(call('search_code')), post(call('search_code', 2), [last])];
      const talk = converse(one.port, [first, '', second.slice(0, -9), '', '', second.slice(-9)], { gap: 60 });
      await until(() => called(one).length === 1);
      await pause(120);
      one.gate = compiledGate(sketchOf(2, rules));
      one.proxy.rejudge();
      await talk;
      assert.equal(called(one)[1], expected);
    }
  });

  test('that denies one call of a batch whose answer is on its way cuts it', async () => {
    let answered: (() => void) | undefined;
    const { one } = await start([handshake, search], {
      answer: (_, res) => {
        answered = () => res.end();
        res.write('some');
      },
    });
    const talk = converse(one.port, [post([message('initialize', {}, 1), call('search_code', 2)])]);
    await until(() => answered !== undefined);
    one.gate = compiledGate(sketchOf(2, [search]));
    one.proxy.rejudge();
    assert.equal((await talk).end, 'reset');
    const ended = () => one.records.find(({ kind, end }) => kind === 'flow' && end !== undefined);
    await until(() => ended() !== undefined);
    assert.equal(ended()?.reason, 'flow-cut');
  });
});

test('what is held back of an agent that is gone is let go', async () => {
  const { one, got } = await start([{ name: 'lists', web: ['tools'], mcp: { methods: ['tools/list'] } }], {
    answer: (_, res) => res.setHeader('Content-Type', 'application/json').write('{'),
  });
  const socket = connect(one.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(post(message('tools/list', {}, 1)));
  await until(() => got.length === 1);
  socket.resetAndDestroy();
  await until(() => one.holding() === 0);
});

describe('the answer to `tools/list`', () => {
  const lists = { name: 'lists', web: ['tools'], mcp: { methods: ['tools/list'] } };
  const tools = [{ name: 'search_code' }, { name: 'delete_repo' }];
  const text = json({ jsonrpc: '2.0', id: 1, result: { tools } });
  const ask = (...fields: readonly string[]): string => post(message('tools/list', {}, 1), fields);
  const shown = (received: string): readonly string[] =>
    [...received.matchAll(/"name":"(\w+)"/g)].map((one) => one[1]!);
  const answers: Readonly<Record<string, RequestListener>> = {
    'as JSON': (_, res) => res.setHeader('Content-Type', 'application/json').end(text),
    'as JSON in chunks': (_, res) => {
      res.setHeader('Content-Type', 'application/json; charset=utf-8').write(text.slice(0, 20));
      res.end(text.slice(20));
    },
    'as JSON up to the end of the connection': (req) => {
      req.socket.end(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n${text}`);
    },
    'as events': (_, res) => res.setHeader('Content-Type', 'text/event-stream').end(`data: ${text}\n\n`),
  };
  for (const [what, answer] of Object.entries(answers))
    test(`has the tools that may be called: ${what}`, async () => {
      const { one } = await start([lists, search], { answer });
      const { received } = await converse(one.port, [ask(last)]);
      assert.match(received, /^HTTP\/1\.1 200 OK\r\n/);
      assert.deepEqual(shown(received), ['search_code']);
      assert.ok(received.endsWith('\r\n0\r\n\r\n'), 'it is complete');
    });

  test('that comes again in another stream has them too', async () => {
    const get = { name: 'get', web: ['tools'], http: { methods: ['GET'] } };
    const ask = `GET /mcp HTTP/1.1\r\nHost: ${host}\r\nLast-Event-ID: 7\r\n${last}\r\n\r\n`;
    const { one } = await start([get, lists, search], { answer: answers['as events']! });
    assert.deepEqual(shown((await converse(one.port, [ask])).received), ['search_code']);
    const control = await start([get], { answer: answers['as events']! });
    assert.deepEqual(shown((await converse(control.one.port, [ask])).received), ['search_code', 'delete_repo']);
  });

  test('is whole for a monitored agent, whatever it is', async () => {
    for (const answer of [answers['as JSON']!, ((_, res) => res.end(text)) satisfies RequestListener]) {
      const { one } = await start([lists, search], { answer, containment: 'monitor' });
      assert.deepEqual(shown((await converse(one.port, [ask(last)])).received), ['search_code', 'delete_repo']);
    }
  });

  test('control: with no rule about calls it passes as it came', async () => {
    const { one } = await start([{ name: 'all', web: ['tools'] }], { answer: answers['as JSON']! });
    assert.deepEqual(shown((await converse(one.port, [ask(last)])).received), ['search_code', 'delete_repo']);
  });

  test('is not asked for in an encoding, and is an error in one', async () => {
    const { one, got } = await start([lists, search], {
      answer: (_, res) => {
        res.setHeader('Content-Type', 'application/json').setHeader('Content-Encoding', 'gzip').end(gzipSync(text));
      },
    });
    const { received } = await converse(one.port, [ask('Accept-Encoding: gzip', last)]);
    assert.equal(got[0]?.headers['accept-encoding'], 'identity');
    assert.match(received, /"error":\{"code":-32603/);
  });

  test('of another type is an error, and of another status passes', async () => {
    const plain = await start([lists, search], {
      answer: (_, res) => res.setHeader('Content-Type', 'text/plain').end(text),
    });
    assert.match((await converse(plain.one.port, [ask(last)])).received, /"error":\{"code":-32603/);
    const { one } = await start([lists, search], { answer: (_, res) => res.writeHead(401).end('who are you?') });
    assert.match((await converse(one.port, [ask(last)])).received, /^HTTP\/1\.1 401 .*who are you\?/s);
  });

  for (const type of ['constructor', '__proto__', 'toString', ';', ''])
    test(`of a type that is none is an error: ${JSON.stringify(type)}`, async () => {
      const { one } = await start([lists, search], {
        answer: (_, res) => res.setHeader('Content-Type', type).end(text),
      });
      assert.match((await converse(one.port, [ask(last)])).received, /"error":\{"code":-32603/);
    });

  test('leaves the connection to the next request', async () => {
    const { one, got } = await start([lists, search], { answer: answers['as JSON']! });
    await converse(one.port, [ask(), post(call('search_code', 2), [last])]);
    assert.equal(got.length, 2);
  });

  test('that breaks off is not complete for the agent either', async () => {
    const { one } = await start([lists, search], {
      answer: (req) =>
        req.socket.end(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n${text}`),
    });
    const { received } = await converse(one.port, [ask(last)]);
    assert.ok(!received.endsWith('0\r\n\r\n'), received);
  });
});

test('bodies that are held back have a bound over all agents, and one of each', () => {
  const open = createHolds({ ofAll: 100, ofOne: 60 });
  const [first, second, third] = [open('coder'), open('coder'), open('tester')];
  assert.deepEqual(
    [first.take(50), second.take(20), second.take(10), third.take(50), third.take(40)],
    [true, false, true, false, true],
  );
  first.release();
  first.release();
  assert.deepEqual([second.take(51), second.take(50)], [false, true]);
});
