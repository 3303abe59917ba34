import { createRateLimiter } from './rate-limiter.ts';

/** Milliseconds in which the same is said once. */
const again = 10_000;
/** Different things remembered at once; past that, the one said longest ago may be said again early. */
const remembered = 64;

/** Says the same thing once in ten seconds: what fails for one connection fails for a thousand. `now`: milliseconds that never go back. */
export const seldom = (say: (text: string) => void, now: () => number): ((text: string) => void) => {
  const limiter = createRateLimiter({ rate: 1000 / again, burst: 1, keys: remembered });
  return (text) => {
    if (limiter.take(text, now())) say(text);
  };
};
