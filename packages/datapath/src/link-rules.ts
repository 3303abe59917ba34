import { ip, ipList } from './ip-command.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import { topology as t } from './topology.ts';

/**
 * One rule of the host's routing for each family, shared by all runs: links to runs are looked up in the main table, before any table
 * that a VPN puts in front of it. Only routes as near as a link's count, so that the rule changes nothing for other addresses.
 */
const preference = 198;
const rules = [
  { family: 4, links: t.links4, wider: t.uplinkLength4 - 1 },
  { family: 6, links: t.links6, wider: t.uplinkLength6 - 1 },
] as const;

interface Rule {
  readonly priority?: number;
  readonly dst?: string;
  readonly dstlen?: number;
}

const present = (host: NetworkNamespace, family: 4 | 6, links: string): boolean =>
  (ipList(host, [`-${family}`, 'rule', 'show']) as Rule[]).some(
    ({ priority, dst, dstlen }) => priority === preference && `${dst}/${dstlen}` === links,
  );

const change = (host: NetworkNamespace, verb: 'add' | 'del'): void => {
  for (const { family, links, wider } of rules)
    if (present(host, family, links) === (verb === 'del'))
      ip(host, [`rule ${verb} pref ${preference} to ${links} lookup main suppress_prefixlength ${wider}`], family);
};

export const addLinkRules = (host: NetworkNamespace): void => change(host, 'add');
export const removeLinkRules = (host: NetworkNamespace): void => change(host, 'del');
