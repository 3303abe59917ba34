import { createHash } from 'node:crypto';
import { type CompileContext, type Compiled, compile } from '@cofferdam/compiler';
import type { PolicySet } from '@cofferdam/policy';
import { contextOf, wednesdayMorning } from '@cofferdam/testkit';

export const digest = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

/** Compiled on a Wednesday morning, as revision 1, unless `context` says otherwise. */
export const compiled = (policy: PolicySet, context: Partial<CompileContext> = {}): Compiled =>
  compile(policy, { ...contextOf(policy), at: wednesdayMorning, revision: 1, digest, ...context });

/** Codes and messages, in the order found. */
export const findings = ({ diagnostics }: Compiled): string[] =>
  diagnostics.map(({ severity, code, message }) => `${severity} ${code}: ${message}`);
