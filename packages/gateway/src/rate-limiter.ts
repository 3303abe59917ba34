/** Token buckets by key. `rate` tokens a second, at most `burst` saved up. */
export interface RateLimiterOptions {
  readonly rate: number;
  readonly burst: number;
  /** Keys remembered at once; the one idle longest is forgotten first, which only ever refills its bucket. */
  readonly keys: number;
}

export interface RateLimiter {
  /** Takes one token of `key` at `at` (milliseconds, never going back). False: none was left. */
  readonly take: (key: string, at: number) => boolean;
}

export const createRateLimiter = (options: RateLimiterOptions): RateLimiter => {
  const buckets = new Map<string, { tokens: number; at: number }>();
  return {
    take: (key, at) => {
      const before = buckets.get(key);
      const grown =
        before === undefined ? options.burst : before.tokens + (Math.max(0, at - before.at) * options.rate) / 1000;
      const tokens = Math.min(options.burst, grown);
      buckets.delete(key);
      if (buckets.size >= options.keys) buckets.delete(buckets.keys().next().value!);
      const allowed = tokens >= 1;
      buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, at });
      return allowed;
    },
  };
};
