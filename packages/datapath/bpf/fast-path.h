/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * fast-path.h: packets of a permitted TCP flow, past netfilter. Connection tracking chose how the flow is translated;
 * here that is read from it, done to each packet, and the packet handed to the interface it leaves by. Whether it may
 * pass was judged before: by from_agent, and on the way back by the same plan and the same flow that to_agent would ask.
 *
 * Beginnings and ends, what belongs to no flow, and one packet a second of the agent's go the long way, so that
 * connection tracking knows what lives, and what it has forgotten is not gone on with.
 */
#ifndef COFFERDAM_FAST_PATH_H
#define COFFERDAM_FAST_PATH_H

#include "conntrack.h"
#include "outcome.h"

/* <linux/socket.h> and <linux/if_packet.h> drag in the C library. */
#define AF_INET 2
#define AF_INET6 10
#define PACKET_HOST 0

/* Below that a flow is too short to gain by it. */
#define FAST_AFTER 8
#define TRACKED_NS 1000000000ULL

/* Of the next hop that does not exist: see topology.ts. Frames to an agent are aimed at it until to_agent writes another. */
const __u8 nowhere_mac[6] = { 0x02, 0xcf, 0xfd, 0x00, 0x00, 0xff };

/* What answers a flow whose translation is known. */
static __always_inline void uplink_answer(const struct flow_key *key, const struct flow *flow, struct flow_key *answer)
{
	answer->ifindex = 0;
	answer->family = key->family;
	answer->protocol = key->protocol;
	answer->pad = 0;
	answer->source = flow->real;
	answer->source_port = key->destination_port;
	answer->destination = flow->near;
	answer->destination_port = flow->near_port;
}

/* Whether a packet at the uplink answers what this flow is now. */
static __always_inline int answers_flow(const struct packet *p, const struct flow_key *key, const struct flow *flow)
{
	__u32 came[8], expected[8], difference = 0;

	__builtin_memcpy(came, &p->key.source, 32);
	__builtin_memcpy(expected, &flow->real, 16);
	__builtin_memcpy(expected + 4, &flow->near, 16);
#pragma unroll
	for (int i = 0; i < 8; i++)
		difference |= came[i] ^ expected[i];
	difference |= p->key.source_port ^ key->destination_port;
	difference |= p->key.destination_port ^ flow->near_port;
	return !difference;
}

static __always_inline void leave_fast_path(const struct flow_key *key, struct flow *flow, struct flow_key *answer)
{
	if (!flow->fast)
		return;
	flow->fast = 0;
	uplink_answer(key, flow, answer);
	bpf_map_delete_elem(&uplink_answers, answer);
}

/* How frames of a flow begin on the uplink. Not 0: they go elsewhere, or nobody there is known. */
__noinline int read_way(struct __sk_buff *skb, const struct flow_key *key, struct flow *flow, __u32 uplink)
{
	struct bpf_fib_lookup way = { .ifindex = skb->ifindex, .l4_protocol = IPPROTO_TCP };

	if (!key || !flow)
		return -1;
	if (key->family == 4) {
		way.family = AF_INET;
		__builtin_memcpy(&way.ipv4_src, flow->near.bytes, 4);
		__builtin_memcpy(&way.ipv4_dst, flow->real.bytes, 4);
	} else {
		way.family = AF_INET6;
		__builtin_memcpy(way.ipv6_src, flow->near.bytes, 16);
		__builtin_memcpy(way.ipv6_dst, flow->real.bytes, 16);
	}
	if (bpf_fib_lookup(skb, &way, sizeof(way), 0) || way.ifindex != uplink)
		return -1;
	__builtin_memcpy(flow->way.destination, way.dmac, 6);
	__builtin_memcpy(flow->way.source, way.smac, 6);
	return 0;
}

/*
 * Takes a segment one hop on: gives it other ends and the hardware addresses of its next link, unless it lives no longer or is too large for
 * the interface. Not 0: nothing was done, and it can go the long way; HOP_BROKEN: it cannot.
 */
#define HOP_BROKEN 2
__noinline int hop(struct __sk_buff *skb, const struct packet *p, const struct flow_key *ends,
		   const struct link_ends *link, __u32 to)
{
	__be32 old[8] = {}, fresh[8] = {};
	__u8 header[33];
	__u32 mtu = 0, failed;

	if (!p || !ends || !link || bpf_check_mtu(skb, to, &mtu, 0, BPF_MTU_CHK_SEGS))
		return 1;
	__u32 check = p->transport + __builtin_offsetof(struct tcphdr, check);
	if (p->key.family == 4) {
		/* Lifetime, protocol, checksum, both addresses: RFC 791 section 3.1. */
		if (bpf_skb_load_bytes(skb, p->network + 8, header, 12) || header[0] <= 1)
			return 1;
		__builtin_memcpy(old, header + 4, 8);
		__builtin_memcpy(fresh, ends->source.bytes, 4);
		__builtin_memcpy(fresh + 1, ends->destination.bytes, 4);
		header[0]--;
		__builtin_memcpy(header + 4, fresh, 8);
		__s64 difference = bpf_csum_diff(old, 8, fresh, 8, 0);
		__u16 sum;
		__builtin_memcpy(&sum, header + 2, 2);
		/* RFC 1624: HC' = ~(~HC + ~m + m'); the lifetime is the high byte of its word. */
		sum = ~folded((__u16)~sum + (__u16)~bpf_htons(0x0100) + folded(difference));
		__builtin_memcpy(header + 2, &sum, 2);
		failed = bpf_l4_csum_replace(skb, check, 0, difference, BPF_F_PSEUDO_HDR) ||
			 bpf_skb_store_bytes(skb, p->network + 8, header, 12, 0);
	} else {
		if (bpf_skb_load_bytes(skb, p->network + 7, header, 33) || header[0] <= 1)
			return 1;
		__builtin_memcpy(old, header + 1, 32);
		__builtin_memcpy(fresh, ends->source.bytes, 16);
		__builtin_memcpy(fresh + 4, ends->destination.bytes, 16);
		header[0]--;
		__builtin_memcpy(header + 1, fresh, 32);
		__s64 difference = bpf_csum_diff(old, 32, fresh, 32, 0);
		/* No checksum of its own covers this header: what a device has summed is told of the change. */
		failed = bpf_l4_csum_replace(skb, check, 0, difference, BPF_F_PSEUDO_HDR) ||
			 bpf_skb_store_bytes(skb, p->network + 7, header, 33, BPF_F_RECOMPUTE_CSUM);
	}
	__be32 ports[2];
	__builtin_memcpy(ports, &p->key.source_port, 4);
	__builtin_memcpy(ports + 1, &ends->source_port, 4);
	if (ports[0] != ports[1])
		failed |= bpf_l4_csum_replace(skb, check, ports[0], ports[1], 4) ||
			  bpf_skb_store_bytes(skb, p->transport, ports + 1, 4, 0);
	return failed || bpf_skb_store_bytes(skb, 0, link, sizeof(*link), 0) ? HOP_BROKEN : 0;
}

static __always_inline void count_fast(void)
{
	__u32 zero = 0;
	struct counters *c = bpf_map_lookup_elem(&counts, &zero);
	if (c)
		c->fast++;
}

/* What may take the fast path of a flow that does: a segment for this machine, and nothing around it that the long way takes off. */
static __always_inline int is_fast(struct __sk_buff *skb, const struct packet *p, const struct flow *flow)
{
	__u32 apart = FLOW_CROSSES | FLOW_ELSEWHERE | FLOW_RESET | FLOW_CLIENT_FIN | FLOW_SERVER_FIN;

	return flow->state == FLOW_PERMITTED && !(flow->flags & apart) && !flow->slot &&
	       !(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) && skb->pkt_type == PACKET_HOST && !skb->vlan_present &&
	       p->network + p->length == skb->len;
}

/* A segment of an agent that may pass. Returns a tc verdict. */
static __always_inline int send_on(struct __sk_buff *skb, const struct plan *plan, struct scratch *s, struct flow *flow,
				   __u64 now)
{
	const struct packet *p = &s->packet;

	if (!plan->uplink || flow->packets_out < FAST_AFTER || p->key.protocol != IPPROTO_TCP || !is_fast(skb, p, flow))
		return TC_ACT_OK;
	if (now - flow->tracked_at > TRACKED_NS) {
		flow->tracked_at = now;
		leave_fast_path(&p->key, flow, &s->key);
		/* The address that its agent sends frames to: this interface's own, or the frame were for another host. */
		if (bpf_skb_load_bytes(skb, 0, flow->back.source, 6))
			return TC_ACT_OK;
		__builtin_memcpy(flow->back.destination, nowhere_mac, 6);
		if (read_translation(skb, &p->key, flow) || read_way(skb, &p->key, flow, plan->uplink))
			return TC_ACT_OK;
		uplink_answer(&p->key, flow, &s->key);
		flow->fast = !bpf_map_update_elem(&uplink_answers, &s->key, &p->key, BPF_ANY);
		return TC_ACT_OK;
	}
	if (!flow->fast)
		return TC_ACT_OK;
	uplink_answer(&p->key, flow, &s->key);
	reverse(&s->key, &s->ends);
	int hopped = hop(skb, p, &s->ends, &flow->way, plan->uplink);
	if (hopped)
		return hopped == HOP_BROKEN ? TC_ACT_SHOT : TC_ACT_OK;
	count_fast();
	/* Nothing on the other side is to take our mark for one of its own. */
	skb->mark = 0;
	return bpf_redirect_peer(plan->uplink, 0);
}

/* A segment of a server that comes in at the uplink. Returns a tc verdict. */
static __always_inline int bring_back(struct __sk_buff *skb, const struct plan *plan, struct scratch *s,
				      const struct flow_key *key, struct flow *flow, __u64 now)
{
	const struct packet *p = &s->packet;

	/* Whatever of it comes to an end here, connection tracking may take for the end; and of a silent agent nobody has asked for long. */
	if ((p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) || now - flow->tracked_at > 2 * TRACKED_NS) {
		leave_fast_path(key, flow, &s->ends);
		return TC_ACT_OK;
	}
	/* What has to be judged again goes the long way, where that is done. */
	if (!flow->fast || !is_fast(skb, p, flow) || flow->generation != plan->generation)
		return TC_ACT_OK;
	reverse(key, &s->ends);
	int hopped = hop(skb, p, &s->ends, &flow->back, key->ifindex);
	if (hopped)
		return hopped == HOP_BROKEN ? TC_ACT_SHOT : TC_ACT_OK;
	count_fast();
	flow->last = now;
	__sync_fetch_and_add(&flow->packets_in, 1);
	__sync_fetch_and_add(&flow->bytes_in, p->length);
	__builtin_memcpy(s->handed, flow->mac, 6);
	pass(skb, MARK_FAST);
	return bpf_redirect(key->ifindex, 0);
}

/* What from_uplink sends on is here before the processor sees to anything else. */
static __always_inline int meet(struct __sk_buff *skb)
{
	__u32 index = OF_FROM_UPLINK;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &index);

	return !s || bpf_skb_store_bytes(skb, 0, s->handed, 6, 0) ? TC_ACT_SHOT : TC_ACT_OK;
}

#endif
