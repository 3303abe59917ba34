/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * packet.h: from bytes of a frame to a flow key and what TCP, UDP and ICMP say of it.
 *
 * Everything is read with bpf_skb_load_bytes: only the head of a super-packet is linear, and a direct access would
 * refuse what lies behind it. Lengths come from the packet buffer, bounded by what the IP header claims.
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

/* RFC 792 and RFC 4443; <linux/icmp.h> drags in the C library. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PKT_TOOBIG 2
#define ICMPV6_TIME_EXCEED 3
#define ICMPV6_PARAMPROB 4
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

struct icmp_header {
	__u8 type, code;
	__sum16 checksum;
	__be16 identifier, sequence; /* of an echo */
};

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
	__u32 transport; /* offset of the TCP header */
	__u32 payload; /* offset of what TCP carries */
	__u32 payload_length;
	__u32 sequence;
	__u32 acknowledgement;
	__u32 length; /* of the IP datagram */
	__u32 fragment; /* identification of a fragmented datagram */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 first_fragment;
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

/* ICMP of either family: an echo is a flow by its identifier, an error belongs to the flow of its inner packet. */
static __always_inline int read_icmp(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 length)
{
	struct icmp_header icmp;

	if (length < sizeof(icmp) || bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)))
		return bad(p, REASON_MALFORMED_PACKET);
	p->icmp_type = icmp.type;
	if (p->key.family == 4) {
		switch (icmp.type) {
		case ICMP_ECHO:
		case ICMP_ECHOREPLY:
			p->key.source_port = icmp.identifier;
			return 0;
		case ICMP_DEST_UNREACH:
		case ICMP_TIME_EXCEEDED:
		case ICMP_PARAMETERPROB:
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
		case ICMPV6_DEST_UNREACH:
		case ICMPV6_PKT_TOOBIG:
		case ICMPV6_TIME_EXCEED:
		case ICMPV6_PARAMPROB:
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

	/* The inner packet: its IP header and the first eight bytes behind it (RFC 792, RFC 4443). */
	__u32 inner = at + sizeof(icmp);
	__u32 behind;
	__be16 ports[2] = {};
	if (p->key.family == 4) {
		struct iphdr ip;
		if (bpf_skb_load_bytes(skb, inner, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
			return bad(p, REASON_ICMP_NOT_FOR_FLOW);
		if (ip.frag_off & bpf_htons(0x1fff))
			return bad(p, REASON_ICMP_NOT_FOR_FLOW);
		p->key.protocol = ip.protocol;
		put4(&p->key.source, ip.saddr);
		put4(&p->key.destination, ip.daddr);
		behind = inner + ip.ihl * 4;
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

static __always_inline int read_transport(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 length)
{
	if (p->key.protocol == IPPROTO_TCP) {
		struct tcphdr tcp;
		__u8 flags;
		if (length < sizeof(tcp) || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) ||
		    bpf_skb_load_bytes(skb, at + 13, &flags, 1))
			return bad(p, REASON_MALFORMED_PACKET);
		__u32 header = tcp.doff * 4;
		if (header < sizeof(tcp) || header > length)
			return bad(p, REASON_MALFORMED_PACKET);
		p->key.source_port = tcp.source;
		p->key.destination_port = tcp.dest;
		p->sequence = bpf_ntohl(tcp.seq);
		p->acknowledgement = bpf_ntohl(tcp.ack_seq);
		p->tcp_flags = flags;
		p->transport = at;
		p->payload = at + header;
		p->payload_length = length - header;
		return 0;
	}
	if (p->key.protocol == IPPROTO_UDP) {
		struct udphdr udp;
		if (length < sizeof(udp) || bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)))
			return bad(p, REASON_MALFORMED_PACKET);
		/* A length that lies is cut or padded by each reader in its own way. */
		__u32 claimed = bpf_ntohs(udp.len);
		if (!p->first_fragment && (claimed < sizeof(udp) || claimed > length))
			return bad(p, REASON_MALFORMED_PACKET);
		p->key.source_port = udp.source;
		p->key.destination_port = udp.dest;
		p->payload = at + sizeof(udp);
		p->payload_length = length - sizeof(udp);
		return 0;
	}
	if ((p->key.family == 4 && p->key.protocol == IPPROTO_ICMP) ||
	    (p->key.family == 6 && p->key.protocol == IPPROTO_ICMPV6)) {
		p->key.protocol = IPPROTO_ICMP; /* one protocol to policy */
		return read_icmp(skb, p, at, length);
	}
	return bad(p, REASON_PROTOCOL_NOT_SUPPORTED);
}

static __always_inline int read_ipv4(struct __sk_buff *skb, struct packet *p, __u32 at)
{
	struct iphdr ip;

	if (skb->len < at + sizeof(ip) || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return bad(p, REASON_MALFORMED_PACKET);
	p->key.family = 4;
	p->key.protocol = ip.protocol;
	put4(&p->key.source, ip.saddr);
	put4(&p->key.destination, ip.daddr);
	p->sender = p->key.source;
	p->target = p->key.destination;
	if (ip.ihl != 5) /* source routes and record routes have no use here, and change where a packet goes */
		return bad(p, REASON_EXTENSION_HEADER);

	/* A length of zero is what big super-packets carry; of anything else it is a lie (net/ipv4/ip_input.c). */
	__u32 buffer = skb->len - at;
	__u32 length = bpf_ntohs(ip.tot_len);
	if (length == 0 && skb->gso_size && ip.protocol == IPPROTO_TCP)
		length = buffer;
	if (length < sizeof(ip) || length > buffer)
		return bad(p, REASON_MALFORMED_PACKET);
	p->length = length;

	__u16 fragment = bpf_ntohs(ip.frag_off);
	if (fragment & 0x3fff) { /* more fragments, or an offset */
		if (ip.protocol != IPPROTO_UDP && ip.protocol != IPPROTO_ICMP)
			return bad(p, REASON_FRAGMENT);
		p->fragment = ip.id;
		if (fragment & 0x1fff) {
			p->kind = PACKET_LATER_FRAGMENT;
			return 0;
		}
		p->first_fragment = 1;
		if (length < sizeof(ip) + 8)
			return bad(p, REASON_FRAGMENT);
	}
	return read_transport(skb, p, at + sizeof(ip), length - sizeof(ip));
}

static __always_inline int read_ipv6(struct __sk_buff *skb, struct packet *p, __u32 at)
{
	struct ipv6hdr ip;
	__u8 next;

	if (skb->len < at + sizeof(ip) || bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 6)
		return bad(p, REASON_MALFORMED_PACKET);
	p->key.family = 6;
	put6(&p->key.source, &ip.saddr);
	put6(&p->key.destination, &ip.daddr);
	p->sender = p->key.source;
	p->target = p->key.destination;
	__u32 buffer = skb->len - at - sizeof(ip);
	__u32 length = bpf_ntohs(ip.payload_len);
	if (length == 0 && skb->gso_size && ip.nexthdr == IPPROTO_TCP)
		length = buffer;
	if (length > buffer)
		return bad(p, REASON_MALFORMED_PACKET);
	p->length = length + sizeof(ip);
	at += sizeof(ip);
	next = ip.nexthdr;
	p->key.protocol = next;

	if (next == IPPROTO_HOPOPTS) {
		/* Multicast listener reports carry a router alert (RFC 2711); nothing else here does. */
		struct { __u8 next, words; __u8 rest[6]; __u8 type; } options;
		if (length < sizeof(options) || bpf_skb_load_bytes(skb, at, &options, sizeof(options)))
			return bad(p, REASON_MALFORMED_PACKET);
		if (options.next == IPPROTO_ICMPV6 && options.words == 0 &&
		    (options.type == 143 || options.type == 131 || options.type == 132)) {
			p->kind = PACKET_NEIGHBOUR;
			p->icmp_type = options.type;
			return 0;
		}
		return bad(p, REASON_EXTENSION_HEADER);
	}
	if (next == IPPROTO_FRAGMENT_6) {
		struct { __u8 next, reserved; __be16 offset; __be32 id; } fragment;
		if (length < sizeof(fragment) || bpf_skb_load_bytes(skb, at, &fragment, sizeof(fragment)))
			return bad(p, REASON_MALFORMED_PACKET);
		next = fragment.next;
		p->key.protocol = next;
		if (next != IPPROTO_UDP && next != IPPROTO_ICMPV6)
			return bad(p, REASON_FRAGMENT);
		p->fragment = fragment.id;
		if (fragment.offset & bpf_htons(0xfff8)) {
			p->kind = PACKET_LATER_FRAGMENT;
			return 0;
		}
		at += sizeof(fragment);
		length -= sizeof(fragment);
		p->first_fragment = 1;
		if (length < 8)
			return bad(p, REASON_FRAGMENT); /* RFC 7112: the first fragment holds the whole header chain */
	} else if (next != IPPROTO_TCP && next != IPPROTO_UDP && next != IPPROTO_ICMPV6) {
		/* Routing, destination options, authentication and what is unknown: nothing here needs them. */
		return bad(p, next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS || next == IPPROTO_AH ||
				next == IPPROTO_ESP || next == IPPROTO_NONE || next == IPPROTO_MH || next == 139 ||
				next == 140 ? REASON_EXTENSION_HEADER : REASON_PROTOCOL_NOT_SUPPORTED);
	}
	return read_transport(skb, p, at, length);
}

/* Fills p. What cannot be read is PACKET_BAD with its reason; the caller drops it. */
__noinline int read_packet(struct __sk_buff *skb, struct packet *p)
{
	struct ethhdr eth;

	if (!p)
		return -1;
	__builtin_memset(p, 0, sizeof(*p));
	p->kind = PACKET_FLOW;
	p->key.ifindex = skb->ifindex;
	/* A tag of identifier 0 only sets a priority and the kernel takes it off; any other names another network. */
	if (skb->vlan_present && (skb->vlan_tci & 0x0fff))
		return bad(p, REASON_VLAN_TAGGED);
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return bad(p, REASON_MALFORMED_PACKET);
	__builtin_memcpy(p->mac, eth.h_source, 6);
	p->network = sizeof(eth);
	if (eth.h_proto == bpf_htons(ETH_P_IP))
		return read_ipv4(skb, p, sizeof(eth));
	if (eth.h_proto == bpf_htons(ETH_P_IPV6))
		return read_ipv6(skb, p, sizeof(eth));
	if (eth.h_proto == bpf_htons(ETH_P_ARP)) {
		struct { __be16 hardware, protocol; __u8 hlen, plen; __be16 operation;
			 __u8 sender_mac[6]; __be32 sender; } __attribute__((packed)) arp;
		if (bpf_skb_load_bytes(skb, sizeof(eth), &arp, sizeof(arp)) || arp.hlen != 6 || arp.plen != 4)
			return bad(p, REASON_MALFORMED_PACKET);
		p->kind = PACKET_NEIGHBOUR;
		p->key.family = 4;
		put4(&p->sender, arp.sender);
		return 0;
	}
	if (eth.h_proto == bpf_htons(ETH_P_8021Q) || eth.h_proto == bpf_htons(ETH_P_8021AD))
		return bad(p, REASON_VLAN_TAGGED);
	return bad(p, REASON_PROTOCOL_NOT_SUPPORTED);
}

#define TCP_OPTION_END 0
#define TCP_OPTION_NONE 1
#define TCP_OPTION_MULTIPATH 30
#define TCP_OPTIONS 40

/*
 * Blanks the multipath option of a SYN (RFC 8684). With it the bytes that a server reads are in an order of their own,
 * mapped by options over several connections, so that what was judged here would not be what the server gets. Without
 * it both ends speak plain TCP.
 */
__noinline int single_path(struct __sk_buff *skb, const struct packet *p)
{
	__u8 old[TCP_OPTIONS] = {}, fresh[TCP_OPTIONS];
	__u32 next = 0, erase = 0, found = 0;

	if (!p)
		return 0;
	__u32 at = p->transport + sizeof(struct tcphdr);
	__u32 length = p->payload - at;
	if (length < 1 || length > TCP_OPTIONS)
		return 0;
	if (bpf_skb_load_bytes(skb, at, old, length))
		return -1;
	__builtin_memcpy(fresh, old, sizeof(fresh));
	for (__u32 i = 0; i < TCP_OPTIONS; i++) {
		if (i == next) {
			erase = 0;
			if (old[i] == TCP_OPTION_END)
				break;
			if (old[i] == TCP_OPTION_NONE) {
				next = i + 1;
				continue;
			}
			__u32 size = i + 1 < TCP_OPTIONS ? old[i + 1] : 0;
			if (size < 2)
				break;
			next = i + size;
			erase = old[i] == TCP_OPTION_MULTIPATH;
			found |= erase;
		}
		if (erase)
			fresh[i] = TCP_OPTION_NONE;
	}
	if (!found)
		return 0;
	__s64 difference = bpf_csum_diff((__be32 *)old, sizeof(old), (__be32 *)fresh, sizeof(fresh), 0);
	if (bpf_skb_store_bytes(skb, at, fresh, length, 0))
		return -1;
	return bpf_l4_csum_replace(skb, p->transport + 16, 0, difference, 0) ? -1 : 0;
}

#endif
