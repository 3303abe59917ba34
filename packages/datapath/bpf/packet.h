/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * packet.h: what is known of a packet once it was read.
 */
#ifndef COFFERDAM_PACKET_H
#define COFFERDAM_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "layout.h"
#include "reasons.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define TCP_URG 0x20

#define IPPROTO_FRAGMENT_6 44

enum packet_kind {
	PACKET_FLOW, /* belongs to a flow, or begins one */
	PACKET_LATER_FRAGMENT,
	PACKET_ICMP_ERROR, /* key and ports are those of the inner packet, as its sender wrote them */
	PACKET_NEIGHBOUR, /* ARP, neighbour discovery, multicast listener reports */
	PACKET_BAD, /* reason says why */
};

struct packet {
	struct flow_key key; /* source and destination as on the wire */
	struct address sender; /* of this packet, also where key is that of an inner one */
	struct address target; /* likewise */
	__u32 kind;
	__u32 reason;
	__u32 network; /* offset of the IP header */
	__u32 transport; /* offset of the header of TCP, UDP or ICMP */
	__u32 payload; /* offset of what TCP carries */
	__u32 payload_length;
	__u32 sequence;
	__u32 acknowledgement;
	__u32 length; /* of the IP datagram */
	__u32 fragment; /* identification of a fragmented datagram */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 first_fragment;
	__u8 too_big; /* an error that says how large packets may be */
	__u8 mac[6];
};

static __always_inline int bad(struct packet *p, __u32 reason)
{
	p->kind = PACKET_BAD;
	p->reason = reason;
	return 0;
}

static __always_inline void put4(struct address *to, __be32 from)
{
	__builtin_memset(to, 0, sizeof(*to));
	__builtin_memcpy(to->bytes, &from, 4);
}

static __always_inline void put6(struct address *to, const struct in6_addr *from)
{
	__builtin_memcpy(to->bytes, from, 16);
}

#endif
