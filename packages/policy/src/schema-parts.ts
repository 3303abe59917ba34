import { type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox';

/** Parts that the schemas of several kinds share. Text is checked further where it is built; patterns here serve editors. */

export const apiVersion = 'cofferdam.dev/v1';

export const namePattern = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';
export const workloadNamePattern = '^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$';

/** An object that takes no other keys: a key that is not understood might have been meant to restrict something. */
export const closed = <T extends TProperties>(
  properties: T,
  options: { description?: string; minProperties?: number } = {},
) => Type.Object(properties, { additionalProperties: false, ...options });

/** One of a few words. */
export const word = <const T extends readonly string[]>(words: T, options: { description: string; default?: string }) =>
  Type.Union(
    words.map((each) => Type.Literal(each)),
    options,
  );

/** A list that names at least one item, and none twice. */
export const some = <T extends TSchema>(item: T, description: string) =>
  Type.Array(item, { minItems: 1, uniqueItems: true, description });

export const name = (description: string) => Type.String({ minLength: 1, pattern: namePattern, description });
export const workloadName = (description: string) =>
  Type.String({ minLength: 1, pattern: workloadNamePattern, description });
export const text = (description: string) => Type.String({ minLength: 1, description });

/** Labels or tags that must all be there. */
export const someLabels = (description: string) =>
  Type.Record(Type.String(), Type.String(), { minProperties: 1, description });
/** Labels or tags that a workload has. */
export const labels = (description: string) => Type.Record(Type.String(), Type.String(), { description, default: {} });

/** A whole document. */
export const document = <T extends TSchema>(
  kind: string,
  description: string,
  spec: T,
  metadata: TProperties = {},
): TObject =>
  Type.Object(
    {
      apiVersion: Type.Literal(apiVersion, { description: 'The version of the language.' }),
      kind: Type.Literal(kind, { description: 'What this document defines.' }),
      metadata: closed(
        { name: name('Unique among documents of this kind.'), ...metadata },
        { description: 'Who this is.' },
      ),
      spec,
    },
    { additionalProperties: false, title: kind, description },
  );
