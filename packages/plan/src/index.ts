/**
 * plan: the compiled form of a policy over an inventory, and all that can be asked of it without the policy: what becomes of a flow,
 * which names resolve, what an agent reaches, how two plans differ, and the tables a kernel decides with.
 * Not here: how a plan is made (compiler), the language (policy), and any I/O.
 *
 *     Plan (JSON) --validatePlan--> Plan --loadPlan--> LoadedPlan --decide, wouldBe, resolvable, usableAddress--> answers
 *                                                             \--kernelTables--> rows and tables for the datapath
 */
export {
  and,
  andNot,
  type Bitmap,
  bitIndices,
  bitmapOf,
  clearBit,
  decodeBitmap,
  type EncodedBitmap,
  emptyBitmap,
  encodeBitmap,
  equalBitmaps,
  firstBit,
  hasBit,
  intersects,
  or,
  setBit,
  wordsFor,
} from './bitmap.ts';
export { decide, liftsDenials } from './decide.ts';
export { diffPlans, type PlanDiff, type RuleChange, type RulePlace } from './diff.ts';
export { canonicalJson, planDigestText } from './digest.ts';
export {
  destinationFlag,
  type KernelAgent,
  type KernelPrefix,
  type KernelProperties,
  type KernelTables,
  kernelName,
  kernelTables,
  ruleFlag,
} from './kernel-tables.ts';
export {
  type AgentAddress,
  activeAt,
  agentOf,
  classifyName,
  classifyNames,
  type LoadedDestinationClass,
  type LoadedPlan,
  loadPlan,
} from './load.ts';
export { buildLpm, type Lpm } from './lpm.ts';
export type {
  DestinationKind,
  DnsMode,
  Plan,
  PlanAgent,
  PlanAgentClass,
  PlanDestination,
  PlanDestinationClass,
  PlanEpoch,
  PlanPortRange,
  PlanPorts,
  PlanProperties,
  PlanRule,
  PlanSchedule,
  PlanWeb,
} from './model.ts';
export type { NameClass, NameSetClass } from './name-classes.ts';
export { propertiesOf } from './properties.ts';
export { type Reach, type Reachable, type ReachedPorts, reachable } from './reach.ts';
export { type Recorded, type Revisited, revisit, wouldBe } from './recorded.ts';
export { isReservedDestination, resolvable, usableAddress } from './resolution.ts';
export type { RulePrefixes } from './rule-prefixes.ts';
export { validatePlan } from './validate.ts';
