import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Value } from '@sinclair/typebox/value';
import { Problems } from '../src/diagnostic.ts';
import { parsePolicy, policySchema, schemaFiles } from '../src/index.ts';
import { defaultLimits } from '../src/limits.ts';
import { makeSource } from '../src/source.ts';
import { plainValue } from '../src/tree.ts';
import { readDocuments } from '../src/yaml-documents.ts';

test('the files in schemas/ are what the definitions say; else run node tools/generate-schemas.ts', () => {
  const folder = new URL('../../../schemas/', import.meta.url);
  for (const [name, text] of schemaFiles()) assert.equal(readFileSync(new URL(name, folder), 'utf8'), text, name);
  assert.deepEqual(readdirSync(folder).sort(), [...schemaFiles().keys()].sort());
});

test('every property of a schema that holds a value is described', () => {
  const walk = (schema: unknown, path: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'properties' && typeof value === 'object' && value !== null) {
        for (const [name, property] of Object.entries(value)) {
          const shape = property as { description?: string; type?: string; anyOf?: unknown };
          const isStructure = shape.type === 'object' || (shape.anyOf !== undefined && shape.description === undefined);
          assert.ok(isStructure || shape.description, `${path}.${name} has no description`);
        }
      }
      walk(value, `${path}.${key}`);
    }
  };
  walk(policySchema, '$');
});

/** Values are judged further than a schema can, so the schema may take what the parser refuses, never the reverse. */
test('what the parser accepts, the schema accepts; what the schema refuses, the parser refuses', () => {
  const folders = [new URL('./golden/', import.meta.url), new URL('../../../examples/', import.meta.url)];
  for (const folder of folders) {
    for (const name of readdirSync(folder).filter((each) => each.endsWith('.yaml'))) {
      const text = readFileSync(new URL(name, folder), 'utf8');
      const { policy } = parsePolicy([{ file: name, text }]);
      const { documents } = readDocuments(makeSource(name, text), defaultLimits, new Problems(1000));
      const fits = documents.every(({ root }) => Value.Check(policySchema, plainValue(root)));
      if (policy !== undefined) assert.ok(fits, `${name} is accepted and does not fit the schema`);
    }
  }
});
