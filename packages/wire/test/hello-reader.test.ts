import assert from 'node:assert/strict';
import test from 'node:test';
import { type ClientHelloOptions, clientHelloStream, cutStream, type HelloRecordOptions } from '@cofferdam/testkit';
import {
  createHelloReader,
  type HelloState,
  looksLikeHttp,
  maximumHelloBytes,
  recognisedMethods,
} from '@cofferdam/wire';
import fc from 'fast-check';
import {
  bytes,
  extension,
  helloBody,
  hostEntry,
  message,
  record,
  sni,
  stream,
  text,
  u16,
  vec8,
  vec16,
} from './hello-bytes.ts';
import { everyCutInTwo, property } from './parsing.ts';

const read = (...pieces: readonly Uint8Array[]): HelloState => {
  const reader = createHelloReader();
  let state: HelloState = { state: 'need-more' };
  for (const piece of pieces) state = reader.push(piece);
  return state;
};
const byteByByte = (whole: Uint8Array): Uint8Array[] => cutStream(whole, [1]);
const outcome = (state: HelloState): string =>
  state.state === 'unreadable' ? state.because : state.state === 'hello' ? nameOf(state) : state.state;
const nameOf = (state: HelloState): string => {
  assert.equal(state.state, 'hello');
  const { name } = state.hello;
  return name.kind === 'name' ? name.name : name.kind;
};

test('what a hello says', () => {
  const whole = clientHelloStream({
    sni: 'API.Example.com',
    alpn: ['h2', 'http/1.1'],
    grease: true,
    ech: true,
    earlyData: true,
  });
  const state = read(whole);
  assert.equal(state.state, 'hello');
  const { hello } = state;
  assert.deepEqual(hello.name, { kind: 'name', name: 'api.example.com' });
  assert.deepEqual(hello.alpn, ['h2', 'http/1.1']);
  assert.deepEqual(hello.supportedVersions, [0x8a8a, 0x0304, 0x0303]);
  assert.deepEqual(hello.supportedGroups, [0x6a6a, 0x1d, 0x17]);
  assert.deepEqual(hello.cipherSuites, [0x4a4a, 0x1301, 0x1302, 0xc02b, 0xc02f]);
  assert.deepEqual([hello.encryptedHello, hello.earlyData, hello.version], [true, true, 0x0303]);
  assert.equal(hello.rawLength, whole.length);
  assert.equal(hello.handshakeLength, whole.length - 9);
  assert.equal(hello.sessionId.length, 32);
  assert.deepEqual(hello.malformedExtensions, []);
});

test('hellos that differ from the usual and are read', () => {
  const rows: [string, ClientHelloOptions & HelloRecordOptions, string][] = [
    ['no name', {}, 'absent'],
    ['no extensions block', { withExtensions: false }, 'absent'],
    ['an empty extensions block is allowed', {}, 'absent'],
    ['SSL 3.0', { legacyVersion: 0x0300, recordVersion: 0x0300, withExtensions: false }, 'absent'],
    ['record version 3.4', { sni: 'a.example', recordVersion: 0x0304 }, 'a.example'],
    ['one byte a record', { sni: 'a.example', recordSizes: [1] }, 'a.example'],
    ['a handshake header over two records', { sni: 'a.example', recordSizes: [2, 1, 3] }, 'a.example'],
    ['post-quantum key share', { sni: 'a.example', keyShareSize: 1216 }, 'a.example'],
    ['the largest', { sni: 'a.example', keyShareSize: 19_900 }, 'a.example'],
    ['underscore', { sni: '_sip.a.example' }, '_sip.a.example'],
    ['A-label', { sni: 'xn--bcher-kva.example' }, 'xn--bcher-kva.example'],
    ['single label', { sni: 'localhost' }, 'localhost'],
    ['trailing dot', { sni: 'a.example.' }, 'unreadable'],
    ['IPv4', { sni: '192.0.2.1' }, 'unreadable'],
    ['IPv4 as one number', { sni: '3221225985' }, 'unreadable'],
    ['hexadecimal last label', { sni: 'a.0x1' }, 'unreadable'],
    ['IPv6', { sni: '2001:db8::1' }, 'unreadable'],
    ['NUL', { sni: 'a.example\0.b.example' }, 'unreadable'],
    ['port', { sni: 'a.example:443' }, 'unreadable'],
    ['U-label bytes', { sni: 'b\u00fccher.example' }, 'unreadable'],
    ['empty label', { sni: 'a..example' }, 'unreadable'],
    ['64 byte label', { sni: `${'a'.repeat(64)}.example` }, 'unreadable'],
    ['254 bytes', { sni: `${'a.'.repeat(126)}aa` }, 'unreadable'],
    ['253 bytes', { sni: `${'a.'.repeat(126)}a` }, `${'a.'.repeat(126)}a`],
  ];
  for (const [what, options, expected] of rows) {
    const whole = clientHelloStream(options);
    assert.equal(nameOf(read(whole)), expected, what);
    assert.equal(nameOf(read(...byteByByte(whole))), expected, `${what}, byte by byte`);
  }
});

const two = (list: Uint8Array) => stream({ extensions: vec16(extension(0, list)) });

test('streams that are no TLS, or no hello to trust', () => {
  const hello = message(helloBody());
  const rows: [string, Uint8Array, string][] = [
    ['HTTP', text('GET / HTTP/1.1\r\n'), 'not-tls'],
    ['ssh', text('SSH-2.0-x\r\n'), 'not-tls'],
    ['SSLv2 hello', bytes(0x80, 0x2e, 1, 0, 2), 'not-tls'],
    ['an alert first', record(bytes(1, 0), 21), 'not-tls'],
    ['major 2', bytes(22, 2, 0), 'not-tls'],
    ['DTLS', bytes(22, 0xfe, 0xfd), 'not-tls'],
    ['one byte of TLS', bytes(22), 'need-more'],
    ['record version 3.5', bytes(22, 3, 5), 'record-version'],
    ['a second record of version 2', bytes(record(hello.subarray(0, 9)), 22, 2), 'record-version'],
    ['empty record', bytes(22, 3, 1, 0, 0), 'record-length'],
    ['empty record in the middle', bytes(record(hello.subarray(0, 9)), 22, 3, 1, 0, 0), 'record-length'],
    ['record of 2^14 + 1', bytes(22, 3, 1, 0x40, 1), 'record-length'],
    ['record of 2^14', bytes(22, 3, 1, 0x40, 0), 'need-more'],
    ['record of 0x4100', bytes(22, 3, 1, 0x41), 'record-length'],
    ['an alert inside', bytes(record(hello.subarray(0, 9)), record(bytes(1, 0), 21)), 'record-type'],
    ['change_cipher_spec inside', bytes(record(hello.subarray(0, 9)), record(bytes(1), 20)), 'record-type'],
    ['ServerHello', record(message(helloBody(), 2)), 'handshake-type'],
    ['HelloRequest', record(bytes(0, 0, 0, 0)), 'handshake-type'],
    ['empty hello', record(bytes(1, 0, 0, 0)), 'length-mismatch'],
    ['a second message in the record', record(bytes(hello, message(helloBody(), 11))), 'record-holds-more'],
    ['one byte more in the record', record(bytes(hello, 0)), 'record-holds-more'],
    [
      'one byte more in the last record',
      bytes(record(hello.subarray(0, 9)), record(bytes(hello.subarray(9), 0))),
      'record-holds-more',
    ],
    ['announced above the bound', record(bytes(1, 0, 0x50, 0)), 'too-long'],
    ['announced 16 MB', record(bytes(1, 0xff, 0xff, 0xff)), 'too-long'],
    ['version 2.0', stream({ version: 0x0200 }), 'client-version'],
    ['version 3.5', stream({ version: 0x0305 }), 'client-version'],
    ['session id of 33', stream({ sessionId: vec8(new Uint8Array(33)) }), 'session-id'],
    ['no cipher suite', stream({ suites: vec16() }), 'cipher-suites'],
    ['half a cipher suite', stream({ suites: vec16(0x13, 1, 0x13) }), 'cipher-suites'],
    ['no compression method', stream({ compression: vec8() }), 'compression-methods'],
    ['trailing byte', stream({ trailing: bytes(0) }), 'length-mismatch'],
    ['extensions too short', stream({ extensions: bytes(u16(3), sni('host.example')) }), 'length-mismatch'],
    ['extensions too long', stream({ extensions: bytes(u16(99), sni('host.example')) }), 'length-mismatch'],
    ['one byte where extensions begin', stream({ extensions: bytes(0) }), 'length-mismatch'],
    ['half an extension header', stream({ extensions: vec16(sni('host.example'), 0, 5, 0) }), 'length-mismatch'],
    [
      'a last extension that is too long',
      stream({ extensions: vec16(sni('host.example'), 0, 5, 0, 1) }),
      'length-mismatch',
    ],
    ['two names in the list', stream({ extensions: vec16(sni('a.example', 'b.example')) }), 'server-name-list'],
    ['the same name twice', stream({ extensions: vec16(sni('a.example', 'a.example')) }), 'server-name-list'],
    [
      'two server_name extensions',
      stream({ extensions: vec16(sni('a.example'), sni('a.example')) }),
      'duplicate-extension',
    ],
    [
      'twice another extension',
      stream({ extensions: vec16(extension(5), sni('a.example'), extension(5)) }),
      'duplicate-extension',
    ],
    [
      'twice one GREASE value',
      stream({ extensions: vec16(extension(0x0a0a), extension(0x0a0a)) }),
      'duplicate-extension',
    ],
    ['no list', two(bytes()), 'server-name-list'],
    ['an empty list', two(vec16()), 'server-name-list'],
    ['an empty name', two(vec16(hostEntry(''))), 'server-name-list'],
    ['another name type', two(vec16(hostEntry('a.example', 1))), 'server-name-list'],
    ['another name type after', two(vec16(hostEntry('a.example'), hostEntry('b', 1))), 'server-name-list'],
    ['a byte after the list', two(bytes(vec16(hostEntry('a.example')), 0)), 'server-name-list'],
    ['a byte after the name', two(vec16(hostEntry('a.example'), 0)), 'server-name-list'],
    ['a list that is too long', two(bytes(u16(40), hostEntry('a.example'))), 'server-name-list'],
    ['a name that is too long', two(vec16(bytes(0, u16(40)), text('a.example'))), 'server-name-list'],
  ];
  for (const [what, whole, expected] of rows) {
    assert.equal(outcome(read(whole)), expected, what);
    assert.equal(outcome(read(...byteByByte(whole))), expected, `${what}, byte by byte`);
    assert.equal(
      outcome(read(...byteByByte(whole), bytes(1, 2, 3))),
      expected === 'need-more' ? outcome(read(bytes(whole, 1, 2, 3))) : expected,
    );
  }
});

test('an extensions block may be empty, and GREASE may stand anywhere', () => {
  assert.equal(outcome(read(stream({ extensions: vec16() }))), 'absent');
  for (let nibble = 0; nibble < 16; nibble++) {
    const value = nibble * 0x1010 + 0x0a0a;
    const raw = {
      suites: vec16(u16(value), 0x13, 1),
      extensions: vec16(extension(value), sni('a.example'), extension(value ^ 0x1010, 0)),
    };
    assert.equal(outcome(read(stream(raw))), 'a.example');
  }
});

test('malformed lists that no name rests on are told and not trusted', () => {
  const rows: [number, Uint8Array][] = [
    [16, bytes()],
    [16, vec16()],
    [16, vec16(vec8())],
    [16, bytes(vec16(vec8(text('h2'))), 0)],
    [16, vec16(vec8(text('h2')), 9)],
    [43, bytes()],
    [43, vec8()],
    [43, vec8(3)],
    [43, bytes(vec8(3, 4), 0)],
    [10, vec16()],
    [10, vec16(0)],
  ];
  for (const [type, data] of rows) {
    const state = read(stream({ extensions: vec16(sni('a.example'), extension(type, data)) }));
    assert.equal(state.state, 'hello');
    assert.deepEqual(state.hello.malformedExtensions, [type]);
    assert.deepEqual([state.hello.alpn, state.hello.supportedVersions, state.hello.supportedGroups], [[], [], []]);
  }
});

test('the bound counts record headers', () => {
  // In records of one byte, each byte of the message takes six of the stream.
  const fits = Math.floor(maximumHelloBytes / 6);
  const sized = (length: number) => {
    const bare = message(helloBody({ extensions: vec16(extension(21)) })).length;
    return message(helloBody({ extensions: vec16(extension(21, new Uint8Array(length - bare))) }));
  };
  const inBytes = (whole: Uint8Array) => bytes(...cutStream(whole, [1]).map((each) => record(each)));
  assert.equal(outcome(read(inBytes(sized(fits)))), 'absent');
  assert.equal(outcome(read(inBytes(sized(fits + 1)))), 'too-long');
  assert.equal(outcome(read(...byteByByte(inBytes(sized(fits + 1))))), 'too-long');
  const inTwo = (length: number) => {
    const whole = sized(length);
    return bytes(record(whole.subarray(0, 16_384)), record(whole.subarray(16_384)));
  };
  assert.equal(outcome(read(inTwo(maximumHelloBytes - 10))), 'absent');
  assert.equal(outcome(read(inTwo(maximumHelloBytes - 9))), 'too-long');
  assert.equal(outcome(read(...byteByByte(inTwo(maximumHelloBytes - 9)))), 'too-long');
});

test('a second hello may follow one change_cipher_spec record', () => {
  const again = (whole: Uint8Array, cut: readonly number[]): HelloState => {
    const reader = createHelloReader({ second: true });
    return cutStream(whole, cut)
      .map((piece) => reader.push(piece))
      .at(-1)!;
  };
  const hello = clientHelloStream({ sni: 'a.example' });
  const change = record(bytes(1), 20, 0x0303);
  const rows: [string, Uint8Array, string][] = [
    ['without', hello, 'a.example'],
    ['with', bytes(change, hello), 'a.example'],
    ['only that', change, 'need-more'],
    ['two of them', bytes(change, change, hello), 'not-tls'],
    ['of two bytes', bytes(record(bytes(1, 1), 20), hello), 'record-type'],
    ['of another value', bytes(record(bytes(2), 20), hello), 'record-type'],
    ['of another version', bytes(record(bytes(1), 20, 0x0209), hello), 'record-type'],
    ['no TLS', text('GET / HTTP/1.1'), 'not-tls'],
  ];
  for (const [what, whole, expected] of rows) {
    for (const cut of [[whole.length], [1], [5, 2]]) assert.equal(outcome(again(whole, cut)), expected, what);
  }
  const state = again(bytes(change, hello), [4]);
  assert.equal(state.state === 'hello' && state.hello.rawLength, change.length + hello.length);
});

test('bytes after the hello are not its own', () => {
  const whole = clientHelloStream({ sni: 'a.example', earlyData: true, recordSizes: [100] });
  const state = read(bytes(whole, record(text('early'), 23)));
  assert.equal(state.state, 'hello');
  assert.equal(state.hello.rawLength, whole.length);
});

test('every truncation waits, every cut in two or three gives the same hello', () => {
  const whole = clientHelloStream({ sni: 'cut.example', alpn: ['h2'], grease: true, recordSizes: [7, 60] });
  for (let length = 0; length < whole.length; length++) {
    assert.equal(read(whole.subarray(0, length)).state, 'need-more', `first ${length} bytes`);
  }
  const expected = read(whole);
  for (const pieces of everyCutInTwo(whole)) assert.deepEqual(read(...pieces), expected);
  for (let first = 1; first < 40; first++) {
    for (let second = first; second < whole.length; second += 13) {
      const pieces = [whole.subarray(0, first), whole.subarray(first, second), whole.subarray(second)];
      assert.deepEqual(read(...pieces), expected);
    }
  }
});

test('every byte of a hello that is changed gives one answer, however cut', () => {
  const whole = clientHelloStream({ sni: 'a.example', alpn: ['h2'], recordSizes: [50] });
  for (let at = 0; at < whole.length; at++) {
    for (const value of [0, 1, 0x7f, 0xff, whole[at]! ^ 1]) {
      const changed = Uint8Array.from(whole);
      changed[at] = value;
      assert.deepEqual(read(...byteByByte(changed)), read(changed), `byte ${at} is ${value}`);
    }
  }
});

test('every truncation of the message, well framed, is unreadable or shorter by whole parts', () => {
  const body = helloBody({ extensions: vec16(sni('a.example'), extension(16, vec16(vec8(text('h2'))))) });
  const withoutExtensions = helloBody({ extensions: bytes() }).length;
  for (let length = 0; length < body.length; length++) {
    const state = read(record(message(body.subarray(0, length))));
    if (length === withoutExtensions) assert.equal(nameOf(state), 'absent');
    else assert.equal(state.state, 'unreadable', `first ${length} bytes`);
  }
});

test('any bytes, cut anyhow, give one answer', () => {
  const tlsLike = fc.uint8Array({ maxLength: 300 }).map((tail) => bytes(22, 3, 1, tail));
  const framed = fc
    .uint8Array({ maxLength: 300 })
    .map((tail) => record(message(bytes(helloBody().subarray(0, 34), tail))));
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });
  property(fc.tuple(fc.oneof(fc.uint8Array(), tlsLike, framed), sizes), ([whole, cuts]) => {
    assert.deepEqual(read(...cutStream(whole, cuts)), read(whole));
  });
});

test('any options, cut into any records, give their name back', () => {
  const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
  const options = fc.record({
    sni: fc.tuple(label, label).map((labels) => labels.join('.')),
    grease: fc.boolean(),
    ech: fc.boolean(),
    earlyData: fc.boolean(),
    keyShareSize: fc.integer({ min: 1, max: 2000 }),
    recordSizes: fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 }),
  });
  property(options, (given) => {
    const whole = clientHelloStream(given);
    const state = read(whole);
    if (whole.length > maximumHelloBytes) return assert.equal(outcome(state), 'too-long');
    assert.equal(nameOf(state), given.sni);
    assert.equal(state.state === 'hello' && state.hello.encryptedHello, given.ech);
  });
});

test('a plain HTTP request is recognised by its method and a space', () => {
  for (const method of recognisedMethods) {
    const line = text(`${method} / HTTP/1.1\r\n`);
    for (let length = 0; length < line.length; length++) {
      assert.equal(looksLikeHttp(line.subarray(0, length)), length > method.length ? 'yes' : 'need-more');
    }
  }
  const rows: [string, 'yes' | 'no' | 'need-more'][] = [
    ['get / HTTP/1.1', 'no'],
    ['GETS / HTTP/1.1', 'no'],
    ['GET\t/', 'no'],
    ['\r\nGET /', 'no'],
    [' GET /', 'no'],
    ['EHLO x', 'no'],
    ['P', 'need-more'],
    ['PRO', 'need-more'],
    ['PROP ', 'no'],
    ['PRI * HTTP/2.0\r\n', 'yes'],
    ['\x16\x03\x01', 'no'],
  ];
  for (const [start, expected] of rows) assert.equal(looksLikeHttp(text(start)), expected, start);
});
