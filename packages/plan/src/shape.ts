/** Says what is wrong with a value read from outside, at which path; undefined where nothing is. */
export type Shape = (value: unknown, path: string) => string | undefined;

export const text =
  (longest: number): Shape =>
  (value, path) =>
    typeof value === 'string' && value.length <= longest
      ? undefined
      : `${path} is not a text of at most ${longest} characters`;

export const integer =
  (least: number, most: number): Shape =>
  (value, path) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most
      ? undefined
      : `${path} is not a whole number from ${least} to ${most}`;

export const flag: Shape = (value, path) =>
  typeof value === 'boolean' ? undefined : `${path} is neither true nor false`;

export const oneOf =
  (...choices: readonly string[]): Shape =>
  (value, path) =>
    typeof value === 'string' && choices.includes(value) ? undefined : `${path} is not one of ${choices.join(', ')}`;

export const list =
  (item: Shape, most: number): Shape =>
  (value, path) => {
    if (!Array.isArray(value) || value.length > most) return `${path} is not a list of at most ${most}`;
    for (const [i, one] of value.entries()) {
      const wrong = item(one, `${path}[${i}]`);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };

/** A list of exactly these. */
export const tuple =
  (...items: readonly Shape[]): Shape =>
  (value, path) => {
    if (!Array.isArray(value) || value.length !== items.length) return `${path} is not a list of ${items.length}`;
    for (const [i, item] of items.entries()) {
      const wrong = item(value[i], `${path}[${i}]`);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };

/** An object with all of `required`, any of `optional`, and nothing else: what is not understood might have been a restriction. */
export const record =
  (required: Readonly<Record<string, Shape>>, optional: Readonly<Record<string, Shape>> = {}): Shape =>
  (value, path) => {
    if (!isObject(value)) return `${path} is not an object`;
    for (const key of Object.keys(value)) {
      if (!Object.hasOwn(required, key) && !Object.hasOwn(optional, key))
        return `${path} has the unknown key \`${key.slice(0, 100)}\``;
    }
    for (const [key, shape] of Object.entries(required)) {
      if (!Object.hasOwn(value, key)) return `${path}.${key} is missing`;
      const wrong = shape(value[key], `${path}.${key}`);
      if (wrong !== undefined) return wrong;
    }
    for (const [key, shape] of Object.entries(optional)) {
      const wrong = Object.hasOwn(value, key) ? shape(value[key], `${path}.${key}`) : undefined;
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };

/** An object with any keys. */
export const dictionary =
  (item: Shape, most: number): Shape =>
  (value, path) => {
    if (!isObject(value)) return `${path} is not an object`;
    const entries = Object.entries(value);
    if (entries.length > most) return `${path} has more than ${most} entries`;
    for (const [key, one] of entries) {
      const wrong = item(key, `a key of ${path}`) ?? item(one, `${path}.${key.slice(0, 100)}`);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
