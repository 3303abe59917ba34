import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { known } from '@cofferdam/verdict';
import fc from 'fast-check';
import {
  type AnyRecord,
  encodeRecord,
  parseRecord,
  recordColumns,
  recordLine,
  recordTable,
  runColumn,
  sanitise,
} from '../src/index.ts';
import { dnsRecord, everyShape, flowRecord, name, suppressedRecord } from './records.ts';
import { slowEncodeRecord } from './slow-encode.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);

describe('JSON lines', () => {
  for (const [i, record] of everyShape.entries()) {
    test(`print then parse is identity: ${record.kind} ${record.reason} (${i})`, () => {
      const line = encodeRecord(record);
      assert.equal(line.includes('\n'), false);
      assert.deepEqual(parseRecord(line), { ok: true, value: record });
    });
  }

  test(`the same bytes as by way of objects, whatever is in them (seed ${seed})`, () => {
    const wild = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('', '"', '\\', '\n', '\u2028', '\ud800', 'é', '__proto__'),
    );
    const label = fc.oneof(wild, fc.constantFrom('2', '10', '01'));
    const over = fc.record(
      {
        id: wild,
        gateway: wild,
        commit: wild,
        interface: wild,
        flow: wild,
        name: wild,
        type: wild,
        rcode: wild,
        start: fc.integer({ min: -8.64e15, max: 8.64e15 }),
        end: fc.oneof(fc.integer({ min: -5000, max: 5000 }), fc.double({ min: -1e6, max: 1e15, noNaN: true })),
        agent: fc.record(
          { name: wild, labels: fc.dictionary(label, wild), pod: wild, inventoryRevision: fc.nat() },
          { requiredKeys: ['labels'] },
        ),
        rule: fc.record(
          { index: fc.nat(), id: wild, name: wild, ruleset: wild, tier: wild },
          { requiredKeys: ['index', 'name', 'ruleset', 'tier'] },
        ),
        addressNames: fc.array(wild.map(name)),
        claimedName: fc.oneof(
          wild.map((text) => known(name(text))),
          fc.constantFrom({ state: 'absent' as const }, { state: 'unreadable' as const }),
        ),
        toAgent: fc.record({
          bytes: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          packets: fc.bigInt({ min: 0n, max: 9n }),
        }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.constantFrom(...everyShape), over, (shape, more) => {
        const record = { ...shape, ...more } as AnyRecord;
        assert.equal(encodeRecord(record), slowEncodeRecord(record));
      }),
      { seed, numRuns: 2000 },
    );
  });

  test('equal records are equal bytes whatever the order of their labels', () => {
    const a = flowRecord({ agent: { labels: { a: '1', b: '2' } } });
    const b = flowRecord({ agent: { labels: { b: '2', a: '1' } } });
    assert.equal(encodeRecord(a), encodeRecord(b));
  });

  test('counters above 2^53 saturate instead of being rounded silently', () => {
    const line = encodeRecord(flowRecord({ toAgent: { bytes: 2n ** 60n, packets: 1n } }));
    assert.equal(JSON.parse(line).toAgent.bytes, Number.MAX_SAFE_INTEGER);
  });

  test('keys of a newer minor version are ignored', () => {
    const line = encodeRecord(flowRecord()).replace('{', '{"future":[1],');
    assert.deepEqual(parseRecord(line), { ok: true, value: flowRecord() });
  });

  for (const [what, change, code] of [
    ['not JSON', () => '{', 'record-syntax'],
    ['a list', () => '[]', 'record-field'],
    ['another version', (l: string) => l.replace('"version":1', '"version":2'), 'record-version'],
    ['another kind', (l: string) => l.replace('"kind":"flow"', '"kind":"flaw"'), 'record-field'],
    ['a reason of another build', (l: string) => l.replace('"reason":"rule"', '"reason":"mood"'), 'record-field'],
    ['an address with leading zeros', (l: string) => l.replace('10.11.1.7', '010.11.1.7'), 'record-field'],
    ['a port too high', (l: string) => l.replace('"port":443', '"port":65536'), 'record-field'],
    ['a name in upper case', (l: string) => l.replaceAll('api.github.com', 'API.github.com'), 'record-field'],
    ['a time without a zone', (l: string) => l.replace('.250Z"', '"'), 'record-field'],
    ['a negative counter', (l: string) => l.replace('"bytes":1200', '"bytes":-1'), 'record-field'],
    ['an inherited key', (l: string) => l.replace('"id":"f-1",', '"__proto__":{"id":"x"},'), 'record-field'],
  ] as const) {
    test(`refused: ${what}`, () => {
      const result = parseRecord(change(encodeRecord(flowRecord())));
      assert.equal(result.ok, false);
      assert.equal(!result.ok && result.error.code, code);
    });
  }

  for (const [what, change] of [
    ['of none', (l: string) => l.replace('"count":12345', '"count":0')],
    ['without their number', (l: string) => l.replace('"count":12345,', '')],
    ['that were permitted', (l: string) => l.replace('"verdict":"deny"', '"verdict":"permit"')],
    ['that passed all the same', (l: string) => l.replace('"enforced":true', '"enforced":false')],
    ['without an end', (l: string) => l.replace(/"end":"[^"]+",/, '')],
  ] as const) {
    test(`refused: suppressed denials ${what}`, () => {
      const changed = change(encodeRecord(suppressedRecord()));
      assert.notEqual(changed, encodeRecord(suppressedRecord()));
      const result = parseRecord(changed);
      assert.equal(!result.ok && result.error.code, 'record-field');
    });
  }

  test(`no truncation and no change of one character throws (seed ${seed})`, () => {
    const line = encodeRecord(everyShape[2]!);
    for (let i = 0; i < line.length; i++) assert.equal(parseRecord(line.slice(0, i)).ok, false);
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (i, c) => {
        parseRecord(line.slice(0, i) + c + line.slice(i + 1));
      }),
      { seed },
    );
  });
});

describe('text for people', () => {
  test('what an agent sent cannot reach the terminal as control characters', () => {
    const record = dnsRecord({ name: 'a\u001b[2J\r\nfake\u202eline', type: 'A' });
    for (const shown of [recordLine(record), recordTable([record]).split('\n')[1]!]) {
      assert.equal(/[\p{Cc}\p{Cf}]/u.test(shown), false, shown);
      assert.match(shown, /\\x1b/);
    }
  });

  test('escapes are told apart from text that looks like them', () => {
    assert.notEqual(sanitise('\u001b'), sanitise('\\x1b'));
  });

  test('a flow on one line', () => {
    assert.equal(
      recordLine(flowRecord({ end: flowRecord().start + 1 })),
      '12:00:00.250  permit      coder → tcp api.github.com:443 (93.184.216.34:443)  rule [coding-agent/allow-github] 1200B out 54000B in',
    );
  });

  test('suppressed denials on one line', () => {
    assert.equal(
      recordLine(suppressedRecord()),
      '12:00:00.250  deny        coder → 12345 more, too fast to be written one by one  no-rule',
    );
    const unknown = suppressedRecord({ agent: { labels: {} }, reason: 'unknown-agent' });
    assert.match(recordLine(unknown), / {2}deny {8}unknown → 12345 more, .* {2}unknown-agent$/);
    assert.match(
      recordTable([suppressedRecord()]),
      /\n2027-01-31 12:00:00 {2}deny {5}coder {2}suppressed {2}12345 more {3}too fast to be written one by one {2}no-rule$/,
    );
  });

  test('what monitoring let pass is shown as what would be denied', () => {
    assert.match(recordLine(flowRecord({ enforced: false, reason: 'monitored' })), / would-deny /);
  });

  const remarks: readonly (readonly [what: string, record: Parameters<typeof recordLine>[0], remark: string])[] = [
    [
      'another name asked for',
      flowRecord({ claimedName: known(name('gist.github.com')) }),
      'asked for gist.github.com',
    ],
    ['no answer', flowRecord({ end: flowRecord().start + 1, toAgent: { bytes: 0n, packets: 0n } }), 'no answer'],
    ['no such name', dnsRecord({ rcode: 'NXDOMAIN' }), 'NXDOMAIN'],
    ['a resolver that failed', dnsRecord({ rcode: 'SERVFAIL', verdict: 'deny', reason: 'dns-upstream' }), 'SERVFAIL'],
  ];
  for (const [what, record, remark] of remarks) {
    test(`lines and tables say: ${what}`, () => {
      assert.ok(recordLine(record).includes(`, ${remark}  `), recordLine(record));
      assert.ok(recordTable([record]).includes(`  ${remark}  `), recordTable([record]));
    });
  }

  test('nothing is remarked of what is as usual', () => {
    const usual = everyShape.filter(({ kind }) => kind !== 'suppressed');
    assert.equal(recordTable(usual).includes('REMARK'), false);
  });

  test('no rule is named for answers to queries, and the default for refusals', () => {
    assert.match(recordLine(dnsRecord()), /dns-answered$/);
    assert.equal(recordTable([dnsRecord()]).includes('default'), false);
    const refused = dnsRecord({ verdict: 'deny', reason: 'dns-not-permitted', rcode: 'REFUSED' });
    assert.match(recordLine(refused), /dns-not-permitted \[default\]$/);
  });

  test('times are said to be UTC, and a column for runs can be added', () => {
    assert.match(recordTable([flowRecord()]), /^TIME \(UTC\) +VERDICT/);
    assert.match(recordTable([flowRecord()], [runColumn, ...recordColumns]), /^RUN +TIME.*\ngw +2027/);
  });

  test('a request says how it was answered, unless that was the denial', () => {
    const [request] = everyShape.filter((one) => one.kind === 'request');
    assert.ok(request?.kind === 'request');
    assert.match(recordLine(request), / GET \/repos\/a%20b tools\/call search_code → 202,? /);
    assert.equal(recordLine({ ...request, verdict: 'deny' }).includes('→ 202'), false);
  });

  test('a table leaves out columns that are empty everywhere', () => {
    assert.equal(recordTable([flowRecord()]).includes('REQUEST'), false);
    assert.equal(recordTable(everyShape).includes('REQUEST'), true);
  });
});
