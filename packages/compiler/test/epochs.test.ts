import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeAt, hasBit, loadPlan, type Plan } from '@cofferdam/plan';
import { type Rule, type Schedule, scheduleActive, type Weekday } from '@cofferdam/policy';
import { wednesdayMorning as at, deny, permit, policyOf } from '@cofferdam/testkit';
import * as fc from 'fast-check';
import { compiled, findings } from './sample.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const hour = 3_600_000;
const daily: readonly Weekday[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const hours = (fromMinute: number, untilMinute: number, timezone = 'UTC'): Schedule => ({
  timezone,
  days: daily,
  fromMinute,
  untilMinute,
});

const planOf = (rules: readonly Rule[]): Plan => compiled(policyOf(rules)).plan;
/** Hours after the compile time at which epochs begin, with the rules active from then. */
const epochs = (rules: readonly Rule[]): [number, string][] =>
  planOf(rules).epochs.map(({ from, active }) => [(from - at) / hour, active]);

test('rules without time make one epoch for ever', () => {
  assert.deepEqual(epochs([permit(), deny()]), [[0, '0-1']]);
});

test('past the horizon scheduled permits are inactive and scheduled denies active', () => {
  const schedule = hours(0, 1440);
  assert.deepEqual(epochs([permit({ schedule }), deny({ schedule }), permit()]), [
    [0, '0-2'],
    [48, '1-2'],
  ]);
});

test('a scheduled permit opens and closes', () => {
  assert.deepEqual(epochs([permit({ schedule: hours(10 * 60, 12 * 60) })]), [
    [0, ''],
    [1, '0'],
    [3, ''],
    [25, '0'],
    [27, ''],
    [48, ''],
  ]);
});

test('expiry is to the millisecond, and ends a deny as well as a permit', () => {
  const expires = at + 1234;
  const plan = loadPlan(planOf([permit({ expires }), deny({ expires })]));
  assert.deepEqual([...activeAt(plan, expires - 1)].slice(0, 1), [3]);
  assert.deepEqual([...activeAt(plan, expires)].slice(0, 1), [0]);
});

test('what expires after the horizon is closed at the horizon: no one may be there to end it', () => {
  const expires = at + 100 * hour;
  assert.deepEqual(epochs([permit({ expires }), deny({ expires }), deny({ expires: at + 48 * hour })]), [
    [0, '0-2'],
    [48, '1'],
  ]);
});

test('what had expired is never active', () => {
  assert.deepEqual(epochs([permit({ expires: at }), deny({ expires: at - 1, schedule: hours(0, 1440) })]), [
    [0, ''],
    [48, ''],
  ]);
});

test('too many changes bring the closed epoch forward', () => {
  const rules = Array.from({ length: 600 }, (_, i) => permit({ name: `r${i}`, schedule: hours(600 + i, 600 + i + 1) }));
  const made = compiled(policyOf([...rules, permit()]));
  assert.equal(made.plan.epochs.length, 256);
  assert.equal(made.plan.epochs.at(-1)?.active, '600');
  assert.ok(made.plan.epochs.at(-1)!.from < at + 48 * hour);
  assert.deepEqual(findings(made), [
    'warning horizon-shortened: schedules change so often that the plan reaches only 5 hours ahead',
  ]);
});

const schedules = fc.record({
  timezone: fc.constantFrom('UTC', 'Europe/London', 'Asia/Kathmandu', 'America/St_Johns', 'Australia/Lord_Howe'),
  days: fc.uniqueArray(fc.constantFrom(...daily), { minLength: 1 }),
  fromMinute: fc.nat(1439),
  untilMinute: fc.integer({ min: 1, max: 1440 }),
});

test('epochs say what the schedules say, at every instant before the horizon', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ schedule: schedules, expires: fc.option(fc.integer({ min: -hour, max: 50 * hour })) }), {
        maxLength: 5,
      }),
      // Daylight saving begins or ends nearby in several of the zones.
      fc.constantFrom(
        at,
        Date.parse('2026-03-28T13:00:00Z'),
        Date.parse('2026-10-24T20:00:00Z'),
        Date.parse('2026-04-04T05:00:00Z'),
      ),
      fc.array(fc.nat(48 * hour - 1), { minLength: 20, maxLength: 40 }),
      (timed, start, probes) => {
        const rules = timed.map(({ schedule, expires }) =>
          permit({ schedule, ...(expires === null ? {} : { expires: start + expires }) }),
        );
        const { plan } = compiled(policyOf(rules), { at: start });
        const loaded = loadPlan(plan);
        const edges = plan.epochs.slice(0, -1).flatMap(({ from }) => [from - 1, from]);
        for (const instant of [...probes.map((after) => start + after), ...edges.filter((edge) => edge >= start)]) {
          for (const [i, { schedule, expires }] of rules.entries()) {
            const active = scheduleActive(schedule!, instant) && (expires === undefined || instant < expires);
            assert.equal(hasBit(activeAt(loaded, instant), i), active, new Date(instant).toISOString());
          }
        }
      },
    ),
    { seed, numRuns: 100 },
  );
});
