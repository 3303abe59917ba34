/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * icmp.h: echoes, and errors about live flows. An error quotes the packet that it is about, and behind that whatever its
 * sender likes, so that it is cut to what RFC 792 asks for before it goes on.
 */
#ifndef COFFERDAM_ICMP_H
#define COFFERDAM_ICMP_H

#include "packet.h"

/* RFC 792 and RFC 4443; <linux/icmp.h> drags in the C library. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_FRAG_NEEDED 4
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_TIME_EXCEED 3
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

struct icmp_header {
	__u8 type, code;
	__sum16 checksum;
	__be16 identifier, sequence; /* of an echo */
};

/* ICMP of either family: an echo is a flow by its identifier, an error belongs to the flow of its inner packet. */
static __always_inline int read_icmp(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 length)
{
	struct icmp_header icmp;

	if (length < sizeof(icmp) || bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)))
		return bad(p, REASON_MALFORMED_PACKET);
	p->icmp_type = icmp.type;
	p->transport = at;
	if (p->key.family == 4) {
		switch (icmp.type) {
		case ICMP_ECHO:
		case ICMP_ECHOREPLY:
			p->key.source_port = icmp.identifier;
			return 0;
		case ICMP_DEST_UNREACH:
			p->too_big = icmp.code == ICMP_FRAG_NEEDED;
			p->kind = PACKET_ICMP_ERROR;
			break;
		case ICMP_TIME_EXCEEDED:
			p->kind = PACKET_ICMP_ERROR;
			break;
		default:
			return bad(p, REASON_PROTOCOL_NOT_SUPPORTED);
		}
	} else {
		switch (icmp.type) {
		case ICMPV6_ECHO_REQUEST:
		case ICMPV6_ECHO_REPLY:
			p->key.source_port = icmp.identifier;
			return 0;
		case ICMPV6_PKT_TOOBIG:
			p->too_big = 1;
			p->kind = PACKET_ICMP_ERROR;
			break;
		case ICMPV6_DEST_UNREACH:
		case ICMPV6_TIME_EXCEED:
			p->kind = PACKET_ICMP_ERROR;
			break;
		case 130: /* multicast listener query, report, done, v2 report: RFC 2710, RFC 3810 */
		case 131:
		case 132:
		case 143:
		case 133: /* router solicitation, neighbour solicitation, neighbour advertisement: RFC 4861 */
		case 135:
		case 136:
			p->kind = PACKET_NEIGHBOUR;
			return 0;
		default:
			return bad(p, REASON_PROTOCOL_NOT_SUPPORTED);
		}
	}

	/* The inner packet: its IP header and the first eight bytes behind it (RFC 792, RFC 4443). None of ours has options. */
	__u32 inner = at + sizeof(icmp);
	__u32 behind;
	__be16 ports[2] = {};
	if (p->key.family == 4) {
		struct iphdr ip;
		if (bpf_skb_load_bytes(skb, inner, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl != 5)
			return bad(p, REASON_ICMP_NOT_FOR_FLOW);
		if (ip.frag_off & bpf_htons(0x1fff))
			return bad(p, REASON_ICMP_NOT_FOR_FLOW);
		p->key.protocol = ip.protocol;
		put4(&p->key.source, ip.saddr);
		put4(&p->key.destination, ip.daddr);
		behind = inner + sizeof(ip);
	} else {
		struct ipv6hdr ip;
		if (bpf_skb_load_bytes(skb, inner, &ip, sizeof(ip)) || ip.version != 6)
			return bad(p, REASON_ICMP_NOT_FOR_FLOW);
		p->key.protocol = ip.nexthdr;
		put6(&p->key.source, &ip.saddr);
		put6(&p->key.destination, &ip.daddr);
		behind = inner + sizeof(ip);
	}
	if (p->key.protocol == IPPROTO_TCP || p->key.protocol == IPPROTO_UDP) {
		if (bpf_skb_load_bytes(skb, behind, ports, sizeof(ports)))
			return bad(p, REASON_ICMP_NOT_FOR_FLOW);
		p->key.source_port = ports[0];
		p->key.destination_port = ports[1];
	} else if (p->key.protocol == IPPROTO_ICMP || p->key.protocol == IPPROTO_ICMPV6) {
		struct icmp_header echo;
		if (bpf_skb_load_bytes(skb, behind, &echo, sizeof(echo)))
			return bad(p, REASON_ICMP_NOT_FOR_FLOW);
		p->key.protocol = IPPROTO_ICMP;
		p->key.source_port = echo.identifier;
		p->key.destination_port = 0;
	} else {
		return bad(p, REASON_ICMP_NOT_FOR_FLOW);
	}
	return 0;
}

/* An error's own header, the inner IP header, and eight bytes behind it. */
#define ERROR_BYTES_4 (8 + 20 + 8)
#define ERROR_BYTES_6 (8 + 40 + 8)

struct error_message {
	/* What the checksum of ICMPv6 also covers: RFC 8200 section 8.1. */
	struct { __u8 source[16], destination[16]; __be32 length, next; } pseudo;
	__be32 words[ERROR_BYTES_6 / 4];
};

/* Cuts an error to its shortest form and blanks what is of no use in it. Not 0: it cannot be cut, and must be dropped. */
__noinline int trim_error(struct __sk_buff *skb, const struct packet *p)
{
	struct error_message m = {};
	__u32 v4 = p && p->key.family == 4;
	__u32 size = v4 ? ERROR_BYTES_4 : ERROR_BYTES_6;

	if (!p || bpf_skb_change_tail(skb, p->transport + size, 0))
		return -1;
	if (v4) {
		__be16 old, length = bpf_htons(20 + ERROR_BYTES_4);
		if (bpf_skb_load_bytes(skb, p->transport, m.words, ERROR_BYTES_4) ||
		    bpf_skb_load_bytes(skb, p->network + 2, &old, 2) ||
		    bpf_skb_store_bytes(skb, p->network + 2, &length, 2, 0) ||
		    bpf_l3_csum_replace(skb, p->network + 10, old, length, 2))
			return -1;
		m.words[1] &= p->too_big ? bpf_htonl(0xffff) : 0; /* RFC 1191: the next hop's limit; else unused */
	} else {
		__be16 length = bpf_htons(ERROR_BYTES_6);
		if (bpf_skb_load_bytes(skb, p->transport, m.words, ERROR_BYTES_6) ||
		    bpf_skb_load_bytes(skb, p->network + 8, &m.pseudo, 32) ||
		    bpf_skb_store_bytes(skb, p->network + 4, &length, 2, 0))
			return -1;
		m.pseudo.length = bpf_htonl(ERROR_BYTES_6);
		m.pseudo.next = bpf_htonl(IPPROTO_ICMPV6);
		if (!p->too_big)
			m.words[1] = 0;
	}
	m.words[0] &= bpf_htonl(0xffff0000);
	/* Of IPv4 the pseudo header is all zero and adds nothing. */
	__u32 sum = bpf_csum_diff(0, 0, (__be32 *)&m, sizeof(m), 0);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	__u16 checksum = ~sum;
	__builtin_memcpy((__u8 *)m.words + 2, &checksum, 2);
	if (v4)
		return bpf_skb_store_bytes(skb, p->transport, m.words, ERROR_BYTES_4, BPF_F_RECOMPUTE_CSUM) ? -1 : 0;
	return bpf_skb_store_bytes(skb, p->transport, m.words, ERROR_BYTES_6, BPF_F_RECOMPUTE_CSUM) ? -1 : 0;
}

#endif
