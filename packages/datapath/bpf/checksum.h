/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * checksum.h: where the sender of a packet wants a checksum to be put on its way out.
 */
#ifndef COFFERDAM_CHECKSUM_H
#define COFFERDAM_CHECKSUM_H

#include "packet.h"
#include <bpf/bpf_core_read.h>

/* include/linux/skbuff.h */
#define CHECKSUM_PARTIAL 3

/* Of struct sk_buff, what the program's own view of it leaves out. */
struct sk_buff___ours {
	__u8 ip_summed : 2;
	__u16 csum_start; /* from the beginning of the buffer, as mac_header is */
	__u16 csum_offset;
	__u16 mac_header;
} __attribute__((preserve_access_index));

/*
 * Not 0: a sum would be written elsewhere than where its protocol has it. A machine whose packets come over a virtual link may leave
 * checksums to whoever sends them on the wire, and says where; that would change bytes after they were judged.
 */
static __always_inline int sums_elsewhere(struct __sk_buff *skb, const struct packet *p)
{
	const struct sk_buff___ours *buffer = (const void *)skb;
	__u16 start, offset, frame;

	if (BPF_CORE_READ_BITFIELD_PROBED(buffer, ip_summed) != CHECKSUM_PARTIAL)
		return 0;
	if (p->kind != PACKET_FLOW)
		return 1;
	bpf_core_read(&start, sizeof(start), &buffer->csum_start);
	bpf_core_read(&offset, sizeof(offset), &buffer->csum_offset);
	bpf_core_read(&frame, sizeof(frame), &buffer->mac_header);
	if (start != frame + p->transport)
		return 1;
	if (p->key.protocol == IPPROTO_TCP)
		return offset != __builtin_offsetof(struct tcphdr, check);
	return p->key.protocol != IPPROTO_UDP || offset != __builtin_offsetof(struct udphdr, check);
}

#endif
