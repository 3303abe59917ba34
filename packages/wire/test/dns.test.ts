import assert from 'node:assert/strict';
import test from 'node:test';
import { parseAddress, type Result } from '@cofferdam/net';
import {
  answersQuery,
  answerToUnreadable,
  type DnsMessage,
  type DnsName,
  type DnsRecord,
  dnsAnswer,
  dnsName,
  dnsQuery,
  encodeDns,
  extendedErrorCode,
  extendedErrorsOf,
  parseDnsMessage,
  parseDnsQuery,
  parseDnsResponse,
  type RecordData,
  recordType,
  responseCode,
  rootName,
  sameName,
  serviceKey,
  withoutEchAndHints,
} from '@cofferdam/wire';
import { bytes, type Part, text, u16, vec8, vec16 } from './hello-bytes.ts';

const name = (written: string): DnsName => dnsName(written) ?? assert.fail(`${written} is no DNS name`);
const value = <T>(result: Result<T>): T => (result.ok ? result.value : assert.fail(JSON.stringify(result.error)));
const code = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code);
const record = (owner: string, type: number, data: RecordData, ttl = 60): DnsRecord => ({
  name: name(owner),
  type,
  class: 1,
  ttl,
  data,
});
const address = (owner: string, written: string): DnsRecord => {
  const parsed = parseAddress(written)!;
  return record(owner, parsed.family === 4 ? recordType.A : recordType.AAAA, { kind: 'address', address: parsed });
};
const alias = (owner: string, target: string): DnsRecord =>
  record(owner, recordType.CNAME, { kind: 'name', name: name(target) });
const query = (owner = 'www.Example.com', type: number = recordType.A) =>
  dnsQuery({ id: 0x1234, name: name(owner), type, edns: {} });
const encode = (message: DnsMessage, limit?: number) => value(encodeDns(message, limit));

/** Header counts in the order of RFC 1035: questions, answers, authorities, additionals. */
const raw = (counts: readonly number[], ...rest: readonly Part[]): Uint8Array =>
  bytes(0x12, 0x34, 0x01, 0x00, ...counts.map(u16), ...rest);
const labels = (...each: readonly string[]): Uint8Array => bytes(...each.map((label) => vec8(text(label))), 0);
const asked = (...owner: readonly Part[]): Uint8Array => raw([1, 0, 0, 0], ...owner, 0, 1, 0, 1);

test('a query as bytes', () => {
  const { bytes: sent } = encode(dnsQuery({ id: 0xbeef, name: name('a.Example'), type: recordType.AAAA }));
  assert.deepEqual(
    sent,
    bytes(0xbe, 0xef, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, text('a'), 7, text('Example'), 0, 0, 28, 0, 1),
  );
  const read = value(parseDnsQuery(sent));
  assert.equal(read.question.name.text, 'a.Example');
  assert.equal(read.question.name.name, 'a.example');
  assert.equal(read.edns, undefined);
});

test('names: text, and which of them are names to policy', () => {
  const rows: [Uint8Array, string, string | undefined][] = [
    [labels('www', 'Example', 'COM'), 'www.Example.COM', 'www.example.com'],
    [labels('_dmarc', 'example', 'com'), '_dmarc.example.com', '_dmarc.example.com'],
    [labels(), '', undefined],
    [labels('a.b', 'example'), 'a\\.b.example', undefined],
    [labels('a\\b', 'example'), 'a\\\\b.example', undefined],
    [labels('a\0b', 'example'), 'a\\000b.example', undefined],
    [labels('a b', 'example'), 'a\\032b.example', undefined],
    [labels('b\u00fccher', 'example'), 'b\\252cher.example', undefined],
    [labels('a*', 'example'), 'a*.example', undefined],
    [labels('1', '2', '3', '4'), '1.2.3.4', undefined],
    [labels('a', '0x1f'), 'a.0x1f', undefined],
    [labels('a'.repeat(63), 'example'), `${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
  ];
  for (const [wire, shown, canonical] of rows) {
    const read = value(parseDnsQuery(asked(wire))).question.name;
    assert.deepEqual([read.text, read.name, read.wire], [shown, canonical, wire]);
    assert.deepEqual(dnsName(shown), read, 'presentation text gives the same name');
    assert.deepEqual(dnsName(`${shown}.`), read);
  }
  for (const bad of ['a..b', '.a', 'a'.repeat(64), 'a\\', '\\256', '\u0100', `${'a.'.repeat(127)}a`, '..']) {
    assert.equal(dnsName(bad), undefined, bad);
  }
  assert.equal(name(`${'a.'.repeat(126)}a`).wire.length, 255);
  assert.ok(sameName(name('WWW.example'), name('www.EXAMPLE')));
  assert.ok(!sameName(name('www.example'), name('wwx.example')));
});

const everyKind: readonly DnsRecord[] = [
  alias('www.example.com', 'edge.example.net'),
  address('edge.example.net', '192.0.2.7'),
  address('edge.example.net', '2001:db8::7'),
  record('example.com', recordType.NS, { kind: 'name', name: name('ns1.example.com') }),
  record('7.2.0.192.in-addr.arpa', recordType.PTR, { kind: 'name', name: name('edge.example.net') }),
  record('old.example.com', recordType.DNAME, { kind: 'name', name: name('example.com') }),
  record('example.com', recordType.SOA, {
    kind: 'soa',
    primary: name('ns1.example.com'),
    mailbox: name('host\\.master.example.com'),
    serial: 0xffff_ffff,
    refresh: 1,
    retry: 2,
    expire: 3,
    minimum: 4,
  }),
  record('example.com', recordType.MX, { kind: 'mx', preference: 10, exchange: name('mail.example.com') }),
  record('_sip._tcp.example.com', recordType.SRV, {
    kind: 'srv',
    priority: 1,
    weight: 2,
    port: 5060,
    target: name('sip.example.com'),
  }),
  record('example.com', recordType.TXT, { kind: 'txt', strings: [text('one'), bytes(), new Uint8Array(255).fill(9)] }),
  record('example.com', 257, { kind: 'opaque', bytes: bytes(0, 5, text('issueca.example')) }),
  { ...record('version.bind', recordType.TXT, { kind: 'opaque', bytes: bytes(1, 2, 3) }), class: 3 },
  record('example.com', recordType.HTTPS, {
    kind: 'service',
    binding: {
      priority: 1,
      target: rootName,
      parameters: [
        { key: serviceKey.alpn, value: bytes(vec8(text('h2')), vec8(text('h3'))) },
        { key: serviceKey.port, value: u16(443) },
        { key: serviceKey.ipv4hint, value: bytes(192, 0, 2, 7) },
        { key: serviceKey.ech, value: bytes(1, 2, 3) },
        { key: serviceKey.ipv6hint, value: new Uint8Array(16) },
        { key: 65_280, value: bytes() },
      ],
    },
  }),
  record('_x.example.com', recordType.SVCB, {
    kind: 'service',
    binding: { priority: 0, target: name('pool.example.com'), parameters: [] },
  }),
];

const full: DnsMessage = dnsAnswer(query(), {
  answers: everyKind,
  authorities: everyKind,
  additionals: everyKind,
  responseCode: responseCode.badVersion,
  authoritative: true,
  extendedErrors: [{ code: extendedErrorCode.filtered, text: 'no permit names it' }],
});

test('every kind of record survives encoding and parsing, in every section', () => {
  const { bytes: sent, truncated } = encode(full);
  assert.equal(truncated, false);
  assert.deepEqual(value(parseDnsResponse(sent)), full);
  assert.deepEqual(extendedErrorsOf(full), [{ code: 17, text: 'no permit names it' }]);
});

test('names are compressed, with their case', () => {
  const message = dnsAnswer(query('WWW.example.com'), { answers: [alias('WWW.example.com', 'edge.example.com')] });
  const { bytes: sent } = encode({ ...message, edns: undefined });
  // header, question, then: pointer, fields, `edge` and a pointer
  assert.equal(sent.length, 12 + 17 + 4 + 2 + 10 + 5 + 2);
  assert.equal(value(parseDnsResponse(sent)).answers[0]!.name.text, 'WWW.example.com');
  const mixed = encode(
    dnsAnswer(query('WWW.example.com'), { answers: [address('www.EXAMPLE.com', '192.0.2.1')] }),
  ).bytes;
  assert.equal(value(parseDnsResponse(mixed)).answers[0]!.name.text, 'www.EXAMPLE.com');
});

test('messages that are not well formed', () => {
  const ok = labels('a', 'example');
  const answer = (...rest: readonly Part[]) => raw([1, 1, 0, 0], ok, 0, 1, 0, 1, ...rest);
  const ofType = (type: number, ...data: readonly Part[]) =>
    answer(0xc0, 12, u16(type), 0, 1, 0, 0, 0, 60, vec16(...data));
  const opt = (owner: Uint8Array, ...data: readonly Part[]) => bytes(owner, 0, 41, 4, 208, 0, 0, 0, 0, vec16(...data));
  const rows: [string, Uint8Array, boolean][] = [
    ['a question', asked(ok), true],
    ['no question and nothing else', raw([0, 0, 0, 0]), true],
    ['two questions', raw([2, 0, 0, 0], ok, 0, 1, 0, 1, ok, 0, 1, 0, 1), false],
    ['a byte left over', bytes(asked(ok), 0), false],
    ['a count above what is there', raw([1, 1, 0, 0], ok, 0, 1, 0, 1), false],
    ['65,535 records', raw([0, 0xffff, 0, 0]), false],
    ['label of 64', asked(64, new Uint8Array(64).fill(97), 0), false],
    ['label type 0x80', asked(0x80, 97, 0), false],
    ['a name of 255 bytes', asked(...Array.from({ length: 127 }, () => bytes(1, 97)), 0), true],
    ['a name of 257 bytes', asked(...Array.from({ length: 128 }, () => bytes(1, 97)), 0), false],
    ['a pointer to itself', asked(0xc0, 12), false],
    ['a pointer forward', asked(0xc0, 14), false],
    ['a pointer into the header', asked(0xc0, 4), false],
    ['a pointer back into its own name', asked(1, 97, 0xc0, 12), false],
    [
      'two pointers at each other',
      raw([0, 2, 0, 0], 0xc0, 24, new Uint8Array(10), 0xc0, 12, new Uint8Array(10)),
      false,
    ],
    ['half a pointer', asked(0xc0), false],
    ['A', ofType(1, 192, 0, 2, 1), true],
    ['A of 3 bytes', ofType(1, 192, 0, 2), false],
    ['A of 5 bytes', ofType(1, 192, 0, 2, 1, 0), false],
    ['AAAA of 4 bytes', ofType(28, 192, 0, 2, 1), false],
    ['CNAME by pointer', ofType(5, 0xc0, 12), true],
    ['CNAME that ends early', ofType(5, 0xc0, 12, 0), false],
    ['CNAME beyond its data', ofType(5, 3, 97), false],
    ['CNAME empty', ofType(5), false],
    ['SOA too short', ofType(6, 0, 0, new Uint8Array(19)), false],
    ['MX', ofType(15, 0, 1, 0xc0, 12), true],
    ['SRV with a compressed target', ofType(33, 0, 1, 0, 1, 0, 1, 0xc0, 12), true],
    ['TXT', ofType(16, 0), true],
    ['TXT without a string', ofType(16), false],
    ['TXT beyond its data', ofType(16, 5, 97), false],
    ['HTTPS', ofType(65, 0, 1, 0, 0, 3, 0, 2, 1, 187), true],
    ['HTTPS with a compressed target', ofType(65, 0, 1, 0xc0, 12), false],
    ['HTTPS with keys that do not ascend', ofType(65, 0, 1, 0, 0, 7, 0, 0, 0, 7, 0, 0), false],
    ['HTTPS with a port of 1 byte', ofType(65, 0, 1, 0, 0, 3, 0, 1, 1), false],
    ['HTTPS with an empty ALPN id', ofType(65, 0, 1, 0, 0, 1, 0, 1, 0), false],
    ['HTTPS with a hint of 5 bytes', ofType(65, 0, 1, 0, 0, 4, 0, 5, 1, 2, 3, 4, 5), false],
    ['HTTPS with a mandatory key that is missing', ofType(65, 0, 1, 0, 0, 0, 0, 2, 0, 3), false],
    ['HTTPS cut in a parameter', ofType(65, 0, 1, 0, 0, 9, 0, 2, 1), false],
    ['OPT', raw([1, 0, 0, 1], ok, 0, 1, 0, 1, opt(bytes(0), 0, 10, 0, 1, 9)), true],
    ['OPT twice', raw([1, 0, 0, 2], ok, 0, 1, 0, 1, opt(bytes(0)), opt(bytes(0))), false],
    ['OPT of a name', raw([1, 0, 0, 1], ok, 0, 1, 0, 1, opt(ok)), false],
    ['OPT among the answers', raw([1, 1, 0, 0], ok, 0, 1, 0, 1, opt(bytes(0))), false],
    ['OPT with half an option', raw([1, 0, 0, 1], ok, 0, 1, 0, 1, opt(bytes(0), 0, 10, 0, 2, 9)), false],
  ];
  for (const [what, message, good] of rows) {
    assert.equal(code(parseDnsMessage(message)), good ? 'ok' : 'dns-malformed', what);
    for (let length = 0; good && length < message.length; length++) {
      assert.equal(
        code(parseDnsMessage(message.subarray(0, length))),
        'dns-malformed',
        `${what}, first ${length} bytes`,
      );
    }
  }
});

test('pointers are followed backwards, and not for long', () => {
  // A chain: each record's name is a pointer to the one before.
  const chain = (links: number): Uint8Array => {
    const starts = Array.from({ length: links }, (_, i) => 12 + labels('a', 'example').length + 4 + i * 12);
    const owners = starts.map((_, i) => u16(0xc000 | (i === 0 ? 12 : starts[i - 1]!)));
    const records = owners.map((owner) => bytes(owner, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    return raw([1, links, 0, 0], labels('a', 'example'), 0, 1, 0, 1, ...records);
  };
  assert.equal(code(parseDnsMessage(chain(32))), 'ok');
  assert.equal(code(parseDnsMessage(chain(33))), 'dns-malformed');
});

test('what may be asked, and what is no query', () => {
  const flags = (first: number, message: Uint8Array) => bytes(message.subarray(0, 2), first, message.subarray(3));
  const good = asked(labels('a'));
  assert.equal(code(parseDnsQuery(good)), 'ok');
  assert.equal(code(parseDnsQuery(raw([0, 0, 0, 0]))), 'dns-malformed');
  assert.equal(code(parseDnsQuery(flags(0x81, good))), 'dns-not-a-query');
  assert.equal(code(parseDnsQuery(flags(0x21, good))), 'dns-opcode');
  assert.equal(code(parseDnsQuery(flags(0x29, bytes(1, 2, 3)))), 'dns-malformed');
  assert.equal(
    code(parseDnsQuery(encode({ ...query(), answers: [address('a', '192.0.2.1')] }).bytes)),
    'dns-malformed',
  );
  assert.equal(code(parseDnsResponse(good)), 'dns-not-a-response');
  assert.deepEqual(
    answerToUnreadable(flags(0x29, good), responseCode.notImplemented)?.subarray(0, 4),
    bytes(0x12, 0x34, 0xa9, 4),
  );
  assert.equal(answerToUnreadable(flags(0x81, good), 1), undefined);
  assert.equal(answerToUnreadable(good.subarray(0, 11), 1), undefined);
});

test('an answer echoes its question and speaks EDNS only if asked in EDNS', () => {
  const plain = value(
    parseDnsQuery(encode(dnsQuery({ id: 7, name: name('wWw.example'), type: 1, recursionDesired: false })).bytes),
  );
  const blocked = { responseCode: responseCode.refused, extendedErrors: [{ code: 15, text: '' }] };
  const answer = value(parseDnsResponse(encode(dnsAnswer(plain, blocked)).bytes));
  assert.deepEqual(
    [answer.id, answer.questions[0]!.name.text, answer.edns, answer.recursionDesired],
    [7, 'wWw.example', undefined, false],
  );
  assert.equal(answer.responseCode, 5);
  const withEdns = value(parseDnsResponse(encode(dnsAnswer(query(), blocked)).bytes));
  assert.deepEqual(extendedErrorsOf(withEdns), [{ code: 15, text: '' }]);
});

test('whether a response is one to this query', () => {
  const sent = query('a.example');
  const answer = dnsAnswer(sent, {});
  assert.ok(answersQuery(sent, answer));
  assert.ok(answersQuery(sent, { ...answer, questions: [{ ...sent.question, name: name('A.EXAMPLE') }] }));
  assert.ok(!answersQuery(sent, { ...answer, id: 1 }));
  assert.ok(!answersQuery(sent, { ...answer, questions: [{ ...sent.question, type: 28 }] }));
  assert.ok(!answersQuery(sent, { ...answer, questions: [{ ...sent.question, name: name('b.example') }] }));
  assert.ok(!answersQuery(sent, { ...answer, questions: [] }));
  assert.ok(answersQuery(sent, { ...answer, questions: [], responseCode: responseCode.formatError }));
  assert.ok(!answersQuery(sent, sent));
});

test('truncation leaves records out whole, and keeps the question and OPT', () => {
  const many = dnsAnswer(query(), {
    answers: Array.from({ length: 60 }, (_, i) => address('www.Example.com', `192.0.2.${i}`)),
    additionals: [address('extra.example', '192.0.2.1')],
  });
  const whole = encode(many);
  for (let limit = 512; limit <= whole.bytes.length; limit++) {
    const { bytes: sent, truncated } = encode(many, limit);
    assert.ok(sent.length <= limit);
    const read = value(parseDnsResponse(sent));
    const lost = many.answers.length - read.answers.length;
    assert.equal(truncated, lost > 0);
    assert.equal(read.truncated, lost > 0);
    assert.deepEqual(read.answers, many.answers.slice(0, many.answers.length - lost));
    assert.deepEqual(read.edns, many.edns);
    if (lost > 0) assert.deepEqual(read.additionals, []);
  }
  const justAdditional = encode(many, whole.bytes.length - 1);
  assert.equal(justAdditional.truncated, false);
  assert.equal(value(parseDnsResponse(justAdditional.bytes)).additionals.length, 0);
  assert.equal(encode(many, 1).bytes.length <= 512, true);
  const wordy = dnsAnswer(query(), { extendedErrors: [{ code: 15, text: 'x'.repeat(600) }] });
  assert.deepEqual(value(parseDnsResponse(encode(wordy, 512).bytes)).edns?.options, []);
});

test('names beyond the reach of a pointer are written whole', () => {
  const filler = Array.from({ length: 70 }, () =>
    record('www.Example.com', recordType.TXT, { kind: 'txt', strings: [new Uint8Array(255)] }),
  );
  const far = Array.from({ length: 5 }, () => address('far.away.example.net', '192.0.2.1'));
  const message = dnsAnswer(query(), { answers: [...filler, ...far] });
  const { bytes: sent } = encode(message);
  assert.ok(sent.length > 0x4000 + 5 * 'far.away.example.net'.length);
  assert.deepEqual(value(parseDnsResponse(sent)), message);
});

test('data that does not belong to its type is not written', () => {
  const one = (wrong: DnsRecord) => code(encodeDns(dnsAnswer(query(), { answers: [wrong] })));
  const v4 = address('a', '192.0.2.1');
  assert.equal(one({ ...v4, type: recordType.AAAA }), 'dns-unwritable');
  assert.equal(one({ ...v4, type: recordType.CNAME }), 'dns-unwritable');
  assert.equal(one({ ...v4, type: 999 }), 'dns-unwritable');
  assert.equal(one(record('a', recordType.TXT, { kind: 'txt', strings: [] })), 'dns-unwritable');
  assert.equal(one(record('a', recordType.TXT, { kind: 'txt', strings: [new Uint8Array(256)] })), 'dns-unwritable');
  assert.equal(one(record('a', recordType.OPT, { kind: 'opaque', bytes: bytes() })), 'dns-unwritable');
  // NAPTR data holds a name that may be a pointer into the message it came in.
  assert.equal(one(record('a', 35, { kind: 'opaque', bytes: bytes(0xc0, 12) })), 'dns-unwritable');
  const chaos = { class: 3, data: { kind: 'opaque', bytes: bytes(0xc0, 12) } } as const;
  assert.equal(one({ ...v4, ...chaos, type: recordType.CNAME }), 'dns-unwritable');
  assert.equal(one({ ...v4, ...chaos, type: recordType.TXT }), 'ok');
  assert.equal(one(record('a', 257, { kind: 'opaque', bytes: bytes(0) })), 'ok');
});

test('a large time to live is read as zero', () => {
  const sent = encode(dnsAnswer(query(), { answers: [{ ...address('a', '192.0.2.1'), ttl: 0xffff_ffff }] })).bytes;
  assert.equal(value(parseDnsResponse(sent)).answers[0]!.ttl, 0);
});

test('service bindings lose ech and address hints', () => {
  const binding = (...keys: readonly [number, Uint8Array][]) => ({
    priority: 1,
    target: rootName,
    parameters: keys.map(([key, each]) => ({ key, value: each })),
  });
  const alpn: [number, Uint8Array] = [serviceKey.alpn, vec8(text('h2'))];
  const ech: [number, Uint8Array] = [serviceKey.ech, bytes(1)];
  const hints: [number, Uint8Array] = [serviceKey.ipv4hint, bytes(1, 2, 3, 4)];
  const hints6: [number, Uint8Array] = [serviceKey.ipv6hint, new Uint8Array(16)];
  assert.deepEqual(withoutEchAndHints(binding(alpn, hints, ech, hints6)), binding(alpn));
  const mandatory = (...keys: readonly number[]): [number, Uint8Array] => [0, bytes(...keys.map(u16))];
  assert.deepEqual(withoutEchAndHints(binding(mandatory(1), alpn, ech)), binding(mandatory(1), alpn));
  assert.equal(withoutEchAndHints(binding(mandatory(1, 5), alpn, ech)), undefined);
});
