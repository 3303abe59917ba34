import { ip, ipList } from './ip-command.ts';
import { marks } from './marks.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import { topology as t, type Uplink } from './topology.ts';

/** Routes of a gateway's namespace that need its uplink: the way out, the proxy's local delivery, and replies to nowhere. */
export const routeGateway = (gateway: NetworkNamespace, uplink: Uplink, agentInterfaces: readonly string[]): void => {
  for (const [family, via, everything] of [
    [4, uplink.host4, '0.0.0.0/0'],
    [6, uplink.host6, '::/0'],
  ] as const)
    ip(
      gateway,
      [
        `route replace default via ${via} dev ${t.uplinkInterface}`,
        `route replace local ${everything} dev lo table ${t.proxyTable}`,
        ...missingRules(gateway, family, agentInterfaces),
      ],
      family,
    );
};

const proxyRule = 100;
const replyRule = 101;

interface Rule {
  readonly priority?: number;
  readonly iif?: string;
}

const missingRules = (
  gateway: NetworkNamespace,
  family: 4 | 6,
  agentInterfaces: readonly string[],
): readonly string[] => {
  const there = ipList(gateway, [`-${family}`, 'rule', 'show']) as Rule[];
  const has = (preference: number, name: string): boolean =>
    there.some(({ priority, iif }) => priority === preference && iif === name);
  const mark = `0x${marks.proxy.toString(16)}`;
  return [
    // By interface and mark: `src_valid_mark` would otherwise break the lookup by mark alone.
    ...agentInterfaces
      .filter((name) => !has(proxyRule, name))
      .map((name) => `rule add pref ${proxyRule} iif ${name} fwmark ${mark} lookup ${t.proxyTable}`),
    ...(has(replyRule, t.uplinkInterface)
      ? []
      : [`rule add pref ${replyRule} iif ${t.uplinkInterface} lookup ${t.replyTable}`]),
  ];
};
