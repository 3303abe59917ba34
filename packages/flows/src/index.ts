/**
 * flows: the flow record, defined once: its type, its encodings, and what people ask of many of them (filters, summaries,
 * hints). DNS queries are records of the same family. Pure values; it stores nothing and decides nothing.
 */
export {
  agentText,
  askedFor,
  deciderText,
  decisiveReason,
  decisiveRule,
  destinationText,
  endpointText,
  flowName,
  isUnanswered,
  remarkText,
  requestText,
  ruleText,
  verdictText,
} from './describe.ts';
export { encodeRecord } from './encode.ts';
export { matchesFilter, type RecordFilter } from './filter.ts';
export {
  type FlowGroups,
  type GroupedFlows,
  type Grouping,
  type GroupSummary,
  groupFlows,
  groupings,
  mostKeys,
} from './grouping.ts';
export { type Hint, type HintContext, hint, requestConditions } from './hint.ts';
export { recordLine } from './line.ts';
export { parseRecord } from './parse.ts';
export {
  type AgentIdentity,
  type AnyRecord,
  type DnsRecord,
  type Endpoint,
  type FlowRecord,
  type RecordProtocol,
  type RuleReference,
  recordVersion,
  type SuppressedRecord,
  type Traffic,
  type WouldBeVerdict,
} from './record.ts';
export {
  createRuleTally,
  type Decided,
  decidedIn,
  noUse,
  type RuleTally,
  type RuleUse,
  ruleKey,
  sumOfUses,
} from './rule-use.ts';
export { encodeRulesReport, parseRulesReport, type ReportedRule, type RulesReport, useData } from './rules-report.ts';
export { mostLive, type Settling, settling } from './settled.ts';
export { type DestinationSummary, deniedNames, type Summary, summarise } from './summary.ts';
export { type Column, recordColumns, recordTable, runColumn } from './table.ts';
export { sanitise } from './text.ts';
