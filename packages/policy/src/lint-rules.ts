import { formatPrefix, prefixCovers, type ReservedRange, reservedRanges } from '@cofferdam/net';
import type { Lint } from './lint.ts';
import { warnOfNameless, warnOfServerFirst } from './lint-nameless.ts';
import type { Rule, Selector, WebGroup } from './model.ts';
import { holdsPort, listsAlone } from './scope-ports.ts';
import { permitsEveryName } from './without-web.ts';

/** Warnings about one rule by itself. */
export const lintRule = (lint: Lint, rule: Rule): void => {
  warnOfExpiry(lint, rule);
  if (!warnOfEverything(lint, rule)) warnOfEveryName(lint, rule);
  warnOfReserved(lint, rule);
  warnOfServerFirst(lint, rule);
  warnOfQuic(lint, rule);
  if (!warnOfNamesThatNeverMatch(lint, rule)) warnOfNameless(lint, rule);
  warnOfUnopened(lint, rule);
  warnOfScheme(lint, rule);
  warnOfTools(lint, rule);
  if (rule.action === 'deny' && rule.resolve !== undefined) {
    lint.warn('no-effect', rule, 'resolve', '`resolve` does nothing on a deny', 'remove it, or move it to a permit');
  }
};

const soon = 14 * 24 * 60 * 60 * 1000;

const warnOfExpiry = ({ now, warn }: Lint, rule: Rule): void => {
  if (now === undefined || rule.expires === undefined) return;
  const at = new Date(rule.expires).toISOString();
  if (rule.expires <= now) {
    warn(
      'rule-expired',
      rule,
      'expires',
      `\`${rule.name}\` expired at ${at}`,
      'remove the rule, or set a later instant',
    );
  } else if (rule.expires - now < soon) {
    warn(
      'rule-expires-soon',
      rule,
      'expires',
      `\`${rule.name}\` expires at ${at}`,
      'set a later instant if it is still wanted',
    );
  }
};

/** Every selector of the groups in `to`; a built-in group has none. */
const selectorsOf = ({ policy }: Lint, rule: Rule): readonly Selector[] =>
  rule.to.flatMap((name) => policy.smartGroups.get(name)?.any ?? []);

const warnOfEverything = (lint: Lint, rule: Rule): boolean => {
  if (rule.action !== 'permit' || rule.protocol === 'icmp') return false;
  if (rule.web ?? rule.ports ?? rule.http ?? rule.mcp ?? (rule.tls === 'either' ? undefined : rule.tls)) return false;
  const everywhere =
    rule.to.includes('anywhere') ||
    (rule.to.includes('public-internet') && rule.to.includes('private-networks')) ||
    selectorsOf(lint, rule).some((selector) => selector.kind === 'cidr' && selector.prefix.length === 0);
  if (!everywhere) return false;
  const message = `\`${rule.name}\` permits every address and port: these agents are not contained`;
  lint.warn('permit-everything', rule, 'to', message, 'name destinations, `web` groups and `ports`');
  return true;
};

/** The easiest mistake with the worst outcome: it reads like a narrow rule, and contains nothing on its ports. */
const warnOfEveryName = (lint: Lint, rule: Rule): void => {
  if (!permitsEveryName(lint.policy, rule)) return;
  const on = rule.ports === undefined ? 'on every port' : 'on these ports';
  const names = rule.resolve === undefined ? ', and makes no name resolvable' : '';
  const message = `\`${rule.name}\` permits every address of the internet ${on}${names}`;
  lint.warn('permit-without-web', rule, 'to', message, 'add `web` with the names that are meant, or narrow `to`');
};

/** Loopback, link-local and platform addresses are opened only by a prefix inside their range, which this is. */
const warnOfReserved = (lint: Lint, rule: Rule): void => {
  if (rule.action !== 'permit') return;
  for (const selector of selectorsOf(lint, rule)) {
    if (selector.kind !== 'cidr') continue;
    const range = reservedRanges
      .filter((each) => each.kind !== 'multicast' && each.kind !== 'broadcast')
      .filter((each) => prefixCovers(each.prefix, selector.prefix))
      .reduce<ReservedRange | undefined>((a, b) => (a && a.prefix.length > b.prefix.length ? a : b), undefined);
    if (range === undefined) continue;
    const message = `\`${rule.name}\` permits \`${formatPrefix(selector.prefix)}\`, a ${range.kind} address (${range.name})`;
    const help = 'metadata and platform services hand out credentials: remove it, or narrow it to one agent and port';
    lint.warn('permit-reserved-address', rule, 'to', message, help);
  }
};

const warnOfQuic = ({ warn }: Lint, rule: Rule): void => {
  if (rule.action !== 'permit' || rule.protocol !== 'udp' || rule.ports === undefined || !holdsPort(rule.ports, 443))
    return;
  if (listsAlone(rule.ports, 443) && rule.web === undefined) return;
  const why = rule.web === undefined ? '443 is inside a range' : 'QUIC shows no name for `web`';
  const message = `\`${rule.name}\` does not permit UDP port 443: ${why}`;
  warn(
    'udp-443-never-matches',
    rule,
    'ports',
    message,
    'list 443 by itself in a rule without `web`; without it clients fall back to TCP',
  );
};

const webGroupsOf = ({ policy }: Lint, rule: Rule): readonly WebGroup[] | undefined => {
  if (rule.web === undefined || rule.web.includes('any-web')) return undefined;
  return rule.web.flatMap((name) => policy.webGroups.get(name) ?? []);
};

const warnOfNamesThatNeverMatch = (lint: Lint, rule: Rule): boolean => {
  if (rule.action !== 'permit' || rule.web === undefined) return false;
  const groups = webGroupsOf(lint, rule);
  const urlsOnly = groups?.every((group) => group.domains.length === 0) ?? false;
  if (urlsOnly && (rule.protocol === 'udp' || rule.protocol === 'icmp')) {
    const message = `\`${rule.name}\` matches URLs, which exist over TCP only`;
    lint.warn('web-never-matches', rule, 'web', message, 'write `protocol: tcp`, or a WebGroup with `domains`');
    return true;
  }
  const selectors = selectorsOf(lint, rule);
  const builtIn = rule.to.some((name) => !lint.policy.smartGroups.has(name));
  const isReserved = (selector: Selector) =>
    selector.kind === 'cidr' && reservedRanges.some((range) => prefixCovers(range.prefix, selector.prefix));
  if (builtIn || !selectors.every(isReserved)) return false;
  const message = `\`${rule.name}\` looks at names, and no name reaches the reserved addresses in its \`to\``;
  lint.warn('web-never-matches', rule, 'web', message, 'remove `web`, or name other destinations');
  return true;
};

const warnOfUnopened = (lint: Lint, rule: Rule): void => {
  if (rule.decrypt !== 'not-allowed' || rule.tls !== 'either') return;
  const https = webGroupsOf(lint, rule)?.some((group) => group.urls.some((url) => url.scheme === 'https'));
  if (rule.http === undefined && rule.mcp === undefined && https !== true) return;
  const message = `\`${rule.name}\` reads requests and forbids opening TLS: it can match plain HTTP only`;
  lint.warn(
    'opening-not-allowed',
    rule,
    'decrypt',
    message,
    'write `tls: absent` if plain HTTP is meant, or `decrypt: allowed`',
  );
};

const warnOfScheme = (lint: Lint, rule: Rule): void => {
  const groups = webGroupsOf(lint, rule);
  if (groups === undefined || rule.tls === 'either' || groups.some((group) => group.domains.length > 0)) return;
  const wanted = rule.tls === 'required' ? 'https' : 'http';
  const urls = groups.flatMap((group) => group.urls);
  if (urls.length === 0 || urls.some((url) => url.scheme === wanted)) return;
  const message = `\`${rule.name}\` never matches: its URLs are not \`${wanted}:\` and it says \`tls: ${rule.tls}\``;
  lint.warn('url-scheme-never-matches', rule, 'tls', message, `remove \`tls\`, or write \`${wanted}://\` URLs`);
};

const warnOfTools = ({ warn }: Lint, rule: Rule): void => {
  if (rule.mcp?.tools === undefined || rule.mcp.methods === undefined) return;
  if (rule.mcp.methods.includes('tools/call')) return;
  const message = `\`${rule.name}\` names tools and leaves out \`tools/call\``;
  warn('mcp-tools-without-call', rule, 'mcp', message, 'add `tools/call` to `methods`, or remove `methods`');
};
