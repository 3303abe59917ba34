import { answerBit, firstBit, marks, paths } from './marks.ts';

/**
 * The netfilter rules of the gateway's namespace, as text for nft. They know no policy: they read the mark that the kernel
 * program wrote and do what netfilter is best at. Whatever carries no mark is rejected, so that a missing program closes.
 *
 *   untracked  what user space says to an agent's end of a flow in its server's place: connection tracking would take it for a flow of its own
 *   raw        a connection-tracking zone for each path, so that a repeated SYN can be sent to another real address
 *   classify   transparent redirect of proxied flows, resets for denied and unmarked packets; replies get the mark of what
 *              they answer, for the kernel program to compare
 *   nat        DNS to the filter, synthetic addresses to real ones, the uplink's address outwards
 *   input      only DNS, proxied flows, the gateway's own services and neighbour discovery
 *   forward    marked packets out and to other agents, replies of tracked flows in; everything else is dropped
 *   output     of what the gateway itself makes, nothing out but what path MTU discovery needs. A reset for an agent has the address that
 *              the agent tried as its source: where the agent cannot be found on its link, the kernel would send an error there, with bytes
 *              of the agent's choice in it
 */
export interface GatewayRuleset {
  /** Agents live behind them. */
  readonly agentInterfaces: readonly string[];
  readonly uplinkInterface: string;
  /** Port of the transparent proxy, on every address. */
  readonly proxyPort: number;
  /** Prefixes that hold every address of runs, pools and links to hosts: nothing is sent out to them, whatever a rule permits. */
  readonly own4: string;
  readonly own6: string;
  /** Whether another process left its rules there: they are replaced in one step, what they translate stays. */
  readonly standing?: boolean;
}

/** Chains without rules, which let nothing in and nothing through. The rules above go into them; where they are there already, they stay. */
export const closedRuleset = `
table inet cofferdam {
  chain input { type filter hook input priority filter; policy drop; }
  chain forward { type filter hook forward priority filter; policy drop; }
}
`;

const hex = (mark: number): string => `0x${mark.toString(16)}`;

export const gatewayRuleset = (r: GatewayRuleset): string => {
  const agents = `{ ${r.agentInterfaces.map((name) => `"${name}"`).join(', ')} }`;
  const agent = `iifname ${agents}`;
  const agentOut = `oifname ${agents}`;
  const passed = `meta mark & 0xffff0000 ${hex(marks.pass)}`;
  const own = `meta mark & ${hex(0xffff0000 + answerBit)} ${hex(marks.pass)}`;
  const zones = Array.from({ length: paths - 1 }, (_, i) => `${i + 1} : ${i + 1}`).join(', ');
  // A flush takes the rules and leaves chains and maps; the new rules come in the same transaction.
  const before = r.standing === true ? 'table inet cofferdam {}\nflush table inet cofferdam' : '';
  return `
${before}
table inet cofferdam {
  map real4 { type mark . ipv4_addr : ipv4_addr; }
  map real6 { type mark . ipv6_addr : ipv6_addr; }

  chain raw {
    type filter hook prerouting priority raw; policy accept;
    ${agent} ${own} ct original zone set meta mark & 0xff map { ${zones} }
  }

  chain classify {
    type filter hook prerouting priority mangle; policy accept;
    iifname "${r.uplinkInterface}" ct mark & 0xffff0000 ${hex(marks.pass)} meta mark set ct mark | ${hex(answerBit)}
    iifname != ${agents} accept
    ${own} ct state new ct mark set meta mark & ${hex(0xffffffff - firstBit)}
    ${passed} accept
    meta mark ${hex(marks.dns)} accept
    meta mark ${hex(marks.local)} accept
    meta mark ${hex(marks.proxy)} meta nfproto ipv4 meta l4proto tcp tproxy ip to :${r.proxyPort} accept
    meta mark ${hex(marks.proxy)} meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :${r.proxyPort} accept
    tcp flags & rst == rst drop
    meta l4proto tcp reject with tcp reset
    meta l4proto { udp, icmp, ipv6-icmp } reject with icmpx type admin-prohibited
    drop
  }

  chain untracked {
    type filter hook output priority raw; policy accept;
    meta mark ${hex(marks.cut)} notrack
  }

  chain translate_in {
    type nat hook prerouting priority dstnat; policy accept;
    ${agent} meta mark ${hex(marks.dns)} meta l4proto { tcp, udp } redirect to :53
    ${agent} meta nfproto ipv4 dnat ip to meta mark . ip daddr map @real4
    ${agent} meta nfproto ipv6 dnat ip6 to meta mark . ip6 daddr map @real6
  }

  chain translate_out {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${r.uplinkInterface}" masquerade
  }

  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ${agent} meta mark ${hex(marks.proxy)} accept
    ${agent} meta mark ${hex(marks.dns)} meta l4proto { tcp, udp } th dport 53 accept
    ${agent} meta mark ${hex(marks.local)} accept
    iifname "${r.uplinkInterface}" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "${r.uplinkInterface}" ct state established,related accept
  }

  chain output {
    type filter hook output priority filter; policy accept;
    ${agentOut} icmp type destination-unreachable icmp code host-unreachable ct state != related drop
    ${agentOut} icmpv6 type destination-unreachable icmpv6 code addr-unreachable ct state != related drop
    oifname != "${r.uplinkInterface}" accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    ct state related icmp type destination-unreachable icmp code frag-needed accept
    ct state related icmpv6 type packet-too-big accept
    drop
  }

  chain forward {
    type filter hook forward priority filter; policy drop;
    oifname "${r.uplinkInterface}" ip daddr ${r.own4} reject with icmpx type admin-prohibited
    oifname "${r.uplinkInterface}" ip6 daddr ${r.own6} reject with icmpx type admin-prohibited
    ${agent} oifname "${r.uplinkInterface}" ${passed} accept
    iifname "${r.uplinkInterface}" oifname ${agents} ct state established,related accept
    ${agent} oifname ${agents} ${passed} accept
  }
}
`;
};
