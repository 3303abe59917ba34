/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * read-packet.h: from bytes of a frame to a flow key and what TCP, UDP and ICMP say of it.
 *
 * Everything is read with bpf_skb_load_bytes: only the head of a super-packet is linear, and a direct access would
 * refuse what lies behind it. Lengths come from the packet buffer, bounded by what the IP header claims.
 */
#ifndef COFFERDAM_READ_PACKET_H
#define COFFERDAM_READ_PACKET_H

#include "icmp.h"

static __always_inline int read_transport(struct __sk_buff *skb, struct packet *p, __u32 at, __u32 length)
{
	if (p->key.protocol == IPPROTO_TCP) {
		struct tcphdr tcp;
		if (length < sizeof(tcp) || bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)))
			return bad(p, REASON_MALFORMED_PACKET);
		__u32 header = tcp.doff * 4;
		if (header < sizeof(tcp) || header > length)
			return bad(p, REASON_MALFORMED_PACKET);
		p->key.source_port = tcp.source;
		p->key.destination_port = tcp.dest;
		p->sequence = bpf_ntohl(tcp.seq);
		p->acknowledgement = bpf_ntohl(tcp.ack_seq);
		p->tcp_flags = ((__u8 *)&tcp)[13];
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
		p->transport = at;
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

#endif
