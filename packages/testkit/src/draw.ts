import type * as fc from 'fast-check';

/** Small choices out of one source of randomness. The first alternative is the plainest. */
export interface Draw {
  /** 0 to `count` - 1. */
  below(count: number): number;
  /** Both ends included. */
  between(low: number, high: number): number;
  /** True in `percent` of 100 draws. */
  chance(percent: number): boolean;
  /** One of a list that is not empty. */
  pick<T>(choices: readonly T[]): T;
  /** One of pairs of value and weight. */
  weighted<T>(choices: readonly (readonly [value: T, weight: number])[]): T;
  /** Between `least` and `most` different elements, in the order of the list; all of them where it is shorter. */
  some<T>(choices: readonly T[], least: number, most: number): T[];
  /** `make` called between `least` and `most` times. */
  many<T>(least: number, most: number, make: (index: number) => T): T[];
}

/** Draws from the generator that fast-check hands to an arbitrary, so that its seed and path replay everything. */
export const drawFrom = (random: Pick<fc.Random, 'nextInt'>): Draw => {
  const below = (count: number): number => random.nextInt(0, count - 1);
  const between = (low: number, high: number): number => low + below(high - low + 1);
  const pick = <T>(choices: readonly T[]): T => choices[below(choices.length)]!;
  return {
    below,
    between,
    chance: (percent) => below(100) >= 100 - percent,
    pick,
    weighted: (choices) => {
      let rest = below(choices.reduce((sum, [, weight]) => sum + weight, 0));
      return choices.find(([, weight]) => {
        rest -= weight;
        return rest < 0;
      })![0];
    },
    some: (choices, least, most) => {
      const wanted = Math.min(between(least, most), choices.length);
      const left = choices.map((_, index) => index);
      const taken = Array.from({ length: wanted }, () => left.splice(below(left.length), 1)[0]!);
      return taken.sort((a, b) => a - b).map((index) => choices[index]!);
    },
    many: (least, most, make) => Array.from({ length: between(least, most) }, (_, index) => make(index)),
  };
};
