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

/** What a rule says of opening TLS. `unspecified`: only where a condition of it needs that. */
export type Decrypt = 'allowed' | 'not-allowed' | 'unspecified';

/** What becomes of TLS that the proxy holds: its bytes pass as they are, or it is opened and each request judged. */
export type Treatment = 'passthrough' | 'inspect';

/**
 * Asked once of a flow, of what the walk says at its ClientHello (DESIGN 3.5): it is opened where the first rule that is not contradicted says
 * `allowed`, or waits, which by then can only be for the request, and does not say `not-allowed`.
 */
export const treatmentOf = (decision: Decision, decryptOf: (rule: number) => Decrypt): Treatment => {
  if (decision.rule === 'default' || (decision.kind === 'decided' && decision.verdict === 'deny')) return 'passthrough';
  const decrypt = decryptOf(decision.rule);
  const opens = decision.kind === 'undecided' ? decrypt !== 'not-allowed' : decrypt === 'allowed';
  return opens ? 'inspect' : 'passthrough';
};
