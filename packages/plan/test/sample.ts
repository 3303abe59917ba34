import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import { type LoadedPlan, loadPlan, type Plan } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet } from '@cofferdam/policy';
import { contextOf, wednesdayMorning } from '@cofferdam/testkit';

export const digest = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

export const planOf = (policy: PolicySet, context: Partial<EvaluationContext> = {}): Plan =>
  compile(policy, { ...contextOf(policy, context), at: wednesdayMorning, revision: 7, digest }).plan;

export const loaded = (policy: PolicySet, context: Partial<EvaluationContext> = {}): LoadedPlan =>
  loadPlan(planOf(policy, context));
