import { type Lint, showRule } from './lint.ts';
import type { Rule } from './model.ts';
import { GroupScopes, webCovers } from './scope-groups.ts';
import { isEmptyScope, type PortScope, portScopeCovers, portScopeOf, portScopesOverlap } from './scope-ports.ts';

/** A rule in the order of the walk, with what it can match worked out once. */
interface Placed {
  readonly rule: Rule;
  readonly ports: PortScope;
}

/** Above this many different `from` groups only equal names are taken for covering. */
const mostGroupsCompared = 500;

/** Warnings about rules before and after each other. */
export const lintOrder = (lint: Lint): void => {
  const { policy, now } = lint;
  const placed: Placed[] = [];
  for (const rule of policy.rulesets.flatMap((ruleset) => ruleset.rules)) {
    if (rule.mode === 'disabled' || (now !== undefined && rule.expires !== undefined && rule.expires <= now)) continue;
    placed.push({ rule, ports: portScopeOf(rule) });
  }
  const scopes = new GroupScopes(policy);
  const budget = { left: lint.limits.comparisons };
  warnOfCovered(lint, placed, scopes, budget);
  warnOfEvadable(lint, placed, scopes, budget);
  const last = placed.at(-1)?.rule;
  if (budget.left <= 0 && last !== undefined) {
    lint.warn(
      'lint-incomplete',
      last,
      'name',
      `${placed.length} rules are too many to compare each with each`,
      'split rulesets by agent',
    );
  }
};

const warnOfCovered = (lint: Lint, placed: readonly Placed[], scopes: GroupScopes, budget: { left: number }): void => {
  /** Enforced rules so far, by each group of their `from`. */
  const byFrom = new Map<string, Placed[]>();
  for (const inner of placed) {
    const { rule } = inner;
    const outer = isEmptyScope(inner.ports) ? undefined : findCovering(lint, inner, byFrom, scopes, budget);
    if (outer !== undefined) {
      const same = outer.action === rule.action;
      const message = `\`${rule.name}\` ${same ? 'adds nothing' : 'can never decide'}: ${showRule(outer)} before it matches all that it matches`;
      const help = same ? 'remove it, or move it up' : 'move it up, narrow the other, or remove it';
      lint.warn(same ? 'rule-redundant' : 'rule-shadowed', rule, 'name', message, help);
    }
    if (rule.mode !== 'enforce') continue;
    for (const name of rule.from) {
      const list = byFrom.get(name);
      if (list === undefined) byFrom.set(name, [inner]);
      else list.push(inner);
    }
  }
};

const findCovering = (
  { policy }: Lint,
  inner: Placed,
  byFrom: ReadonlyMap<string, readonly Placed[]>,
  scopes: GroupScopes,
  budget: { left: number },
): Rule | undefined => {
  const first = inner.rule.from[0]!;
  const names =
    byFrom.size > mostGroupsCompared
      ? [first, 'anywhere']
      : [...byFrom.keys()].filter((name) => scopes.covers(name, first, 'from'));
  for (const name of names) {
    for (const { rule: outer, ports } of byFrom.get(name) ?? []) {
      if (budget.left-- <= 0) return undefined;
      if (
        portScopeCovers(ports, inner.ports) &&
        conditionsCover(outer, inner.rule) &&
        scopes.allCover(outer.to, inner.rule.to, 'to') &&
        scopes.allCover(outer.from, inner.rule.from, 'from') &&
        webCovers(policy, outer, inner.rule)
      ) {
        return outer;
      }
    }
  }
  return undefined;
};

/** Time, TLS and requests: where `inner` matches, `outer` does too. */
const conditionsCover = (outer: Rule, inner: Rule): boolean => {
  if (outer.tls !== 'either' && outer.tls !== inner.tls) return false;
  if (outer.expires !== undefined && (inner.expires === undefined || inner.expires > outer.expires)) return false;
  if (outer.schedule !== undefined && JSON.stringify(outer.schedule) !== JSON.stringify(inner.schedule)) return false;
  // A deny that reads requests also matches what is no request at all; a permit does not.
  if ((outer.http ?? outer.mcp) !== undefined && outer.action === 'permit' && inner.action === 'deny') return false;
  if (outer.http !== undefined) {
    if (inner.http === undefined) return false;
    if (!listCovers(outer.http.methods, inner.http.methods)) return false;
    if (
      !listCovers(
        outer.http.paths?.map((path) => path.text),
        inner.http.paths?.map((path) => path.text),
      )
    )
      return false;
  }
  if (outer.mcp === undefined) return true;
  if (inner.mcp === undefined) return false;
  return listCovers(outer.mcp.methods, inner.mcp.methods) && listCovers(outer.mcp.tools, inner.mcp.tools);
};

const listCovers = (outer: readonly string[] | undefined, inner: readonly string[] | undefined): boolean =>
  outer === undefined || (inner?.every((each) => outer.includes(each)) ?? false);

/**
 * A deny that looks at what the client says, and a later permit of the same destinations that does not. What the client
 * says it can change: another SNI, or no TLS.
 */
const warnOfEvadable = (lint: Lint, placed: readonly Placed[], scopes: GroupScopes, budget: { left: number }): void => {
  for (const [index, { rule: deny, ports }] of placed.entries()) {
    if (deny.action !== 'deny' || deny.mode !== 'enforce') continue;
    const byName = deny.web !== undefined && !deny.web.includes('any-web');
    const byTls = deny.tls !== 'either' && (deny.http ?? deny.mcp) !== undefined;
    if (!byName && !byTls) continue;
    for (const { rule: permit, ports: permitted } of placed.slice(index + 1)) {
      if (budget.left-- <= 0) return;
      if (permit.action !== 'permit' || permit.mode !== 'enforce' || permit.web !== undefined) continue;
      const steps = byName || permit.tls !== deny.tls;
      if (!steps || !portScopesOverlap(ports, permitted) || !scopes.overlap(deny.from, permit.from, 'from')) continue;
      const broad = permit.to.includes('anywhere') || permit.to.includes('public-internet');
      if (!broad && !scopes.allCover(permit.to, deny.to, 'to')) continue;
      const how = byName ? 'asking for another name' : deny.tls === 'required' ? 'leaving TLS out' : 'using TLS';
      const message = `\`${deny.name}\` can be stepped around by ${how}: ${showRule(permit)} permits the rest`;
      const help = byName
        ? 'permit by name: add `web` to the permit'
        : 'remove `tls` from the deny, or write it on the permit too';
      lint.warn('deny-evadable', deny, 'name', message, help);
      break;
    }
  }
};
