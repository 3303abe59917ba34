/** One seed for all randomness of a run; fast-check prints it where a property fails. */
export const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 0x7fffffff);
