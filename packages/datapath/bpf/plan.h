/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * plan.h: which plan and epoch a packet is judged by, and the class of a destination.
 */
#ifndef COFFERDAM_PLAN_H
#define COFFERDAM_PLAN_H

#include <bpf/bpf_endian.h>
#include "layout.h"
#include "maps.h"

/* Keeps a value in its register, so that the bound the verifier learns next is the bound of what is used. */
#define bounded(value) asm volatile("" : "+r"(value))

/*
 * Which plan a packet is judged by: read once. Plain numbers, no pointers, so that the functions that take it can be
 * verified by themselves, each once, instead of again at every call.
 */
struct plan {
	__u64 generation;
	__u32 slot;
	__u32 revision;
	__u32 flags;
	__u32 words;
	__u32 active; /* row of the rules that are active now */
	__u32 uplink; /* as in struct control */
};

/* -1: there is none. */
__noinline int load_plan(struct plan *plan, __u64 now)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	if (!plan || !c || !c->live)
		return -1;
	plan->slot = c->slot;
	plan->uplink = c->uplink;
	void *headers_of = plan_table(&headers, &plan->slot);
	if (!headers_of)
		return -1;
	struct plan_header *header = bpf_map_lookup_elem(headers_of, &zero);
	if (!header)
		return -1;
	plan->revision = header->revision;
	plan->flags = header->flags;
	plan->words = header->words;

	/* The last epoch that has begun: at most eight halvings of 256. */
	__u32 low = 0, high = header->epochs;
	if (high == 0 || high > MAX_EPOCHS)
		return -1;
	for (int i = 0; i < 8; i++) {
		__u32 middle = (low + high) / 2;
		if (middle == low)
			break;
		bounded(middle);
		if (middle >= MAX_EPOCHS)
			return -1;
		if (header->epoch_from[middle] <= now)
			low = middle;
		else
			high = middle;
	}
	bounded(low);
	if (low >= MAX_EPOCHS)
		return -1;
	plan->active = header->epoch_row[low];
	plan->generation = ((__u64)c->switches << 16) | low;
	return 0;
}

static __always_inline struct destination *find_destination(const struct plan *plan, __u8 family,
							      const struct address *address, struct destination_key *key)
{
	key->bits = family == 4 ? 8 + 32 : 8 + 128;
	key->family = family;
	__builtin_memcpy(key->bytes, address->bytes, 16);
	__builtin_memset(key->pad, 0, sizeof(key->pad));
	void *table = plan_table(&destinations, &plan->slot);
	return table ? bpf_map_lookup_elem(table, key) : 0;
}

/* The IPv4 address inside an IPv6 one, as `embeddedIPv4` in packages/net has it. 0: none. */
static __always_inline int embedded_ipv4(const struct address *from, struct address *to)
{
	const __u8 *b = from->bytes;
	__u32 word[4];
	__u8 flip = 0;

	__builtin_memcpy(word, b, 16);
	__builtin_memset(to, 0, sizeof(*to));
	if (word[0] == 0 && word[1] == 0) {
		/* RFC 4291 2.5.5: mapped, or compatible (not unspecified and loopback) */
		if (word[2] == bpf_htonl(0xffff) || (word[2] == 0 && bpf_ntohl(word[3]) > 1))
			goto last;
		return 0;
	}
	if (word[0] == bpf_htonl(0x0064ff9b)) {
		if (word[1] == 0 && word[2] == 0)
			goto last; /* RFC 6052: well known */
		if (b[4] != 0x00 || b[5] != 0x01)
			return 0;
		if (word[2] == 0 && word[3] != 0) /* RFC 8215: local use, as /96 or in the layout of /48 */
			goto last;
		to->bytes[0] = b[6];
		to->bytes[1] = b[7];
		to->bytes[2] = b[9];
		to->bytes[3] = b[10];
		return 1;
	}
	if (word[0] == bpf_htonl(0x20010000)) { /* RFC 4380: Teredo, the client's address, inverted */
		flip = 0xff;
		goto last;
	}
	if (b[0] == 0x20 && b[1] == 0x02) { /* RFC 3056: 6to4 */
		to->bytes[0] = b[2];
		to->bytes[1] = b[3];
		to->bytes[2] = b[4];
		to->bytes[3] = b[5];
		return 1;
	}
	return 0;
last:
	to->bytes[0] = b[12] ^ flip;
	to->bytes[1] = b[13] ^ flip;
	to->bytes[2] = b[14] ^ flip;
	to->bytes[3] = b[15] ^ flip;
	return 1;
}

#endif
