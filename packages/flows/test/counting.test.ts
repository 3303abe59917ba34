import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type AnyRecord,
  createRuleTally,
  decidedIn,
  encodeRulesReport,
  type Grouping,
  groupFlows,
  noUse,
  parseRulesReport,
  type RulesReport,
  ruleKey,
  settling,
} from '../src/index.ts';
import { denied, dnsRecord, flowRecord, name, rule, suppressedRecord } from './records.ts';

const settled = (records: readonly AnyRecord[], live?: number): readonly AnyRecord[] => {
  const given: AnyRecord[] = [];
  const flows = settling((record) => given.push(record), live);
  for (const record of records) flows.add(record);
  flows.finish();
  return given;
};

describe('a log, each flow once', () => {
  const start = flowRecord({ id: 'a' });
  const end = flowRecord({ id: 'a', end: start.start + 5 });

  test('as it ended', () => assert.deepEqual(settled([start, end]), [end]));
  test('as it began, where it never ended, at the end', () => {
    const other = flowRecord({ id: 'b', end: start.start });
    assert.deepEqual(settled([start, other]), [other, start]);
  });
  test('of each gateway its own', () => {
    const elsewhere = flowRecord({ id: 'a', gateway: 'other' });
    assert.deepEqual(settled([start, elsewhere, end]), [end, elsewhere]);
  });

  const request = (over = {}) => flowRecord({ kind: 'request', id: 'r', flow: 'a', end: start.start + 1, ...over });
  test('without a connection whose requests say the same', () => {
    assert.deepEqual(settled([start, request(), end]), [request()]);
  });
  test('with one that says more', () => {
    const cut = denied({ id: 'a', end: start.start + 5 });
    assert.deepEqual(settled([start, request(), cut]), [request(), cut]);
  });

  test('more than it remembers: the oldest are over, and nothing is lost', () => {
    const many = Array.from({ length: 10 }, (_, i) => flowRecord({ id: `f${i}` }));
    assert.deepEqual(settled(many, 3), many);
    // Exact as long as no more are live at a time.
    const ends = many.map((one) => ({ ...one, end: one.start }));
    assert.deepEqual(
      settled(
        many.flatMap((one, i) => [one, ends[i]!]),
        3,
      ),
      ends,
    );
  });
});

describe('who decided', () => {
  const monitored = { index: 1, name: 'new', ruleset: 'coding-agent', tier: 'agent' };
  const tally = (...records: readonly AnyRecord[]) => {
    const made = createRuleTally();
    for (const record of records) {
      const decided = decidedIn(record);
      if (decided !== undefined) made.count(decided);
    }
    return made;
  };
  const counts = (over: object) => ({ ...noUse, ...over });
  const at = flowRecord().start;

  test('a rule, by its id', () => {
    assert.equal(ruleKey(rule), ruleKey({ ...rule, name: 'renamed', ruleset: 'elsewhere' }));
    assert.notEqual(ruleKey(monitored), ruleKey({ ...monitored, ruleset: 'elsewhere' }));
    assert.deepEqual(
      tally(flowRecord(), flowRecord({ end: at + 9 })).of(ruleKey(rule)),
      counts({ permitted: 2, last: at + 9 }),
    );
  });

  test('the default', () => {
    assert.deepEqual(tally(denied()).of('default'), counts({ denied: 1, last: at }));
  });

  test('what would be, where it is something else', () => {
    const wouldBe = { verdict: 'deny', rule: monitored, reason: 'rule-denies' } as const;
    const made = tally(flowRecord({ wouldBe }));
    assert.deepEqual(made.of(ruleKey(rule)), counts({ permitted: 1, last: at }));
    assert.deepEqual(made.of(ruleKey(monitored)), counts({ wouldDeny: 1, last: at }));
    const same = tally(flowRecord({ wouldBe: { verdict: 'permit', rule, reason: 'rule' } }));
    assert.deepEqual([...same.keys()], [ruleKey(rule)]);
    assert.deepEqual([...tally(flowRecord({ wouldBe: 'unknown' })).keys()], [ruleKey(rule)]);
  });

  test('the default would, where monitoring lifts it', () => {
    const { rule: _none, ...lifted } = flowRecord({
      enforced: false,
      reason: 'monitored',
      wouldBe: { verdict: 'deny', reason: 'no-rule' },
    });
    assert.deepEqual(tally(lifted).of('default'), counts({ permitted: 1, wouldDeny: 1, last: at }));
  });

  test('of questions, the default those that no permit names, and nobody the others', () => {
    const refused = dnsRecord({ verdict: 'deny', reason: 'dns-not-permitted' });
    const passed = dnsRecord({ reason: 'dns-not-permitted', enforced: false });
    assert.deepEqual(tally(refused, passed).of('default'), counts({ denied: 1, permitted: 1, wouldDeny: 1, last: at }));
    assert.deepEqual([...tally(dnsRecord(), dnsRecord({ verdict: 'deny', reason: 'dns-rate' })).keys()], []);
  });

  test('nobody, of what was only counted', () => assert.equal(decidedIn(suppressedRecord()), undefined));
});

describe('summaries', () => {
  const grouped = (by: Grouping, records: readonly AnyRecord[], top = 10, remembered?: number) => {
    const groups = groupFlows(by, remembered);
    for (const record of records) groups.add(record);
    return groups.finish(top);
  };
  const of = (host: string, over = {}) =>
    flowRecord({ addressNames: [name(host)], claimedName: { state: 'unknown' }, ...over });
  const start = flowRecord().start;

  test('by destination: how often, how much, from when to when', () => {
    const { rows, rest, incomplete } = grouped('destination', [
      of('a.example'),
      of('b.example', { end: start + 20 }),
      of('b.example', { start: start - 5, end: start }),
      dnsRecord(),
    ]);
    assert.deepEqual(
      rows.map(({ key, count, bytes, first, last }) => [key, count, bytes, first, last]),
      [
        ['b.example:443', 2, 110_400n, start - 5, start + 20],
        ['a.example:443', 1, 55_200n, start, start],
      ],
    );
    assert.deepEqual([rest, incomplete], [undefined, false]);
  });

  test('by rule, by agent, with what was denied and what would be', () => {
    const { rule: _none, ...lifted } = of('a.example', { enforced: false, reason: 'monitored' });
    const records = [of('a.example'), denied(), lifted, suppressedRecord({ count: 40 })];
    const brief = (by: Grouping) =>
      grouped(by, records).rows.map(({ key, count, denied: no, wouldDeny }) => [key, count, no, wouldDeny]);
    assert.deepEqual(brief('agent'), [['coder', 43, 41, 1]]);
    assert.deepEqual(brief('rule'), [
      ['', 40, 40, 0],
      ['default', 2, 1, 1],
      ['coding-agent/allow-github', 1, 0, 0],
    ]);
    assert.deepEqual(brief('destination')[0], ['', 40, 40, 0]);
  });

  test('what is beyond the top is one row', () => {
    const records = ['a', 'a', 'a', 'b', 'b', 'c', 'd'].map((label) => of(`${label}.example`));
    const { rows, rest, incomplete } = grouped('destination', records, 2);
    assert.deepEqual(
      rows.map(({ key, count }) => [key, count]),
      [
        ['a.example:443', 3],
        ['b.example:443', 2],
      ],
    );
    assert.deepEqual([rest?.count, rest?.keys, rest?.bytes, incomplete], [2, 2, 110_400n, false]);
  });

  test('more keys than are remembered: what is frequent stays, and nothing is missing from the whole', () => {
    const seldom = Array.from({ length: 500 }, (_, i) => of(`seldom-${i}.example`));
    const often = seldom.flatMap((one) => [of('often.example'), one]);
    const { rows, rest, incomplete } = grouped('destination', often, 3, 20);
    assert.deepEqual([rows[0]!.key, rows[0]!.count], ['often.example:443', 500]);
    assert.equal(rows.reduce((sum, { count }) => sum + count, 0) + rest!.count, 1000);
    assert.equal(rows.reduce((sum, { bytes }) => sum + bytes, 0n) + rest!.bytes, 55_200_000n);
    assert.equal(incomplete, true);
  });
});

describe('a report of rules', () => {
  const report: RulesReport = {
    gateway: 'g',
    revision: 3,
    since: 1_800_000_000_000,
    at: 1_800_000_060_000,
    rules: [
      {
        rule: { id: 'r-1', name: 'code', ruleset: 'desk', tier: 'agent' },
        action: 'permit',
        mode: 'monitor',
        use: { permitted: 1, denied: 2, wouldPermit: 3, wouldDeny: 4, last: 1_800_000_000_500 },
      },
      { rule: { name: 'b', ruleset: 'desk', tier: 'agent' }, action: 'deny', mode: 'disabled', use: noUse },
    ],
    default: noUse,
  };

  test('reads what it wrote', () => {
    assert.deepEqual(parseRulesReport(encodeRulesReport(report)), { ok: true, value: report });
  });

  const data = JSON.parse(encodeRulesReport(report));
  for (const [what, text] of [
    ['no JSON', '{'],
    ['null', 'null'],
    ['no object', '[]'],
    ['no rules', JSON.stringify({ ...data, rules: undefined })],
    ['a rule that is none', JSON.stringify({ ...data, rules: [1] })],
    ['a mode there is not', JSON.stringify({ ...data, rules: [{ ...data.rules[0], mode: 'maybe' }] })],
    ['a count below 0', JSON.stringify({ ...data, default: { ...data.default, denied: -1 } })],
    ['a time that is none', JSON.stringify({ ...data, since: 'yesterday' })],
  ] as const)
    test(`refuses ${what}`, () => assert.equal(parseRulesReport(text).ok, false));
});
