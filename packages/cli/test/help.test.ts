import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { commandNames } from '../src/command-table.ts';
import { topics } from '../src/help/topics.ts';
import { cofferdam } from './cofferdam.ts';
import { assertGolden } from './golden.ts';

test('no code means two things, and none is a command', () => {
  const words = [...commandNames, 'codes', ...topics.map(({ code }) => code)];
  assert.equal(new Set(words).size, words.length);
});

test('a reason: what happened, what to do, an example', () => {
  const { code, out } = cofferdam(['help', 'dns-not-permitted']);
  assert.equal(code, 0);
  assertGolden('help-reason.txt', out);
});

test('a diagnostic', () => {
  const { code, out } = cofferdam(['help', 'request-needs-opening']);
  assert.equal(code, 0);
  assertGolden('help-diagnostic.txt', out);
});

test('every code has its page', () => {
  const all = JSON.parse(cofferdam(['help', 'codes', '--json']).out) as typeof topics;
  assert.deepEqual(all, topics);
  for (const { code, title, explanation } of topics) {
    assert.match(code, /^[a-z0-9]+(-[a-z0-9]+)*$/);
    assert.ok(title !== '' && explanation !== '', code);
  }
  const { out } = cofferdam(['help', 'codes']);
  for (const { code } of topics) assert.ok(out.includes(`  ${code}`), code);
});

interface Described {
  readonly name: string;
  readonly options: readonly {
    readonly name: string;
    readonly short?: string;
    readonly value?: string;
    readonly repeatable: boolean;
  }[];
}

test('commands, for programs', () => {
  const all = JSON.parse(cofferdam(['help', '--json']).out) as readonly Described[];
  assert.deepEqual(
    all.map(({ name }) => name),
    commandNames,
  );
  const flows = JSON.parse(cofferdam(['help', 'flows', '--json']).out) as Described;
  assert.deepEqual(
    flows,
    all.find(({ name }) => name === 'flows'),
  );
  const follow = flows.options.find(({ name }) => name === '--follow');
  assert.deepEqual([follow?.short, follow?.value, follow?.repeatable], ['-f', undefined, false]);
});

test('a command', () => {
  assert.equal(cofferdam(['help', 'validate']).out, cofferdam(['validate', '--help']).out);
});

test('schemas are those of the folder', () => {
  for (const [kind, file] of [
    ['SmartGroup', 'smart-group'],
    ['policy', 'policy'],
    ['ruleset', 'ruleset'],
  ] as const) {
    const written = readFileSync(new URL(`../../../schemas/${file}.schema.json`, import.meta.url), 'utf8');
    assert.equal(cofferdam(['schema', kind]).out, written);
  }
});
