import { err, ok, quote, type Result } from '@cofferdam/net';
import { type Fields, field, items, parsed } from './fields.ts';
import type { Schedule, Weekday } from './model.ts';
import { weekdays } from './schema-ruleset.ts';
import { nearest } from './suggest.ts';
import type { Tree } from './tree.ts';

export const buildSchedule = (fields: Fields, node: Tree | undefined): Schedule | undefined => {
  if (node === undefined) return undefined;
  const read = <T>(key: string, code: 'invalid-timezone' | 'invalid-time', parse: (text: string) => Result<T>) => {
    const value = field(fields, node, key);
    return value && parsed(fields, value, code, parse);
  };
  const timezone = read('timezone', 'invalid-timezone', parseTimezone);
  const fromMinute = read('from', 'invalid-time', (text) => parseTime(text, 1439));
  const untilMinute = read('until', 'invalid-time', (text) => parseTime(text, 1440));
  if (timezone === undefined || fromMinute === undefined || untilMinute === undefined) return undefined;
  const written = items(fields, node, 'days')?.map((day) => (day.kind === 'scalar' ? day.value : null));
  const days: readonly Weekday[] = weekdays.filter((day) => written === undefined || written.includes(day));
  // Until midnight is until 24:00: `until` is 1 to 1440.
  return { timezone, days, fromMinute, untilMinute: untilMinute === 0 ? 1440 : untilMinute };
};

const parseTimezone = (text: string): Result<string> => {
  // The formatter takes offsets such as +01:00 too, which know nothing of daylight saving.
  if (/^[A-Za-z]/.test(text) && isZone(text)) return ok(text);
  const near = nearest(text, Intl.supportedValuesOf('timeZone'));
  const help =
    near === undefined
      ? 'write a zone of the IANA database, such as `Europe/London` or `UTC`'
      : `did you mean \`${near}\`?`;
  return err('timezone', `unknown time zone ${quote(text)}`, help);
};

const isZone = (text: string): boolean => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    // A RangeError is how Intl says no.
    return false;
  }
};

const parseTime = (text: string, last: number): Result<number> => {
  const parts = /^([0-9]{2}):([0-9]{2})$/.exec(text);
  const minutes = parts === null ? Number.NaN : Number(parts[1]) * 60 + Number(parts[2]);
  if (parts !== null && Number(parts[2]) < 60 && minutes <= last) return ok(minutes);
  const help = last === 1440 ? 'write HH:MM, from `00:00` to `24:00`' : 'write HH:MM, from `00:00` to `23:59`';
  return err('time', `${quote(text)} is not a time of day`, help);
};

/** An instant in milliseconds since the epoch. The offset is required: without it the meaning depends on the machine. */
export const parseInstant = (text: string): Result<number> => {
  const parts =
    /^([0-9]{4})-([0-9]{2})-([0-9]{2})T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?(Z|[+-][0-9]{2}:[0-9]{2})?$/.exec(
      text,
    );
  const milliseconds = parts === null ? Number.NaN : Date.parse(text);
  // Date.parse carries 31 February over into March.
  const lastDay = parts === null ? 0 : new Date(Date.UTC(Number(parts[1]), Number(parts[2]), 0)).getUTCDate();
  if (parts === null || Number.isNaN(milliseconds) || Number(parts[3]) > lastDay) {
    return err(
      'instant',
      `${quote(text)} is not an instant`,
      'write date, time and offset, such as `2027-01-31T00:00:00Z`',
    );
  }
  if (parts[4] === undefined)
    return err('instant', `${quote(text)} has no offset from UTC`, `write \`${text}Z\` or \`${text}+01:00\``);
  return ok(milliseconds);
};
