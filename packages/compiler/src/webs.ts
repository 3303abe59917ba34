import type { PlanWeb } from '@cofferdam/plan';
import type { PolicySet, Rule, WebGroup } from '@cofferdam/policy';

export interface CompiledWebs {
  readonly patterns: readonly string[];
  readonly urls: readonly string[];
  /** What WebGroups hold together. */
  readonly webOf: (groups: readonly string[]) => PlanWeb;
}

/** Numbers the distinct patterns of the WebGroups that rules name. A WebGroup that does not exist holds nothing. */
export const compileWebs = (policy: PolicySet, rules: readonly Rule[]): CompiledWebs => {
  const used = new Set(rules.flatMap(({ web, resolve }) => [...(web ?? []), ...(resolve ?? [])]));
  const groups = [...used].flatMap((name) => written(policy, name));
  const patterns = distinct(groups.flatMap(({ domains }) => domains.map(({ text }) => text)));
  const urls = distinct(groups.flatMap((group) => group.urls.map(({ text }) => text)));
  const patternIds = new Map(patterns.map((text, id) => [text, id]));
  const urlIds = new Map(urls.map((text, id) => [text, id]));
  const known = new Map<string, PlanWeb>();
  const webOf = (names: readonly string[]): PlanWeb => {
    const key = JSON.stringify(names);
    const before = known.get(key);
    if (before !== undefined) return before;
    const found = names.flatMap((name) => written(policy, name));
    const ids = (texts: readonly string[], of: ReadonlyMap<string, number>): number[] =>
      [...new Set(texts.map((text) => of.get(text)!))].sort((a, b) => a - b);
    const made: PlanWeb = {
      any: names.includes('any-web'),
      domains: ids(
        found.flatMap(({ domains }) => domains.map(({ text }) => text)),
        patternIds,
      ),
      urls: ids(
        found.flatMap((group) => group.urls.map(({ text }) => text)),
        urlIds,
      ),
    };
    known.set(key, made);
    return made;
  };
  return { patterns, urls, webOf };
};

const written = (policy: PolicySet, name: string): WebGroup[] => {
  const group = name === 'any-web' ? undefined : policy.webGroups.get(name);
  return group === undefined ? [] : [group];
};

const distinct = (texts: readonly string[]): string[] => [...new Set(texts)].sort();
