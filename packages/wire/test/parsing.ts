import fc from 'fast-check';

/** All ways to cut bytes into two non-empty pieces. */
export const everyCutInTwo = function* (whole: Uint8Array): Generator<[Uint8Array, Uint8Array]> {
  for (let at = 1; at < whole.length; at++) yield [whole.subarray(0, at), whole.subarray(at)];
};

const seed = Number(process.env.COFFERDAM_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Checks a property over generated values. A failure prints the seed; `COFFERDAM_SEED` repeats it. */
export const property = <T>(generator: fc.Arbitrary<T>, check: (value: T) => void, runs = 300): void =>
  fc.assert(fc.property(generator, check), { seed, numRuns: runs });
