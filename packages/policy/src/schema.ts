import { type TSchema, Type } from '@sinclair/typebox';
import { smartGroupSchema, webGroupSchema } from './schema-groups.ts';
import { inventorySchema } from './schema-inventory.ts';
import { rulesetSchema } from './schema-ruleset.ts';

/** The kinds that this build enforces, with the schema of their documents. */
export const kindSchemas = {
  SmartGroup: smartGroupSchema,
  WebGroup: webGroupSchema,
  Ruleset: rulesetSchema,
  Inventory: inventorySchema,
} as const satisfies Record<string, TSchema>;

export type Kind = keyof typeof kindSchemas;
export const kinds = Object.keys(kindSchemas) as readonly Kind[];
export const isKind = (text: string): text is Kind => Object.hasOwn(kindSchemas, text);

/** Kinds of the language that this build knows and does not enforce; a document of one is refused. */
export const unsupportedKinds = ['TlsProfile', 'ExternalGroup', 'Budget', 'Classification', 'Assertion'] as const;

/** One JSON Schema that takes a document of any supported kind. */
export const policySchema = Type.Union([...Object.values(kindSchemas)], {
  title: 'Cofferdam policy document',
  description: 'One document of a policy file.',
});

const dialect = 'https://json-schema.org/draft/2020-12/schema';

/** JSON Schemas for editors: text by file name. */
export const schemaFiles = (): ReadonlyMap<string, string> => {
  const files = new Map<string, string>();
  const print = (schema: TSchema) => `${JSON.stringify({ $schema: dialect, ...schema }, null, 2)}\n`;
  for (const kind of kinds) {
    const file = `${kind.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()}.schema.json`;
    files.set(file, print(kindSchemas[kind]));
  }
  return files.set('policy.schema.json', print(policySchema));
};
