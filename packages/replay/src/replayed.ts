import type { Reason, RuleIndex, Stage, Verdict } from '@cofferdam/verdict';

/** Why a record does not tell what the verdict would have been. */
export type Cause =
  /** The walk needs something that was never read of the flow. */
  | 'unread'
  /** The name may stand for an address that the record does not have. */
  | 'address'
  /** A rule names a `hostname`, and what it resolved to then is not known. */
  | 'hostname'
  /** Inventory gives the address to another agent than the record. */
  | 'agent'
  /** It was denied before any rule counted: by a quota, by how its bytes came, by its end. */
  | 'gateway'
  /** The rule refuses Encrypted ClientHello, which records do not tell of. */
  | 'ech'
  /** Only counted, not recorded. */
  | 'suppressed';

/** What a plan would have said of a record. */
export type Replayed =
  | {
      readonly kind: 'decided';
      readonly verdict: Verdict;
      readonly rule: RuleIndex;
      readonly stage: Stage;
      readonly reason: Reason;
    }
  /** `rule`: the one that needs to know. */
  | { readonly kind: 'unknown'; readonly cause: Cause; readonly rule: RuleIndex };

export type Change = 'same' | 'newly-denied' | 'newly-permitted' | 'unknown';

/** A lifted denial was permitted: what counts is whether traffic passed. */
export const changeOf = (recorded: Verdict, replayed: Replayed): Change => {
  if (replayed.kind === 'unknown') return 'unknown';
  if (replayed.verdict === recorded) return 'same';
  return replayed.verdict === 'deny' ? 'newly-denied' : 'newly-permitted';
};
