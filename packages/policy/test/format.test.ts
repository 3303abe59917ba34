import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDiagnostics, parsePolicy } from '../src/index.ts';

const found = (text: string, file = 'dir/a policy.yaml') => parsePolicy([{ file, text }]).diagnostics;
const bad = 'apiVersion: cofferdam.dev/v1\nkind: WebGroup\nmetadata: { name: site }\nspec:\n  domains: ["*.com"]\n';

test('text shows place, line, caret and help', () => {
  assert.match(
    formatDiagnostics(found(bad), { format: 'text' }),
    /^dir\/a policy\.yaml:5:13: error\[pattern-public-suffix\]: .*\n {2}5 \| {3}domains: \["\*\.com"\]\n {4}\| {13}\^{7}\nhelp: .*\n\n1 error\n$/,
  );
});

test('colour only where it is asked for', () => {
  assert.ok(!formatDiagnostics(found(bad), { format: 'text' }).includes('\u001b'));
  assert.ok(formatDiagnostics(found(bad), { format: 'text', color: true }).includes('\u001b[1;31merror['));
});

test('what a file holds does not steer the terminal', () => {
  const text = formatDiagnostics(found(`kind: "\\e[2J"\n# \u001b]0;title\u0007 \u202e\n`, 'a\u001b[2Jb'), {
    format: 'text',
  });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be there
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u202e]/);
});

test('a long line is cut around what was found', () => {
  const text = formatDiagnostics(
    found(bad.replace('"*.com"', `${Array.from({ length: 300 }, (_, i) => `a${i}.example.com, `).join('')}"*.com"`)),
    {
      format: 'text',
    },
  );
  const [source, caret] = text.split('\n').filter((line) => line.includes(' | '));
  assert.ok(source!.length < 140);
  assert.equal(source!.slice(caret!.indexOf('^'), caret!.lastIndexOf('^') + 1), '"*.com"');
});

test('nothing found is no text', () => assert.equal(formatDiagnostics([], { format: 'text' }), ''));

test('json is the diagnostics', () => {
  const [one] = JSON.parse(formatDiagnostics(found(bad), { format: 'json' }));
  assert.deepEqual(
    [one.severity, one.code, one.line, one.column, one.endColumn, one.path, one.text],
    ['error', 'pattern-public-suffix', 5, 13, 20, '$.spec.domains[0]', '"*.com"'],
  );
});

test('sarif 2.1.0 has what the standard requires', () => {
  const log = JSON.parse(formatDiagnostics(found(bad), { format: 'sarif' }));
  assert.equal(log.version, '2.1.0');
  const [run] = log.runs;
  assert.equal(run.tool.driver.name, 'cofferdam');
  assert.equal(run.columnKind, 'utf16CodeUnits');
  for (const result of run.results) {
    assert.equal(run.tool.driver.rules[result.ruleIndex].id, result.ruleId);
    assert.ok(['error', 'warning'].includes(result.level));
    assert.ok(result.message.text.length > 0);
    const { artifactLocation, region } = result.locations[0].physicalLocation;
    assert.equal(artifactLocation.uri, 'dir/a%20policy.yaml');
    assert.ok(region.startLine >= 1 && region.startColumn >= 1 && region.endLine >= region.startLine);
  }
  assert.deepEqual(JSON.parse(formatDiagnostics([], { format: 'sarif' })).runs[0].results, []);
});
