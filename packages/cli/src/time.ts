import { err, ok, quote, type Result } from '@cofferdam/net';
import { parseInstant as parsePolicyInstant } from '@cofferdam/policy';

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

const instantForm = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$/i;

/** An instant with its offset from UTC; a date alone is its first moment in UTC. Without an offset it would depend on the machine. */
export const parseInstant = (text: string, now: number): Result<number> => {
  if (text === 'now') return ok(now);
  const parts = instantForm.exec(text);
  const example = new Date(now).toISOString().replace(/\.\d+/, '');
  const refuse = (help: string): Result<never> => err('time', `${quote(text)} is not a time`, help);
  if (parts === null) return refuse(`write an instant such as \`${example}\``);
  if (parts[1] !== undefined && parts[4] === undefined) {
    return refuse(
      `say which offset from UTC, such as \`${text.replace(' ', 'T')}Z\` or \`${text.replace(' ', 'T')}+02:00\``,
    );
  }
  // The check of `expires` in policy files, which refuses 30 February where `Date.parse` makes it 2 March.
  const whole = parts[1] === undefined ? `${text}T00:00:00Z` : text.replace(' ', 'T').toUpperCase();
  const at = parsePolicyInstant(whole.replace(/(\.\d{3})\d+/, '$1').replace(/(\d\d):?(\d\d)$/, '$1:$2'));
  return at.ok ? at : refuse(`there is no such day or hour; write an instant such as \`${example}\``);
};

/** An instant, or how long ago: `10m`, `2h`, `1d`. */
export const parseSince = (text: string, now: number): Result<number> => {
  const ago = /^(\d{1,9})(ms|s|m|h|d|w)$/.exec(text);
  if (ago !== null) return ok(now - Number(ago[1]) * units[ago[2]!]!);
  const instant = parseInstant(text, now);
  if (instant.ok) return instant;
  return err('time', instant.error.message, `${instant.error.help}, or how long ago: \`10m\`, \`2h\`, \`1d\``);
};

/** What a clock on the wall of a zone shows: `Sat 2027-01-30 10:00`. */
export const wallClock = (at: number, timezone: string): string => {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    weekday: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
  return `${part.weekday} ${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}`;
};
