/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * conntrack.h: what connection tracking knows of a flow.
 */
#ifndef COFFERDAM_CONNTRACK_H
#define COFFERDAM_CONNTRACK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "packet.h"

/* Of struct nf_conn, only what is read; the loader finds where each is in the kernel it loads into. */
union nf_inet_addr {
	__u32 all[4];
} __attribute__((preserve_access_index));
union nf_conntrack_man_proto {
	__be16 all;
} __attribute__((preserve_access_index));
struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
} __attribute__((preserve_access_index));
struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} u;
	} dst;
} __attribute__((preserve_access_index));
struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
} __attribute__((preserve_access_index));
struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
} __attribute__((preserve_access_index));

/* include/uapi/linux/netfilter/nf_conntrack_common.h */
#define IPS_ASSURED 0x4

/* net/netfilter/nf_conntrack_bpf.c. Kernels before 6.11 know no zone, and take the first twelve bytes. */
struct bpf_ct_opts___ours {
	__s32 netns_id; /* -1: the packet's own */
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u16 zone;
	__u8 zone_dir;
	__u8 reserved[3];
};
#define CT_OPTS_WITHOUT_ZONE 12

/* As long as connection tracking keeps a connection that was reset. */
#define FORGOTTEN_MS 10000

extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple__sz,
					 struct bpf_ct_opts___ours *opts, __u32 opts__sz) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;

extern int bpf_ct_change_timeout(struct nf_conn *ct, __u32 milliseconds) __ksym;

/* The entry of a TCP flow, in the zone of its path; whoever gets one releases it. 0: there is none. */
static __always_inline struct nf_conn *find_tracked(struct __sk_buff *skb, const struct flow_key *key, __u8 path)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_ct_opts___ours opts = { .netns_id = -1, .l4proto = IPPROTO_TCP, .zone = path };
	__u32 size = sizeof(tuple.ipv4);

	if (key->family == 4) {
		__builtin_memcpy(&tuple.ipv4.saddr, key->source.bytes, 4);
		__builtin_memcpy(&tuple.ipv4.daddr, key->destination.bytes, 4);
		tuple.ipv4.sport = key->source_port;
		tuple.ipv4.dport = key->destination_port;
	} else {
		size = sizeof(tuple.ipv6);
		__builtin_memcpy(tuple.ipv6.saddr, key->source.bytes, 16);
		__builtin_memcpy(tuple.ipv6.daddr, key->destination.bytes, 16);
		tuple.ipv6.sport = key->source_port;
		tuple.ipv6.dport = key->destination_port;
	}
	return bpf_skb_ct_lookup(skb, &tuple, size, &opts, path ? sizeof(opts) : CT_OPTS_WITHOUT_ZONE);
}

/* How a flow is translated. Not 0: nobody knows, or otherwise than it was judged. */
__noinline int read_translation(struct __sk_buff *skb, const struct flow_key *key, struct flow *flow)
{
	__u32 real[4], near[4];
	__be16 near_port;

	if (!key || !flow)
		return -1;
	struct nf_conn *ct = find_tracked(skb, key, flow->path);
	if (!ct)
		return -1;
	__builtin_memcpy(real, &flow->real, sizeof(real));
	struct nf_conntrack_tuple_hash *back = &ct->tuplehash[1];
	int known = (ct->status & IPS_ASSURED) != 0 && back->tuple.src.u.all == key->destination_port;
	/* Of an IPv4 address all four words are there too, and what is behind the first is zero (nf_ct_get_tuple). */
#pragma unroll
	for (int i = 0; i < 4; i++) {
		known &= back->tuple.src.u3.all[i] == real[i];
		near[i] = back->tuple.dst.u3.all[i];
	}
	near_port = back->tuple.dst.u.all;
	bpf_ct_release(ct);
	if (!known)
		return -1;
	__builtin_memcpy(&flow->near, near, sizeof(near));
	flow->near_port = near_port;
	return 0;
}

/*
 * A flow that is forgotten has no more packets that pass. What connection tracking would keep of it for a day is room that all agents share,
 * and one of them could make it believe that a connection goes on that is over.
 */
__noinline int forget_tracked(struct __sk_buff *skb, const struct flow_key *key, __u32 path)
{
	if (!key || key->protocol != IPPROTO_TCP)
		return 0;
	struct nf_conn *ct = find_tracked(skb, key, path);
	if (!ct)
		return 0;
	int failed = bpf_ct_change_timeout(ct, FORGOTTEN_MS);
	bpf_ct_release(ct);
	return failed;
}

#endif
