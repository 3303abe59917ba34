/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * cut.h: how a TCP flow ends that is no longer permitted. Its server learns of it by the agent's next segment, which is
 * made into a reset: that segment alone has the sequence number that the server waits for (RFC 5961 section 3), and goes the
 * way of the flow through every translation. The agent learns of it by the segments that follow, which are rejected.
 */
#ifndef COFFERDAM_CUT_H
#define COFFERDAM_CUT_H

#include "flow.h"
#include "packet.h"

struct reset_segment {
	/* What the checksum also covers: RFC 9293 section 3.1. Of IPv4 the addresses take eight bytes, and zeroes add nothing. */
	struct { __u8 addresses[32]; __be32 length, protocol; } pseudo;
	struct tcphdr tcp;
};

/* Only what its server has heard of has to be ended there. */
static __always_inline void mark_cut(const struct flow_key *key, struct flow *flow)
{
	if (key->protocol == IPPROTO_TCP && (flow->flags & FLOW_SYN_ANSWERED))
		flow->flags |= FLOW_CUT;
}

static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Makes a reset of a segment: no data, no options, nothing of the agent's but where the segment stood. Not 0: drop it. */
__noinline int make_reset(struct __sk_buff *skb, const struct packet *p)
{
	struct reset_segment m = {};
	__be16 checksum, changed, old, length;
	__be32 sequence;
	__be16 ports[2];

	if (!p || bpf_skb_change_tail(skb, p->transport + sizeof(m.tcp), 0))
		return -1;
	if (p->key.family == 4) {
		length = bpf_htons(20 + sizeof(m.tcp));
		if (bpf_skb_load_bytes(skb, p->network + 12, m.pseudo.addresses, 8) ||
		    bpf_skb_load_bytes(skb, p->network + 2, &old, 2) ||
		    bpf_skb_store_bytes(skb, p->network + 2, &length, 2, 0) ||
		    bpf_l3_csum_replace(skb, p->network + 10, old, length, 2))
			return -1;
	} else {
		length = bpf_htons(sizeof(m.tcp));
		if (bpf_skb_load_bytes(skb, p->network + 8, m.pseudo.addresses, 32) ||
		    bpf_skb_store_bytes(skb, p->network + 4, &length, 2, 0))
			return -1;
	}
	m.pseudo.length = bpf_htonl(sizeof(m.tcp));
	m.pseudo.protocol = bpf_htonl(IPPROTO_TCP);

	/* Where the checksum is still to be made on the way out, the helper leaves the field as it is: it holds the pseudo header's sum. */
	__u32 at = p->transport + __builtin_offsetof(struct tcphdr, check);
	if (bpf_skb_load_bytes(skb, at, &checksum, 2) || bpf_l4_csum_replace(skb, at, 0, bpf_htons(1), 2) ||
	    bpf_skb_load_bytes(skb, at, &changed, 2))
		return -1;
	if (bpf_skb_load_bytes(skb, p->transport, ports, 4) || bpf_skb_load_bytes(skb, p->transport + 4, &sequence, 4))
		return -1;
	m.tcp.source = ports[0];
	m.tcp.dest = ports[1];
	m.tcp.seq = sequence;
	m.tcp.doff = sizeof(m.tcp) / 4;
	m.tcp.rst = 1;
	if (checksum == changed)
		m.tcp.check = folded(bpf_csum_diff(0, 0, (__be32 *)&m.pseudo, sizeof(m.pseudo), 0));
	else
		m.tcp.check = ~folded(bpf_csum_diff(0, 0, (__be32 *)&m, sizeof(m), 0));
	return bpf_skb_store_bytes(skb, p->transport, &m.tcp, sizeof(m.tcp), BPF_F_RECOMPUTE_CSUM) ? -1 : 0;
}

#endif
