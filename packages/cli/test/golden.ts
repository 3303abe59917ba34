import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

/** Compares with a file of test/golden. `UPDATE_GOLDEN=1` writes it anew: read what changed before you keep it. */
export const assertGolden = (name: string, text: string): void => {
  const file = new URL(`./golden/${name}`, import.meta.url);
  if (process.env.UPDATE_GOLDEN !== undefined) writeFileSync(file, text);
  assert.equal(text, readFileSync(file, 'utf8'));
};
