/**
 * compiler: a policy over an inventory in, a plan out. Pure and deterministic: the same input gives the same bytes, whatever the clock, the
 * machine or the order in which groups were written.
 * Not here: what a plan means (plan), how policy is read and checked (policy), how addresses become known (the caller).
 *
 *     groups --> prefixes --> destination classes \
 *     workloads ------------> agent classes        > one bitmap over all rules for each class
 *     ports ----------------> port classes        /
 *     schedules, expiries --> epochs, 48 hours ahead
 */
export { type CompileContext, type Compiled, compile } from './compile.ts';
export type { CompileDiagnostic } from './diagnostic.ts';
