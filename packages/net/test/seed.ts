import fc from 'fast-check';

/** One seed for all randomness of a run: printed on failure, taken from COFFERDAM_SEED to replay. */
export const seed: number = process.env.COFFERDAM_SEED ? Number(process.env.COFFERDAM_SEED) : Date.now() & 0x7fffffff;

/** Fails with the seed and the shrunk example. */
export function holds<T extends [unknown, ...unknown[]]>(property: fc.IProperty<T>, runs = 500): void {
  const outcome = fc.check(property, { seed, numRuns: runs });
  if (outcome.failed)
    throw new Error(`${fc.defaultReportMessage(outcome as never)}\nreplay with COFFERDAM_SEED=${seed}`);
}

/** Real test data, or the reason why a test over it is skipped. */
export const testdata: string | undefined = process.env.COFFERDAM_TESTDATA;
export const withTestdata: { skip: string | false } = {
  skip: testdata === undefined ? 'COFFERDAM_TESTDATA is not set' : false,
};
