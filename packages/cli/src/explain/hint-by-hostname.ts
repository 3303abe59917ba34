import type { Hint } from '@cofferdam/flows';
import type { DomainName } from '@cofferdam/net';

type RuleHint = Extract<Hint, { readonly kind: 'rule' }>;

/** A suggestion by `web`, made one by `hostname` in `to`: for protocols in which no client claims a name. */
export const byHostname = (suggested: RuleHint, name: DomainName): RuleHint => {
  const group = JSON.stringify(name.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, ''));
  const lines = suggested.rule
    .split('\n')
    .filter((line) => !line.startsWith('  web:'))
    .map((line) => (line.startsWith('  to:') ? `  to: [${group}]` : line));
  return {
    ...suggested,
    documents: `apiVersion: cofferdam.dev/v1\nkind: SmartGroup\nmetadata: { name: ${group} }\nspec: { any: [{ hostname: ${JSON.stringify(name)} }] }\n`,
    rule: lines.join('\n'),
  };
};
