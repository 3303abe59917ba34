import {
  type Bitmap,
  bitmapOf,
  clearBit,
  type EncodedBitmap,
  encodeBitmap,
  type PlanEpoch,
  setBit,
} from '@cofferdam/plan';
import { nextChanges, type Rule, type Schedule, scheduleActive } from '@cofferdam/policy';
import type { CompileDiagnostic } from './diagnostic.ts';

/** How far ahead a plan knows what opens and closes. */
export const horizon = 48 * 60 * 60 * 1000;
/** Epochs of one plan, the closed one among them: as many rows as the kernel keeps. */
export const mostEpochs = 256;

/**
 * The stretches of time over which the same rules are active, from `at` to the horizon, and the closed one after it: a gateway that no one
 * tells of a new day lets no scheduled permit stay open, nor one that was to expire, and keeps scheduled denies.
 */
export const compileEpochs = (
  rules: readonly Rule[],
  at: number,
  words: number,
  report: (diagnostic: CompileDiagnostic) => void,
): PlanEpoch[] => {
  const timed = rules.flatMap((rule, index) =>
    rule.schedule === undefined && rule.expires === undefined ? [] : [{ rule, index }],
  );
  const clock = scheduleClock(at);
  const isActive = (rule: Rule, instant: number): boolean =>
    (rule.expires === undefined || instant < rule.expires) &&
    (rule.schedule === undefined || clock.active(rule.schedule, instant));
  const active = bitmapOf(
    words,
    rules.flatMap((rule, index) => (isActive(rule, at) ? [index] : [])),
  );
  const flips = new Map<number, { index: number; active: boolean }[]>();
  for (const { rule, index } of timed) {
    const { expires } = rule;
    const instants = [
      ...(rule.schedule === undefined ? [] : clock.changes(rule.schedule)),
      ...(expires === undefined ? [] : [expires]),
    ];
    for (const instant of instants) {
      if (instant <= at || instant >= at + horizon) continue;
      const there = flips.get(instant) ?? [];
      there.push({ index, active: isActive(rule, instant) });
      flips.set(instant, there);
    }
  }

  const epochs: PlanEpoch[] = [{ from: at, active: encodeBitmap(active) }];
  let end = at + horizon;
  for (const from of [...flips.keys()].sort((a, b) => a - b)) {
    for (const flip of flips.get(from)!) (flip.active ? setBit : clearBit)(active, flip.index);
    const encoded = encodeBitmap(active);
    if (epochs.at(-1)!.active === encoded) continue;
    if (epochs.length === mostEpochs - 1) {
      end = from;
      report(shortened(from - at));
      break;
    }
    epochs.push({ from, active: encoded });
  }
  const closed = closedAt(rules, end, words);
  if (timed.length > 0) epochs.push({ from: end, active: closed });
  return epochs;
};

/** Rules often share a schedule, and asking the zone is slow: each is asked once. */
const scheduleClock = (at: number) => {
  const keyOf = ({ timezone, days, fromMinute, untilMinute }: Schedule): string =>
    JSON.stringify([timezone, days, fromMinute, untilMinute]);
  const changes = memoized(
    (schedule: Schedule) => keyOf(schedule),
    (schedule) => nextChanges(schedule, at, at + horizon),
  );
  const active = memoized(
    ([schedule, instant]: readonly [Schedule, number]) => `${keyOf(schedule)}${instant}`,
    ([schedule, instant]) => scheduleActive(schedule, instant),
  );
  return { changes, active: (schedule: Schedule, instant: number): boolean => active([schedule, instant]) };
};

const memoized = <A, T>(keyOf: (argument: A) => string, compute: (argument: A) => T): ((argument: A) => T) => {
  const known = new Map<string, T>();
  return (argument) => {
    const key = keyOf(argument);
    const before = known.get(key);
    if (before !== undefined) return before;
    const made = compute(argument);
    known.set(key, made);
    return made;
  };
};

const closedAt = (rules: readonly Rule[], end: number, words: number): EncodedBitmap => {
  const active: Bitmap = bitmapOf(
    words,
    rules.flatMap((rule, index) => {
      if (rule.expires !== undefined && rule.expires <= end) return [];
      const timed = rule.schedule !== undefined || rule.expires !== undefined;
      return timed && rule.action === 'permit' ? [] : [index];
    }),
  );
  return encodeBitmap(active);
};

const shortened = (after: number): CompileDiagnostic => ({
  severity: 'warning',
  code: 'horizon-shortened',
  message: `schedules change so often that the plan reaches only ${Math.floor(after / 3_600_000)} hours ahead`,
  help: 'let rules share schedules, or see that plans are compiled anew at least that often',
});
