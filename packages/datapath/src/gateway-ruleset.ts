import { firstBit, marks, passMark, realAddresses } from './marks.ts';

/**
 * The netfilter rules of the gateway's namespace, as text for nft. They know no policy: they read the mark that the kernel
 * program wrote and do what netfilter is best at. Whatever carries no mark is rejected, so that a missing program closes.
 *
 *   raw        one connection-tracking zone for each real address, so that a repeated SYN can be sent to another one
 *   classify   transparent redirect of proxied flows, resets for denied and unmarked packets
 *   nat        DNS to the filter, synthetic addresses to real ones, the uplink's address outwards
 *   input      only DNS, proxied flows, the gateway's own services and neighbour discovery
 *   forward    marked packets out, replies of tracked flows in; everything else is dropped
 */
export interface GatewayRuleset {
  readonly agentInterface: string;
  readonly uplinkInterface: string;
  /** Port of the transparent proxy, on every address. */
  readonly proxyPort: number;
  /** Prefixes that hold every address of runs, pools and links to hosts: nothing is sent out to them, whatever a rule permits. */
  readonly own4: string;
  readonly own6: string;
}

const hex = (mark: number): string => `0x${mark.toString(16)}`;

export const gatewayRuleset = (r: GatewayRuleset): string => {
  const agent = `iifname "${r.agentInterface}"`;
  const choices = Array.from({ length: realAddresses }, (_, i) => i);
  const zones = choices
    .slice(1)
    .map((i) => `    meta mark & ${hex(0xffffffff - firstBit)} ${hex(passMark(i))} ct original zone set ${i}`);
  return `
table inet cofferdam {
  map real4 { type mark . ipv4_addr : ipv4_addr; }
  map real6 { type mark . ipv6_addr : ipv6_addr; }

  chain raw {
    type filter hook prerouting priority raw; policy accept;
${zones.join('\n')}
  }

  chain classify {
    type filter hook prerouting priority mangle; policy accept;
    iifname != "${r.agentInterface}" accept
    meta mark & 0xffff0000 ${hex(marks.pass)} accept
    meta mark ${hex(marks.dns)} accept
    meta mark ${hex(marks.local)} accept
    meta mark ${hex(marks.proxy)} meta nfproto ipv4 meta l4proto tcp tproxy ip to :${r.proxyPort} accept
    meta mark ${hex(marks.proxy)} meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :${r.proxyPort} accept
    tcp flags & rst == rst drop
    meta l4proto tcp reject with tcp reset
    meta l4proto { udp, icmp, ipv6-icmp } reject with icmpx type admin-prohibited
    drop
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

  chain forward {
    type filter hook forward priority filter; policy drop;
    oifname "${r.uplinkInterface}" ip daddr ${r.own4} reject with icmpx type admin-prohibited
    oifname "${r.uplinkInterface}" ip6 daddr ${r.own6} reject with icmpx type admin-prohibited
    ${agent} oifname "${r.uplinkInterface}" meta mark & 0xffff0000 ${hex(marks.pass)} accept
    iifname "${r.uplinkInterface}" oifname "${r.agentInterface}" ct state established,related accept
  }
}
`;
};
