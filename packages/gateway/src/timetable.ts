/** Things that have to be looked at again, each at its time or somewhat later. What is due costs; what waits does not. */
export interface Timetable<T> {
  /** To be looked at once `at` (milliseconds) has come. What waits already keeps its time. */
  readonly put: (thing: T, at: number) => void;
  /** What is due, at most `most` of it; the rest is due the next time. */
  readonly take: (at: number, most: number) => readonly T[];
}

/** `precision`: milliseconds that something may be late. */
export const createTimetable = <T>(precision: number): Timetable<T> => {
  const slots = new Map<number, Set<T>>();
  const waiting = new Set<T>();
  return {
    put(thing, at) {
      if (waiting.has(thing)) return;
      waiting.add(thing);
      const slot = Math.ceil(at / precision);
      const there = slots.get(slot);
      if (there === undefined) slots.set(slot, new Set([thing]));
      else there.add(thing);
    },
    take(at, most) {
      const due: T[] = [];
      for (const [slot, things] of slots) {
        if (slot * precision > at) continue;
        for (const thing of things) {
          if (due.length >= most) return due;
          things.delete(thing);
          waiting.delete(thing);
          due.push(thing);
        }
        slots.delete(slot);
      }
      return due;
    },
  };
};
