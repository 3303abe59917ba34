/** One seed for all randomness of a run: fast-check prints it on failure; COFFERDAM_SEED replays it. */
export const seed: number = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
