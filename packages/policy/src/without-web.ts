import type { PolicySet, Rule } from './model.ts';

/**
 * Whether a rule permits TCP to the whole internet whatever the name: `web` was forgotten. Such a rule makes no name
 * resolvable either, since a name is resolved only where a permit names it.
 */
export const permitsEveryName = (policy: PolicySet, rule: Rule): boolean => {
  if (rule.action !== 'permit' || rule.web !== undefined) return false;
  if (rule.protocol !== 'tcp' && rule.protocol !== 'any') return false;
  return rule.to.some(
    (name) =>
      name === 'anywhere' ||
      name === 'public-internet' ||
      (policy.smartGroups.get(name)?.any.some((each) => each.kind === 'cidr' && each.prefix.length === 0) ?? false),
  );
};
