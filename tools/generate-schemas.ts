/**
 * Writes the JSON Schemas of policy documents, for editors and other checkers: one per kind and one for any of them.
 * The TypeBox definitions in `packages/policy/src/schema*.ts` are the source. `--check` writes nothing and fails where a file is stale.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { schemaFiles } from '@cofferdam/policy';

const folder = new URL('../schemas/', import.meta.url);
const check = process.argv.includes('--check');

mkdirSync(folder, { recursive: true });
for (const [name, text] of schemaFiles()) {
  const file = new URL(name, folder);
  if (!check) {
    writeFileSync(file, text);
    continue;
  }
  if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write(`schemas/${name} is stale: run node tools/generate-schemas.ts\n`);
    process.exitCode = 1;
  }
}
