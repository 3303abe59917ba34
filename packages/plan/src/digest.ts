import type { Plan } from './model.ts';

/** JSON with the keys of every object in order and nothing between tokens: equal values have equal texts. `undefined` members are left out. */
export const canonicalJson = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const record = value as Readonly<Record<string, unknown>>;
  const members = Object.keys(record)
    .filter((key) => record[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(record[key])}`);
  return `{${members.join(',')}}`;
};

/** What `hash` of a plan is the digest of: all of it but the hash. */
export const planDigestText = (plan: Omit<Plan, 'hash'>): string => canonicalJson({ ...plan, hash: undefined });
