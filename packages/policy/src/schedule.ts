import type { Schedule, Weekday } from './model.ts';

/**
 * Schedules are read off the wall clock of their IANA zone: a schedule is active at an instant if a clock on the wall
 * there shows a time within its hours. So hours that daylight saving skips never come, and hours that it repeats count
 * both times. `from` is inclusive, `until` exclusive; hours past midnight belong to the day on which they begin.
 */

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const weekdays: readonly Weekday[] = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const formats = new Map<string, Intl.DateTimeFormat>();

const formatOf = (timezone: string): Intl.DateTimeFormat => {
  const present = formats.get(timezone);
  if (present) return present;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  formats.set(timezone, made);
  return made;
};

/**
 * What the wall clock of a zone shows at an instant, as the milliseconds at which a UTC clock shows the same.
 * The zone must be one that this runtime knows: validation saw to it.
 */
const wallClock = (timezone: string, at: number): number => {
  const field = new Map<string, number>();
  for (const { type, value } of formatOf(timezone).formatToParts(at)) field.set(type, Number(value));
  const read = (name: string): number => field.get(name) ?? 0;
  const whole = Date.UTC(read('year'), read('month') - 1, read('day'), read('hour'), read('minute'), read('second'));
  return whole + (((at % 1000) + 1000) % 1000);
};

const offsetAt = (timezone: string, at: number): number => wallClock(timezone, at) - at;

const activeOnWall = (schedule: Schedule, wall: number): boolean => {
  const today = Math.floor(wall / day);
  const minuteOfDay = Math.floor((wall - today * day) / minute);
  // Day 0 of the epoch was a Thursday, the fifth of `weekdays`.
  const begins = (dayNumber: number): boolean => schedule.days.includes(weekdays[(((dayNumber + 4) % 7) + 7) % 7]!);
  const { fromMinute, untilMinute } = schedule;
  if (fromMinute < untilMinute) return begins(today) && minuteOfDay >= fromMinute && minuteOfDay < untilMinute;
  return (begins(today) && minuteOfDay >= fromMinute) || (begins(today - 1) && minuteOfDay < untilMinute);
};

/** Whether the schedule's hours include the instant `at` (milliseconds since the epoch). */
export const scheduleActive = (schedule: Schedule, at: number): boolean =>
  activeOnWall(schedule, wallClock(schedule.timezone, at));

/** The first instant in (low, high] at which the zone's offset is no longer the one at `low`. */
const transitionIn = (timezone: string, low: number, high: number): number => {
  const before = offsetAt(timezone, low);
  let last = low;
  let changed = high;
  while (changed - last > 1) {
    const middle = Math.floor((last + changed) / 2);
    if (offsetAt(timezone, middle) === before) last = middle;
    else changed = middle;
  }
  return changed;
};

/** Spans of [from, until) over which the zone keeps one offset. No zone changes its offset twice within an hour. */
const spans = (timezone: string, from: number, until: number): { start: number; end: number; offset: number }[] => {
  const found: { start: number; end: number; offset: number }[] = [];
  let start = from;
  let offset = offsetAt(timezone, from);
  for (let at = from; at < until; at += hour) {
    const next = Math.min(at + hour, until);
    if (offsetAt(timezone, next) === offset) continue;
    const end = transitionIn(timezone, at, next);
    found.push({ start, end, offset });
    start = end;
    offset = offsetAt(timezone, end);
  }
  if (start < until) found.push({ start, end: until, offset });
  return found;
};

/** Instants t, from <= t < until, rising, at which the schedule opens or closes: it is not at t what it was just before. */
export const nextChanges = (schedule: Schedule, from: number, until: number): readonly number[] => {
  const candidates = new Set<number>();
  for (const { start, end, offset } of spans(schedule.timezone, from, until)) {
    candidates.add(start);
    for (let midnight = Math.floor((start + offset) / day) * day; midnight - offset < end; midnight += day)
      for (const wall of [midnight, midnight + schedule.fromMinute * minute, midnight + schedule.untilMinute * minute])
        if (wall - offset >= start && wall - offset < end) candidates.add(wall - offset);
  }
  return [...candidates]
    .filter((at) => scheduleActive(schedule, at) !== scheduleActive(schedule, at - 1))
    .sort((a, b) => a - b);
};
