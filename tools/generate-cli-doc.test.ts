import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cliDocument } from './generate-cli-doc.ts';

test('docs/cli.md is what the command table says', async () => {
  const written = readFileSync(new URL('../docs/cli.md', import.meta.url), 'utf8');
  assert.equal(await cliDocument(), written, 'run `node tools/generate-cli-doc.ts`');
});
