/**
 * policy: the language of policy files (parser with positions, schemas, validation, lint, diagnostics), as values (model),
 * and what it means (the reference evaluator, schedules, explanation).
 * Not here: the compiled form that is enforced (plan, compiler), facts and reasons (verdict), reading files.
 */

export { parseInstant } from './build-schedule.ts';
export type { Diagnostic } from './diagnostic.ts';
export { type FormatOptions, formatDiagnostics } from './diagnostic-format.ts';
export {
  type DiagnosticCode,
  type DiagnosticTableEntry,
  diagnosticEntry,
  diagnosticTable,
  type ErrorCode,
  isDiagnosticCode,
  type Severity,
  type WarningCode,
} from './diagnostic-table.ts';
export type { FinalDecision } from './evaluate.ts';
export {
  evaluate,
  evaluatePrepared,
  finalDecision,
  finalDecisionPrepared,
} from './evaluate.ts';
export { type Prepared, prepare } from './evaluate-prepare.ts';
export { type ExplainStep, type Explanation, explainPrepared, explainWalk } from './explain.ts';
export { defaultLimits, type Limits } from './limits.ts';
export { isLocalName } from './local-names.ts';
export {
  builtInSmartGroups,
  builtInWebGroups,
  type CloudSelector,
  type Containment,
  type EvaluationContext,
  type KubernetesSelector,
  type Location,
  type PolicySet,
  type Rule,
  type Ruleset,
  type Schedule,
  type Selector,
  type SmartGroup,
  type Tier,
  tierOrder,
  type WebGroup,
  type Weekday,
  type Workload,
} from './model.ts';
export { namelessPorts } from './nameless-ports.ts';
export { type ParseOptions, type ParseResult, type PolicySource, parsePolicy } from './parse.ts';
export { printPolicy } from './print.ts';
export {
  agentMatches,
  containmentOf,
  destinationMatches,
  type Members,
  membersOf,
  type Source,
  selectsWorkload,
} from './resolve.ts';
export { nextChanges, scheduleActive } from './schedule.ts';
export { kindSchemas, kinds, policySchema, schemaFiles, unsupportedKinds } from './schema.ts';
export { apiVersion } from './schema-parts.ts';
export { permitsEveryName } from './without-web.ts';
export { wouldBe, wouldBePrepared } from './would-be.ts';
