import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { compile } from '@cofferdam/compiler';
import { type DnsMode, decide, kernelTables, loadPlan } from '@cofferdam/plan';
import type { PolicySet, Rule } from '@cofferdam/policy';
import { arbitraryScenarios } from '@cofferdam/testkit';
import { type Facts, unknown } from '@cofferdam/verdict';
import * as fc from 'fast-check';
import { kernelModel } from './kernel-model.ts';

/**
 * What the kernel does with its tables against what `decide` says: every fact that the kernel reads, none that the proxy reads. So the tables
 * hold all that deciding in the kernel needs, and the algorithm written above `KernelTables` is right.
 */

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const digest = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

/** Names that an address can have in the kernel: in own mode only the proxy gives it one. */
const mostNames = { synthetic: 1, track: Number.POSITIVE_INFINITY, own: 0 } as const;

/** The flow as the kernel sees it; a flow of the proxy is seen at its first packet alone. */
const inKernel = (dnsMode: DnsMode, { path, ...seen }: Facts): Facts => {
  const facts = { ...seen, addressNames: seen.addressNames.slice(0, mostNames[dnsMode]) };
  return path === 'proxy'
    ? { ...facts, tls: unknown, claimedName: unknown, plainHttpSeen: false, request: unknown, mcp: unknown }
    : { ...facts, ...(path === undefined ? {} : { path }), request: unknown, mcp: unknown };
};

/** Disabled rules in front of the others, so that these stand in other words of the rows, or on both sides of an edge. */
const padded = (policy: PolicySet, count: number): PolicySet => ({
  ...policy,
  rulesets: policy.rulesets.map((ruleset) => ({
    ...ruleset,
    rules: ruleset.rules.flatMap((rule) => [
      ...Array.from({ length: count }, (): Rule => ({ ...rule, mode: 'disabled' })),
      rule,
    ]),
  })),
});

test('the kernel decides over its tables what the plan decides', () => {
  const scenarios = arbitraryScenarios({ flows: 10 });
  fc.assert(
    fc.property(scenarios, fc.constantFrom(0, 0, 31, 63), ({ policy, context, at, flows }, padding) => {
      const loaded = loadPlan(compile(padded(policy, padding), { ...context, at, revision: 1, digest }).plan);
      const tables = kernelTables(loaded);
      for (const facts of flows.flat().map((one) => inKernel(context.dnsMode, one))) {
        assert.deepStrictEqual(kernelModel(tables, loaded, facts), decide(loaded, facts));
      }
    }),
    { seed, numRuns: 1500 },
  );
});

test('a summary says which words of its row are not zero', () => {
  fc.assert(
    fc.property(arbitraryScenarios({ flows: 1 }), ({ policy, context, at }) => {
      const tables = kernelTables(loadPlan(compile(policy, { ...context, at, revision: 1, digest }).plan));
      for (let row = 0; row < tables.rowCount; row++) {
        for (let word = 0; word < tables.words; word++) {
          const at = 2 * (row * tables.words + word);
          const filled = (tables.rows[at]! | tables.rows[at + 1]!) !== 0;
          const summary = tables.summaries[2 * row * tables.summaryWords + (word >>> 5)]!;
          assert.equal(((summary >>> (word & 31)) & 1) === 1, filled);
        }
      }
    }),
    { seed, numRuns: 50 },
  );
});
