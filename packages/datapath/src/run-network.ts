import { ip, setKernel } from './ip-command.ts';
import { createNetworkNamespace, type NetworkNamespace } from './network-namespace.ts';
import { openNftables } from './nftables.ts';
import { topology as t } from './topology.ts';

/** The two namespaces of a run and the link between them. The way out is made by `linkToHost`. */
export interface RunNetwork {
  readonly gateway: NetworkNamespace;
  readonly agent: NetworkNamespace;
  close(): void;
}

/** Of every gateway's namespace. */
const gatewaySettings = {
  'ipv4/ip_forward': 1,
  'ipv6/conf/all/forwarding': 1,
  'ipv4/conf/all/rp_filter': 0,
  'ipv4/conf/default/rp_filter': 0,
  'ipv4/conf/all/accept_redirects': 0,
  'ipv6/conf/all/accept_redirects': 0,
  'ipv4/conf/all/accept_source_route': 0,
  'ipv6/conf/all/accept_source_route': 0,
  'ipv4/conf/all/send_redirects': 0,
  'ipv4/conf/default/send_redirects': 0,
  'ipv6/conf/all/accept_ra': 0,
  'ipv6/conf/default/accept_ra': 0,
  // A denied client learns of it at once, however many are denied.
  'ipv4/icmp_ratelimit': 0,
  'ipv6/icmp/ratelimit': 0,
  // Connection tracking outlives the flow table's own idle limits, so that an address translation never changes under a flow.
  'netfilter/nf_conntrack_udp_timeout': 300,
  'netfilter/nf_conntrack_udp_timeout_stream': 300,
  'netfilter/nf_conntrack_icmp_timeout': 120,
  'netfilter/nf_conntrack_icmpv6_timeout': 120,
  'netfilter/nf_conntrack_tcp_loose': 0,
  // It does not see the packets of the fast path: sequence numbers that it did not expect are none of its business, nor is what it takes
  // for unacknowledged a reason to forget a flow early. A little more than the day that an idle flow has.
  'netfilter/nf_conntrack_tcp_be_liberal': 1,
  'netfilter/nf_conntrack_tcp_ignore_invalid_rst': 1,
  'netfilter/nf_conntrack_tcp_timeout_established': 90_000,
  'netfilter/nf_conntrack_tcp_timeout_unacknowledged': 90_000,
  'netfilter/nf_conntrack_tcp_timeout_max_retrans': 90_000,
} as const;

const agentSettings = {
  // Empty in a new namespace: without it no unprivileged process can ping, whatever the policy says.
  'ipv4/ping_group_range': '0 2147483647',
  'ipv6/conf/all/accept_ra': 0,
  'ipv6/conf/default/accept_ra': 0,
  'ipv4/conf/all/accept_redirects': 0,
  'ipv6/conf/all/accept_redirects': 0,
} as const;

/** Addresses are ours to give, and need no detection of others that have the same. */
const newLinks = { 'ipv6/conf/default/accept_dad': 0, 'ipv6/conf/default/addr_gen_mode': 1 } as const;

/**
 * Writes the settings of a gateway's namespace. Those of connection tracking are there once somebody has asked for it, and so are its types,
 * which the kernel program needs: where it is a module, a rule that speaks of it has the kernel load it.
 */
export const setGateway = (gateway: NetworkNamespace, more: Readonly<Record<string, number>> = {}): void => {
  const nft = openNftables(gateway);
  try {
    nft.run('table inet asking { chain tracking { ct state new; }; }\ndelete table inet asking');
  } finally {
    nft.close();
  }
  setKernel(gateway, { ...newLinks, ...gatewaySettings, ...more });
};

/** Makes both namespaces with fixed neighbours: no address resolution passes between command and gateway. */
export const createRunNetwork = (): RunNetwork => {
  const gateway = createNetworkNamespace();
  const agent = createNetworkNamespace();
  const network: RunNetwork = {
    gateway,
    agent,
    close() {
      agent.close();
      gateway.close();
    },
  };
  try {
    // Before any link is made: a link takes its settings from the defaults when it comes to be.
    setGateway(gateway);
    setKernel(agent, { ...newLinks, ...agentSettings });
    ip(gateway, [
      'link set lo up',
      `link add ${t.agentInterface} address ${t.gatewayMac} type veth peer name ${t.commandInterface} address ${t.agentMac} netns ${agent.path}`,
      `addr add ${t.gateway4}/${t.linkLength4} dev ${t.agentInterface}`,
      `addr add ${t.gateway6}/${t.linkLength6} dev ${t.agentInterface} nodad`,
      `link set ${t.agentInterface} up`,
    ]);
    ip(agent, [
      'link set lo up',
      `addr add ${t.agent4}/${t.linkLength4} dev ${t.commandInterface}`,
      `addr add ${t.agent6}/${t.linkLength6} dev ${t.commandInterface} nodad`,
      `link set ${t.commandInterface} up`,
      `neigh replace ${t.gateway4} lladdr ${t.gatewayMac} dev ${t.commandInterface} nud permanent`,
      `neigh replace ${t.gateway6} lladdr ${t.gatewayMac} dev ${t.commandInterface} nud permanent`,
      `route add default via ${t.gateway4} dev ${t.commandInterface}`,
      `route add default via ${t.gateway6} dev ${t.commandInterface}`,
    ]);
    ip(gateway, [
      `neigh replace ${t.agent4} lladdr ${t.agentMac} dev ${t.agentInterface} nud permanent`,
      `neigh replace ${t.agent6} lladdr ${t.agentMac} dev ${t.agentInterface} nud permanent`,
      `neigh replace ${t.nowhere4} lladdr ${t.nowhereMac} dev ${t.agentInterface} nud permanent`,
      `neigh replace ${t.nowhere6} lladdr ${t.nowhereMac} dev ${t.agentInterface} nud permanent`,
      `route add ${t.agent4}/32 via ${t.nowhere4} dev ${t.agentInterface} onlink table ${t.replyTable}`,
    ]);
    ip(
      gateway,
      [`route add ${t.agent6}/128 via ${t.nowhere6} dev ${t.agentInterface} onlink table ${t.replyTable}`],
      6,
    );
    return network;
  } catch (e) {
    network.close();
    throw e;
  }
};
