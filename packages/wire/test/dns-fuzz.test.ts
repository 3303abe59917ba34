import assert from 'node:assert/strict';
import test from 'node:test';
import { type Address, addressFromBytes } from '@cofferdam/net';
import { decodePackets, readCapture } from '@cofferdam/testkit';
import {
  type DnsMessage,
  type DnsRecord,
  dnsName,
  encodeDns,
  parseDnsMessage,
  parseDnsQuery,
  parseDnsResponse,
  type RecordData,
  recordType,
  rootName,
} from '@cofferdam/wire';
import fc from 'fast-check';
import { property } from './parsing.ts';
import { captureFile, captureFiles, withoutCaptures } from './testdata.ts';

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const blob = (maxLength: number) => fc.uint8Array({ maxLength });
const address = (length: 4 | 16): fc.Arbitrary<Address> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map(addressFromBytes);

// Few labels, so that suffixes are shared; some with bytes that no host name has.
const label = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('www', 'WWW', 'example', 'com', 'Com', 'a', '_tcp') },
  { weight: 1, arbitrary: fc.constantFrom('\\000', '\\.', '\\255\\\\', 'x'.repeat(63)) },
);
const name = fc.array(label, { maxLength: 4 }).map((labels) => dnsName(labels.join('.')) ?? rootName);

const typed: fc.Arbitrary<[number, RecordData]> = fc.oneof(
  address(4).map((each): [number, RecordData] => [recordType.A, { kind: 'address', address: each }]),
  address(16).map((each): [number, RecordData] => [recordType.AAAA, { kind: 'address', address: each }]),
  fc
    .tuple(fc.constantFrom(recordType.NS, recordType.CNAME, recordType.PTR, recordType.DNAME), name)
    .map(([type, each]): [number, RecordData] => [type, { kind: 'name', name: each }]),
  fc
    .tuple(name, name, u32, u32)
    .map(([primary, mailbox, serial, retry]): [number, RecordData] => [
      recordType.SOA,
      { kind: 'soa', primary, mailbox, serial, refresh: 1, retry, expire: 2, minimum: 3 },
    ]),
  fc
    .tuple(u16, name)
    .map(([preference, exchange]): [number, RecordData] => [recordType.MX, { kind: 'mx', preference, exchange }]),
  fc
    .tuple(u16, u16, u16, name)
    .map(([priority, weight, port, target]): [number, RecordData] => [
      recordType.SRV,
      { kind: 'srv', priority, weight, port, target },
    ]),
  fc
    .array(blob(255), { minLength: 1, maxLength: 3 })
    .map((strings): [number, RecordData] => [recordType.TXT, { kind: 'txt', strings }]),
  fc
    .tuple(u16, name, fc.uniqueArray(fc.tuple(fc.integer({ min: 7, max: 40 }), blob(20)), { selector: ([key]) => key }))
    .map(([priority, target, pairs]): [number, RecordData] => {
      const parameters = pairs.toSorted(([a], [b]) => a - b).map(([key, value]) => ({ key, value }));
      return [recordType.HTTPS, { kind: 'service', binding: { priority, target, parameters } }];
    }),
  blob(40).map((bytes): [number, RecordData] => [257, { kind: 'opaque', bytes }]),
);
const record: fc.Arbitrary<DnsRecord> = fc
  .tuple(name, typed, fc.integer({ min: 0, max: 0x7fff_ffff }))
  .map(([owner, [type, data], ttl]) => ({ name: owner, type, class: 1, ttl, data }));
const plain = { noNullPrototype: true };
const section = fc.array(record, { maxLength: 6 });

const edns = fc.record(
  {
    udpSize: u16,
    version: fc.integer({ min: 0, max: 255 }),
    dnssecOk: fc.boolean(),
    options: fc.array(fc.record({ code: u16, data: blob(20) }, plain), { maxLength: 3 }),
  },
  plain,
);

const message: fc.Arbitrary<DnsMessage> = fc
  .record({
    id: u16,
    response: fc.boolean(),
    opcode: fc.integer({ min: 0, max: 15 }),
    authoritative: fc.boolean(),
    truncated: fc.boolean(),
    recursionDesired: fc.boolean(),
    recursionAvailable: fc.boolean(),
    authenticData: fc.boolean(),
    checkingDisabled: fc.boolean(),
    responseCode: fc.integer({ min: 0, max: 4095 }),
    questions: fc.array(fc.record({ name, type: u16, class: u16 }, plain), { maxLength: 1 }),
    answers: section,
    authorities: section,
    additionals: section,
    edns: fc.option(edns, { nil: undefined }),
  })
  .map((each) => ({ ...each, responseCode: each.edns === undefined ? each.responseCode & 15 : each.responseCode }));

const encode = (each: DnsMessage, limit?: number): Uint8Array => {
  const encoded = encodeDns(each, limit);
  return encoded.ok ? encoded.value.bytes : assert.fail(encoded.error.message);
};

test('what is encoded is what is parsed', () => {
  property(message, (each) => {
    const parsed = parseDnsMessage(encode(each));
    assert.ok(parsed.ok);
    assert.deepEqual(parsed.value, each);
  });
});

test('what is encoded under a limit is within it, and a beginning of each section', () => {
  property(fc.tuple(message, fc.integer({ min: 512, max: 1500 })), ([each, limit]) => {
    const sent = encode(each, limit);
    assert.ok(sent.length <= limit);
    const parsed = parseDnsMessage(sent);
    assert.ok(parsed.ok);
    for (const part of ['answers', 'authorities', 'additionals'] as const) {
      assert.deepEqual(parsed.value[part], each[part].slice(0, parsed.value[part].length));
    }
    const whole = parsed.value.answers.length + parsed.value.authorities.length;
    assert.equal(parsed.value.truncated, each.truncated || whole < each.answers.length + each.authorities.length);
    assert.deepEqual(parsed.value.questions, each.questions);
  });
});

/** Parsing anything gives a value; and what parses can be written again, unless it holds data bound to its message. */
const staysSane = (bytes: Uint8Array): void => {
  const parsed = parseDnsMessage(bytes);
  parseDnsQuery(bytes);
  parseDnsResponse(bytes);
  if (!parsed.ok) {
    assert.equal(parsed.error.code, 'dns-malformed');
    return;
  }
  const again = encodeDns(parsed.value);
  if (!again.ok) {
    assert.equal(again.error.code, 'dns-unwritable');
    return;
  }
  const reread = parseDnsMessage(again.value.bytes);
  if (!again.value.truncated) assert.deepEqual(reread, parsed);
};

test('any bytes are parsed or refused', () => {
  property(blob(200), staysSane, 1000);
});

test('a message with bytes changed is parsed or refused', () => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
  property(
    fc.tuple(message, changes),
    ([each, edits]) => {
      const bytes = encode(each);
      for (const [at, value] of edits) bytes[at % bytes.length] = value;
      staysSane(bytes);
      for (let length = 0; length < bytes.length; length += 7) staysSane(bytes.subarray(0, length));
    },
    500,
  );
});

test('real messages: parsed as far as they are well formed, and written again to the same value', {
  skip: withoutCaptures,
}, (context) => {
  const counts = { parsed: 0, malformed: 0 };
  const refused = new Map<string, string>();
  for (const folder of ['zeek/dns', 'zeek/dns_top', 'zeek/dnssec']) {
    for (const path of captureFiles(folder)) {
      const packets = decodePackets(readCapture(captureFile(path)));
      for (const { protocol, sourcePort, destinationPort, payload } of packets) {
        if (protocol !== 17 || (sourcePort !== 53 && destinationPort !== 53)) continue;
        const parsed = parseDnsMessage(payload);
        counts[parsed.ok ? 'parsed' : 'malformed']++;
        if (!parsed.ok) refused.set(path, parsed.error.message);
        staysSane(payload);
        for (let length = 0; length < payload.length; length++) staysSane(payload.subarray(0, length));
        for (let at = 0; at < payload.length; at += 3) {
          const changed = Uint8Array.from(payload);
          changed[at] = changed[at]! ^ 0xff;
          staysSane(changed);
        }
      }
    }
  }
  context.diagnostic(JSON.stringify(counts));
  assert.deepEqual(counts, { parsed: 186, malformed: 14 });
  assert.deepEqual(Object.fromEntries(refused), {
    'zeek/dns/conn-count-too-large.pcap': 'more than one question',
    'zeek/dns/dns-edns-bad-length.pcap': 'a misplaced or malformed OPT record',
    'zeek/dns/dns-invalid-names.pcap': 'the name of the question is malformed',
    'zeek/dns/svcb-alpn-malformed-len-too-long.pcap': 'the data of a record of type 65 is malformed',
    'zeek/dns/svcb-alpn-malformed-len-too-short.pcap': 'the data of a record of type 65 is malformed',
    'zeek/dns/svcb-port-malformed.pcap': 'the data of a record of type 65 is malformed',
    'zeek/dns_top/dns-edns-ecs-bad.pcap': 'a record ends beyond the message',
    'zeek/dns_top/dns-edns-ecs-weirds.pcap': 'a misplaced or malformed OPT record',
    'zeek/dns_top/dns-svcb-rdlength-mismatch.pcap': 'the data of a record of type 64 is malformed',
  });
});
