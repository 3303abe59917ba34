/**
 * verdict: what is known of a flow (facts, in stages), what can be said of it (decision), and why (reasons).
 * Values that the language, the plan, the datapath and the flow record share; it decides nothing itself.
 */
export {
  type Decision,
  type Decrypt,
  type RuleIndex,
  type Treatment,
  treatmentOf,
  type Verdict,
  type WouldBe,
} from './decision.ts';
export {
  absent,
  type Fact,
  type Facts,
  type FlowProtocol,
  known,
  leftUnread,
  type McpFacts,
  type Path,
  type RequestFacts,
  type Stage,
  unknown,
  unreadable,
} from './facts.ts';
export {
  isReason,
  type Reason,
  type ReasonEntry,
  type ReasonStage,
  reasonEntry,
  reasonFromNumber,
  reasonTable,
} from './reasons.ts';
