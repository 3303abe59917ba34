import type { Lint } from './lint.ts';
import type { Rule } from './model.ts';
import { namelessPorts, serverFirstPorts } from './nameless-ports.ts';
import { isEmptyScope, portScopeOf } from './scope-ports.ts';
import { child } from './tree.ts';

/** Whether a rule looks at what only TLS or HTTP tells. */
const asksForTlsOrRequest = ({ tls, http, mcp }: Rule): boolean =>
  tls === 'required' || http !== undefined || mcp !== undefined;

/** Whether `web` looks at the name that the client claims, since an address by itself stands for none. */
const needsClaim = ({ dnsMode }: Lint): boolean => dnsMode === 'track' || dnsMode === 'own';

export const warnOfServerFirst = (lint: Lint, rule: Rule): void => {
  if (rule.action !== 'permit' || !asksForTlsOrRequest(rule)) return;
  const { nodes, warnAt } = lint;
  const written = child(nodes.get(rule), 'ports');
  const help =
    needsClaim(lint) && rule.web !== undefined
      ? 'for this port write a rule with `hostname` in `to`, and without `web`, `tls`, `http` and `mcp`'
      : 'remove `tls`, `http` and `mcp` for this port and keep `web`';
  for (const [index, { first, last }] of (rule.ports ?? []).entries()) {
    if (first !== last || !serverFirstPorts.has(first)) continue;
    const node = written?.kind === 'list' ? written.items[index] : undefined;
    if (node === undefined) continue;
    const message = `on port ${first} the server speaks first, so \`${rule.name}\` never matches there`;
    warnAt('tls-not-first', node, message, help);
  }
};

/** The ports of a rule, where clients claim a name on none of them. Empty: on some they may. */
const onlyNameless = ({ ports = [] }: Rule): readonly number[] =>
  ports.every(({ first, last }) => first === last && namelessPorts.has(first)) ? ports.map(({ first }) => first) : [];

const byHostname = 'name the host by `hostname` in `to`, in a rule without `web`';

/** In `track` and `own`: permits whose `web` waits for a name that this protocol, or who speaks it, never claims. */
export const warnOfNameless = (lint: Lint, rule: Rule): void => {
  const { dnsMode, warn } = lint;
  if (!needsClaim(lint) || rule.action !== 'permit' || rule.web === undefined) return;
  const scope = portScopeOf(rule);
  // UDP port 443 alone: `udp-443-never-matches` says so.
  if (isEmptyScope(scope)) return;
  const say = (key: string, what: string, why: string, help: string): void => {
    const message = `\`${rule.name}\` ${what} in the DNS mode \`${dnsMode}\`: its \`web\` looks at the name that the client claims, and ${why}`;
    warn('name-never-claimed', rule, key, message, help);
  };
  if (scope.tcp.length === 0) {
    say('protocol', 'never matches', `${rule.protocol} carries none`, byHostname);
    return;
  }
  const nameless = asksForTlsOrRequest(rule) ? [] : onlyNameless(rule);
  if (nameless.length > 0) {
    const shown = nameless.map((port) => `${port} (${namelessPorts.get(port)})`).join(' and ');
    const mayBeTls = !nameless.some((port) => serverFirstPorts.has(port));
    const help = mayBeTls ? `${byHostname}; or write \`tls: required\` where clients begin with TLS` : byHostname;
    say('ports', 'never matches', `on port ${shown} clients claim none`, help);
    return;
  }
  const others = [...(scope.udp.length > 0 ? ['udp'] : []), ...(scope.icmp ? ['icmp'] : [])];
  if (others.length === 0) return;
  const why = `${others.join(' and ')} ${others.length === 1 ? 'carries' : 'carry'} none`;
  say('protocol', 'matches only tcp', why, `write \`protocol: tcp\`; for the rest ${byHostname}`);
};
