import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDiagnostics, parsePolicy } from '../src/index.ts';
import { seed } from './seed.ts';

const example = readFileSync(new URL('../../../examples/coding-agent.yaml', import.meta.url), 'utf8');
const small = readFileSync(new URL('./golden/invalid-name.yaml', import.meta.url), 'utf8');

/** Never throws, keeps its promise, and what it says can be shown. */
const survives = (text: string): void => {
  const { policy, diagnostics } = parsePolicy([{ file: 'x.yaml', text }], { now: 0 });
  assert.equal(
    policy === undefined,
    diagnostics.some(({ severity }) => severity === 'error'),
  );
  for (const { line, column, endLine, endColumn } of diagnostics) {
    assert.ok(line >= 1 && column >= 1 && (endLine > line || (endLine === line && endColumn >= column)));
  }
  for (const format of ['text', 'json', 'sarif'] as const)
    assert.equal(typeof formatDiagnostics(diagnostics, { format }), 'string');
};

for (const [what, text] of [
  ['brackets', '['.repeat(100_000)],
  ['maps in maps', '{a: '.repeat(50_000)],
  ['lists in lists', '- '.repeat(100_000)],
  ['explicit keys', '? '.repeat(100_000)],
  ['compact maps', 'a: '.repeat(100_000)],
  ['anchors', '&a '.repeat(50_000)],
  ['tags', '!a '.repeat(50_000)],
  ['equal keys', `{${'a,'.repeat(50_000)}}`],
  ['documents', '---\n'.repeat(50_000)],
  ['directives', '%a\n'.repeat(50_000)],
  ['open quotes', '"\n'.repeat(50_000)],
  ['newlines', '\n'.repeat(200_000)],
  [
    'laughing aliases',
    `a: &a [x]\n${Array.from({ length: 20 }, (_, i) => `b${i}: &b${i} [${'*a,'.repeat(9)}]`).join('\n')}`,
  ],
  [
    'a list of unknown groups',
    `apiVersion: cofferdam.dev/v1\nkind: Ruleset\nmetadata: {name: x}\nspec: {rules: [{name: a, action: deny, protocol: any, from: [${Array.from({ length: 20_000 }, (_, i) => `g${i}`)}], to: [anywhere]}]}`,
  ],
] as const) {
  test(`a file of ${what}`, () => survives(text));
}

test('every truncation of a file', () => {
  for (let length = 0; length <= small.length; length++) survives(small.slice(0, length));
  for (let length = 0; length <= example.length; length += 7) survives(example.slice(0, length));
});

test('files with characters replaced, inserted or deleted', () => {
  const sign = fc.constantFrom(
    ...':-[]{}#&*!|>\'"%@`,?\n\t \0\u202e9a',
    '---\n',
    '<<',
    '*a',
    '&a ',
    '\ud800',
    '**.',
    '!!js ',
  );
  const edit = fc.tuple(fc.nat(small.length), fc.nat(8), sign);
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
      survives(edits.reduce((text, [at, length, put]) => text.slice(0, at) + put + text.slice(at + length), small));
    }),
    { seed, numRuns: 400 },
  );
});

test('arbitrary text', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), survives), { seed, numRuns: 400 });
});
