import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { formatDiagnostics, type PolicySet, parsePolicy, printPolicy } from '../src/index.ts';
import { policyDocuments } from './generator.ts';
import { seed } from './seed.ts';

const parse = (text: string): PolicySet => {
  const { policy, diagnostics } = parsePolicy([{ file: 'p.yaml', text }]);
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  assert.ok(policy, `${formatDiagnostics(errors, { format: 'text' })}\n${text}`);
  return policy;
};

/** A set without locations, which say where something was written and nothing of what. */
const withoutLocations = (value: unknown): unknown => {
  if (value instanceof Map) return [...value].map(withoutLocations);
  if (Array.isArray(value)) return value.map(withoutLocations);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, each]) => (key === 'location' ? [] : [[key, withoutLocations(each)]])),
  );
};

test('print then parse is identity', () => {
  fc.assert(
    fc.property(policyDocuments, (documents) => {
      const policy = parse(documents.map((each) => stringify(each)).join('---\n'));
      const printed = printPolicy(policy);
      assert.deepEqual(withoutLocations(parse(printed)), withoutLocations(policy));
      assert.equal(printPolicy(parse(printed)), printed);
    }),
    { seed, numRuns: 200 },
  );
});

test('the examples survive printing', () => {
  const folder = new URL('../../../examples/', import.meta.url);
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.yaml'))) {
    const policy = parse(readFileSync(new URL(name, folder), 'utf8'));
    assert.deepEqual(withoutLocations(parse(printPolicy(policy))), withoutLocations(policy));
  }
});
