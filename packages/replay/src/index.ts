/**
 * replay: what a changed policy would have said of records, record by record, and how often it would have been something else. It asks a
 * compiled plan with the facts that a record holds; what a record does not hold makes the answer `unknown`.
 * Not here: reading logs, compiling the policy (their caller does), and what a record is (flows).
 *
 *     records --createReplay--> (record, replayed) --createTally--> counts, rows by rule and destination
 *                  ^ planAt(time)
 */
export { agentNamed } from './agent-named.ts';
export { createReplay, type Replay, type ReplayOptions } from './replay.ts';
export { type ReplayPlan, replayFlow } from './replay-flow.ts';
export { type Cause, type Change, changeOf, type Replayed } from './replayed.ts';
export { type ChangeRow, type Counts, createTally, type RuleCount, referenceOf, type Tally } from './tally.ts';
