import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  type DiagnosticCode,
  diagnosticTable,
  formatDiagnostics,
  type ParseOptions,
  parsePolicy,
} from '../src/index.ts';

/**
 * Each `golden/NAME.yaml` has its diagnostics beside it in `golden/NAME.expected`. A first line `# options: {…}` gives
 * parse options. COFFERDAM_UPDATE=1 writes what is missing or differs; read the difference before keeping it.
 */
const folder = new URL('./golden/', import.meta.url);
const now = Date.parse('2027-01-01T00:00:00Z');
const produced = new Set<DiagnosticCode>();

const names = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .sort();

for (const name of names) {
  test(`golden ${name}`, () => {
    const text = readFileSync(new URL(name, folder), 'utf8');
    const options: ParseOptions = JSON.parse(/^# options: (.*)/.exec(text)?.[1] ?? '{}');
    const { policy, diagnostics } = parsePolicy([{ file: name, text }], { now, ...options });
    for (const { code } of diagnostics) produced.add(code);
    assert.equal(
      policy === undefined,
      diagnostics.some(({ severity }) => severity === 'error'),
    );
    const shown = formatDiagnostics(diagnostics, { format: 'text' });
    const expected = new URL(name.replace(/yaml$/, 'expected'), folder);
    if (process.env.COFFERDAM_UPDATE === '1') writeFileSync(expected, shown);
    assert.equal(shown, readFileSync(expected, 'utf8'));
  });
}

test('a golden case is named for each code and produces it', () => {
  for (const { code } of diagnosticTable) {
    assert.ok(names.includes(`${code}.yaml`), `no golden/${code}.yaml`);
    assert.ok(
      readFileSync(new URL(`${code}.expected`, folder), 'utf8').includes(`[${code}]`),
      `golden/${code}.yaml does not produce it`,
    );
    assert.ok(produced.has(code));
  }
});
