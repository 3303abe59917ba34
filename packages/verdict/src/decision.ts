import type { Path, Stage } from './facts.ts';
import type { Reason } from './reasons.ts';

export type Verdict = 'permit' | 'deny';

/** The rule a decision is named after, by its place in the walk (0-based over the whole ordered plan); `default` after the last. */
export type RuleIndex = number | 'default';

/**
 * What the walk says of the facts so far.
 * `undecided`: wait for more facts, on `path`; `rule` is the first rule that waits.
 * `restsOnName`: a permit whose `web` was satisfied by an address name, so that a claimed name must still agree with it.
 */
export type Decision =
  | {
      readonly kind: 'decided';
      readonly verdict: Verdict;
      readonly rule: RuleIndex;
      readonly stage: Stage;
      readonly reason: Reason;
      readonly path: Path;
      readonly restsOnName: boolean;
    }
  | { readonly kind: 'undecided'; readonly rule: RuleIndex; readonly path: Path };

/** A would-be verdict: what the walk would say with everything enforced. `unknown` where a fact it needs was never read. */
export type WouldBe = { readonly verdict: Verdict; readonly rule: RuleIndex; readonly reason: Reason } | 'unknown';
