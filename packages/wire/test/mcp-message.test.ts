import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { jsonLimits, mcpLimits, readJson, readMcpBody } from '../src/index.ts';

/** fast-check prints it where it fails. */
const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');
const call = (more: object): string => JSON.stringify({ jsonrpc: '2.0', id: 1, ...more });
const readAll = (text: string | Uint8Array) => readMcpBody(typeof text === 'string' ? bytes(text) : text);
const faultOf = (text: string | Uint8Array): string | undefined => {
  const read = readAll(text);
  return read.ok ? undefined : read.because;
};
const search = { name: 'search_code', arguments: { name: 'x', Name: 'y' } };

describe('messages of MCP', () => {
  test('requests, notifications, answers and calls of tools', () => {
    const messages = [
      { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18' } },
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      { jsonrpc: '2.0', id: 'a', method: 'tools/call', params: search },
      { jsonrpc: '2.0', id: 7, result: {} },
      { jsonrpc: '2.0', id: 8, error: { code: -1, message: 'no' } },
    ];
    const read = [
      { kind: 'call', id: 1, method: 'initialize' },
      { kind: 'call', method: 'notifications/initialized' },
      { kind: 'call', id: 'a', method: 'tools/call', tool: 'search_code' },
      { kind: 'answer' },
      { kind: 'answer' },
    ];
    for (const [i, one] of messages.entries())
      assert.deepEqual(readAll(JSON.stringify(one)), { ok: true, isBatch: false, messages: [read[i]] });
    assert.deepEqual(readAll(JSON.stringify(messages)), { ok: true, isBatch: true, messages: read });
  });

  test('names may be written with escapes, as every reader reads them', () => {
    const text = String.raw`{"jsonrpc":"2.0","id":1,"meth\u006fd":"tools\/call","params":{"n\u0061me":"delet\u0065"}}`;
    assert.deepEqual(readAll(text), {
      ok: true,
      isBatch: false,
      messages: [{ kind: 'call', id: 1, method: 'tools/call', tool: 'delete' }],
    });
  });

  const twice = '"method":"tools/list","method":"tools/call"';
  const refused: Readonly<Record<string, readonly [string, string | Uint8Array]>> = {
    'no JSON': ['syntax', '{'],
    nothing: ['syntax', ''],
    'two texts': ['syntax', `${call({ method: 'a' })}${call({ method: 'b' })}`],
    'a comment': ['syntax', `/**/${call({ method: 'a' })}`],
    'NUL behind it': ['syntax', `${call({ method: 'a' })}\0`],
    'UTF-16': ['syntax', Buffer.from(call({ method: 'a' }), 'utf16le')],
    'UTF-16 with its mark': ['encoding', Buffer.from(`\ufeff${call({ method: 'a' })}`, 'utf16le')],
    'bytes that are no UTF-8': ['encoding', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    'a byte order mark': ['encoding', `\ufeff${call({ method: 'a' })}`],
    'a method twice': ['repeated-name', `{"jsonrpc":"2.0","id":1,${twice}}`],
    'a method twice, once with an escape': [
      'repeated-name',
      String.raw`{"jsonrpc":"2.0","id":1,"method":"tools/list","m\u0065thod":"tools/call"}`,
    ],
    'a name twice in what a tool is given': [
      'repeated-name',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"p":1,"p":2}}}',
    ],
    'a tool twice': [
      'repeated-name',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{},"name":"b"}}',
    ],
    'a method in capitals beside one': ['name-case', call({ method: 'tools/list', Method: 'tools/call' })],
    'a tool with a long s in `arguments`': [
      'name-case',
      call({ method: 'tools/call', params: { name: 'a', argumentſ: {} } }),
    ],
    'a tool in capitals beside one': ['name-case', call({ method: 'tools/call', params: { name: 'a', NAME: 'b' } })],
    'a method cut short by NUL beside one': ['name-case', call({ method: 'tools/list', 'method\0': 'tools/call' })],
    'a tool cut short by NUL beside one': [
      'name-case',
      call({ method: 'tools/call', params: { name: 'a', 'name\0': 'b' } }),
    ],
    'a method with a dash in its name': ['name-case', call({ method: 'tools/list', 'me-thod': 'tools/call' })],
    'a method with a dot over its name': ['name-case', call({ method: 'tools/list', 'method\u0307': 'tools/call' })],
    'a thousand lists': ['too-many', `[${'[],'.repeat(jsonLimits.tokens)}[]]`],
    'names without end': ['too-many', JSON.stringify(Array(jsonLimits.tokens).fill({ a: 1 }))],
    'a string without end': ['syntax', '{"a'],
    'a name without an object': ['syntax', '"a","b"]'],
    'an escape that is none': ['syntax', String.raw`{"\x61":1}`],
    'an empty batch': ['no-message', '[]'],
    'a batch in a batch': ['no-message', `[[${call({ method: 'a' })}]]`],
    'a batch that is too long': ['no-message', JSON.stringify(Array(mcpLimits.batch + 1).fill({}))],
    'one bad message among good ones': ['no-json-rpc', `[${call({ method: 'a' })},{}]`],
    'a string': ['no-message', '"tools/call"'],
    null: ['no-message', 'null'],
    'another version': ['no-json-rpc', '{"jsonrpc":"1.0","id":1,"method":"a"}'],
    'no version': ['no-json-rpc', '{"id":1,"method":"a"}'],
    'a call that is an answer too': ['no-json-rpc', call({ method: 'a', result: {} })],
    'an answer with result and error': ['no-json-rpc', call({ result: {}, error: {} })],
    'an answer to nothing': ['id', '{"jsonrpc":"2.0","result":{}}'],
    'a method that is no text': ['method', call({ method: ['tools/call'] })],
    'a method of null': ['method', call({ method: null })],
    'a method with NUL': ['method', call({ method: 'tools/call\0' })],
    'a method with a blank behind it': ['method', call({ method: 'tools/call ' })],
    'a method that nobody sees the end of': ['method', call({ method: 'tools/call\u200b' })],
    'a method like what stands for an answer': ['method', call({ method: '$answer' })],
    'half a character': ['method', String.raw`{"jsonrpc":"2.0","id":1,"method":"a\ud800"}`],
    'no tool': ['tool', call({ method: 'tools/call', params: {} })],
    'no params': ['tool', call({ method: 'tools/call' })],
    'params in a list': ['tool', call({ method: 'tools/call', params: ['search_code'] })],
    'a tool of the prototype': [
      'tool',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"__proto__":{"name":"a"}}}',
    ],
    'a tool that is too long': [
      'tool',
      call({ method: 'tools/call', params: { name: 'x'.repeat(mcpLimits.name + 1) } }),
    ],
    'an id that is none': ['id', '{"jsonrpc":"2.0","id":{},"method":"a"}'],
    'an id of null': ['id', '{"jsonrpc":"2.0","id":null,"method":"a"}'],
    'too deep, and no JSON either': ['too-deep', '['.repeat(4_000_000)],
    'too deep': [
      'too-deep',
      call({ method: 'a', params: JSON.parse('['.repeat(jsonLimits.depth) + ']'.repeat(jsonLimits.depth)) }),
    ],
  };
  for (const [what, [because, text]] of Object.entries(refused))
    test(`unread: ${what}`, () => assert.equal(faultOf(text), because));

  test('control: as deep as may be, and names that differ in more than case', () => {
    const deep = JSON.parse('['.repeat(jsonLimits.depth - 1) + ']'.repeat(jsonLimits.depth - 1));
    assert.equal(faultOf(call({ method: 'a', params: deep, other: 1 })), undefined);
    assert.equal(
      faultOf(call({ method: 'tools/call', params: { ...search, _meta: { Name: 1, name: 2 } } })),
      undefined,
    );
  });
});

test('what is read as JSON is what JSON.parse reads, whatever the strings in it', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(2), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      assert.deepEqual(readJson(bytes(text)), { ok: true, value: JSON.parse(text) });
    }),
    { numRuns: 2000, seed },
  );
});
