import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { formatDiagnostics, parsePolicy } from '../src/index.ts';

const folder = new URL('../../../examples/', import.meta.url);

for (const name of readdirSync(folder).filter((each) => each.endsWith('.yaml'))) {
  test(`examples/${name} is valid and draws no warning`, () => {
    const { policy, diagnostics } = parsePolicy([{ file: name, text: readFileSync(new URL(name, folder), 'utf8') }]);
    assert.equal(formatDiagnostics(diagnostics, { format: 'text' }), '');
    assert.ok(policy);
  });
}
