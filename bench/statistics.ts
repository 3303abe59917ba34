/** What the benchmark makes of numbers that scatter: medians of rounds, and intervals by drawing rounds again. */

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
};

/** Half the distance between the quartiles, as a share of the median: how far a round is from the next one. */
export const spread = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]!;
  return (at(0.75) - at(0.25)) / 2 / Math.abs(median(values));
};

export interface Estimate {
  readonly value: number;
  /** The middle 95 of 100 that drawing the rounds again gives. */
  readonly low: number;
  readonly high: number;
}

/** xorshift32: the same rounds give the same interval. */
const generator = (seed: number): ((below: number) => number) => {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
};

const draws = 2000;

/** The median over rounds of what `compare` says of a round of both, with its interval. The rounds of both belong together. */
export const compareRounds = (
  ours: readonly number[],
  theirs: readonly number[],
  compare: (our: number, their: number) => number,
): Estimate => {
  const paired = ours.map((our, i) => compare(our, theirs[i]!));
  const draw = generator(0x5eed);
  const medians = Array.from({ length: draws }, () => median(paired.map(() => paired[draw(paired.length)]!)));
  medians.sort((a, b) => a - b);
  return { value: median(paired), low: medians[draws * 0.025]!, high: medians[draws * 0.975 - 1]! };
};

export const ratio = (ours: readonly number[], theirs: readonly number[]): Estimate =>
  compareRounds(ours, theirs, (our, their) => our / their);

export const difference = (ours: readonly number[], theirs: readonly number[]): Estimate =>
  compareRounds(ours, theirs, (our, their) => our - their);
