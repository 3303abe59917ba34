import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextChanges, type Schedule, scheduleActive, type Weekday } from '@cofferdam/policy';
import * as fc from 'fast-check';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const everyDay: readonly Weekday[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

const clock = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

/** `07:00-19:00`, on days, in a zone. */
const hours = (text: string, days: readonly Weekday[] = everyDay, timezone = 'UTC'): Schedule => {
  const [from = '', until = ''] = text.split('-');
  return { timezone, days, fromMinute: clock(from), untilMinute: clock(until) };
};

const weekdays: readonly Weekday[] = ['mon', 'tue', 'wed', 'thu', 'fri'];

interface Row {
  readonly sentence: string;
  readonly schedule: Schedule;
  readonly open: readonly string[];
  readonly closed: readonly string[];
}

// 2026-06-10 is a Wednesday. London: clocks go forward at 2026-03-29T01:00Z, back at 2026-10-25T01:00Z, both Sundays.
const rows: readonly Row[] = [
  {
    sentence: '`from` is inclusive, `until` exclusive',
    schedule: hours('07:00-19:00'),
    open: ['2026-06-10T07:00:00Z', '2026-06-10T18:59:59.999Z'],
    closed: ['2026-06-10T06:59:59.999Z', '2026-06-10T19:00:00Z'],
  },
  {
    sentence: 'only on its days',
    schedule: hours('07:00-19:00', weekdays),
    open: ['2026-06-12T12:00:00Z'],
    closed: ['2026-06-13T12:00:00Z', '2026-06-14T12:00:00Z'],
  },
  {
    sentence: 'the hours are those of the zone',
    schedule: hours('07:00-19:00', everyDay, 'America/New_York'),
    open: ['2026-06-10T11:00:00Z', '2026-01-10T12:00:00Z'],
    closed: ['2026-06-10T10:59:00Z', '2026-01-10T11:59:00Z'],
  },
  {
    sentence: 'the day is that of the zone',
    schedule: hours('00:00-24:00', ['wed'], 'Asia/Tokyo'),
    open: ['2026-06-09T15:00:00Z', '2026-06-10T14:59:00Z'],
    closed: ['2026-06-09T14:59:00Z', '2026-06-10T15:00:00Z'],
  },
  {
    sentence: 'past midnight belongs to the starting day',
    schedule: hours('22:00-06:00', ['fri']),
    open: ['2026-06-12T22:00:00Z', '2026-06-13T05:59:00Z'],
    closed: ['2026-06-12T05:00:00Z', '2026-06-13T06:00:00Z', '2026-06-13T22:00:00Z'],
  },
  {
    sentence: 'past midnight from Sunday into Monday',
    schedule: hours('22:00-06:00', ['sun']),
    open: ['2026-06-14T23:00:00Z', '2026-06-15T05:00:00Z'],
    closed: ['2026-06-14T05:00:00Z', '2026-06-15T23:00:00Z'],
  },
  {
    sentence: 'until midnight ends with the day',
    schedule: hours('18:00-24:00', ['fri']),
    open: ['2026-06-12T23:59:00Z'],
    closed: ['2026-06-13T00:00:00Z', '2026-06-12T00:00:00Z'],
  },
  {
    sentence: 'equal ends are a whole day from there',
    schedule: hours('09:00-09:00', ['wed']),
    open: ['2026-06-10T09:00:00Z', '2026-06-11T08:59:00Z'],
    closed: ['2026-06-10T08:59:00Z', '2026-06-11T09:00:00Z'],
  },
  {
    sentence: 'hours that daylight saving skips never come',
    schedule: hours('01:00-02:00', everyDay, 'Europe/London'),
    open: ['2026-03-28T01:30:00Z', '2026-03-30T00:30:00Z'],
    closed: ['2026-03-29T00:59:59Z', '2026-03-29T01:00:00Z', '2026-03-29T01:30:00Z'],
  },
  {
    sentence: 'hours that begin in the gap begin after it',
    schedule: hours('01:30-03:00', everyDay, 'Europe/London'),
    open: ['2026-03-29T01:00:00Z', '2026-03-29T01:59:00Z'],
    closed: ['2026-03-29T00:59:59Z', '2026-03-29T02:00:00Z'],
  },
  {
    sentence: 'hours that daylight saving repeats count both times',
    schedule: hours('01:00-01:30', everyDay, 'Europe/London'),
    open: ['2026-10-25T00:00:00Z', '2026-10-25T00:29:00Z', '2026-10-25T01:00:00Z', '2026-10-25T01:29:00Z'],
    closed: ['2026-10-24T23:59:00Z', '2026-10-25T00:30:00Z', '2026-10-25T00:59:00Z', '2026-10-25T01:30:00Z'],
  },
  {
    sentence: 'a zone whose clocks change at midnight',
    schedule: hours('00:00-01:00', ['sun'], 'America/Santiago'),
    open: [],
    closed: ['2026-09-06T03:59:00Z', '2026-09-06T04:00:00Z', '2026-09-06T04:30:00Z'],
  },
  {
    sentence: 'a zone whose clocks change by half an hour',
    schedule: hours('01:30-02:00', ['sun'], 'Australia/Lord_Howe'),
    open: ['2026-04-04T14:30:00Z', '2026-04-04T15:00:00Z', '2026-04-04T15:29:00Z'],
    closed: ['2026-04-04T14:29:00Z', '2026-04-04T15:30:00Z'],
  },
];

for (const { sentence, schedule, open, closed } of rows)
  test(`3.8 schedule: ${sentence}`, () => {
    for (const at of open) assert.equal(scheduleActive(schedule, Date.parse(at)), true, at);
    for (const at of closed) assert.equal(scheduleActive(schedule, Date.parse(at)), false, at);
  });

const changes = (schedule: Schedule, from: string, until: string): string[] =>
  nextChanges(schedule, Date.parse(from), Date.parse(until)).map((at) => new Date(at).toISOString().slice(0, 16));

test('changes over a weekend', () => {
  assert.deepEqual(changes(hours('07:00-19:00', weekdays), '2026-06-12T08:00:00Z', '2026-06-16T00:00:00Z'), [
    '2026-06-12T19:00',
    '2026-06-15T07:00',
    '2026-06-15T19:00',
  ]);
});

test('changes while the clocks go back', () => {
  assert.deepEqual(
    changes(hours('01:00-01:30', everyDay, 'Europe/London'), '2026-10-24T12:00:00Z', '2026-10-25T12:00:00Z'),
    ['2026-10-25T00:00', '2026-10-25T00:30', '2026-10-25T01:00', '2026-10-25T01:30'],
  );
});

test('changes include the first instant and not the last', () => {
  const schedule = hours('07:00-19:00');
  assert.deepEqual(changes(schedule, '2026-06-10T07:00:00Z', '2026-06-10T19:00:00Z'), ['2026-06-10T07:00']);
});

test('every hour of every day never changes', () => {
  for (const text of ['00:00-24:00', '09:00-09:00'])
    assert.deepEqual(
      changes(hours(text, everyDay, 'Europe/London'), '2026-10-20T00:00:00Z', '2026-10-30T00:00:00Z'),
      [],
    );
});

const zones = ['UTC', 'Europe/London', 'America/New_York', 'America/Santiago', 'Australia/Lord_Howe', 'Asia/Kathmandu'];
const around = [
  '2026-03-28T12:00:00Z',
  '2026-10-24T12:00:00Z',
  '2026-09-05T18:00:00Z',
  '2026-04-04T02:00:00Z',
  '2026-06-10T00:00:00Z',
];

const arbitrarySchedule: fc.Arbitrary<Schedule> = fc.record({
  timezone: fc.constantFrom(...zones),
  days: fc.subarray([...everyDay], { minLength: 1 }),
  fromMinute: fc.oneof(fc.integer({ min: 0, max: 1439 }), fc.constantFrom(0, 60, 90, 120, 150)),
  untilMinute: fc.oneof(fc.integer({ min: 1, max: 1440 }), fc.constantFrom(60, 90, 120, 150, 1440)),
});

test('the changes are those that a look at the clock every half minute finds', () => {
  fc.assert(
    fc.property(arbitrarySchedule, fc.constantFrom(...around), (schedule, text) => {
      const from = Date.parse(text);
      const until = from + 30 * 3_600_000;
      const found: number[] = [];
      let before = scheduleActive(schedule, from - 1);
      for (let at = from; at < until; at += 30_000) {
        const active = scheduleActive(schedule, at);
        if (active !== before) found.push(at);
        before = active;
      }
      assert.deepEqual(nextChanges(schedule, from, until), found);
    }),
    { seed, numRuns: 40 },
  );
});
