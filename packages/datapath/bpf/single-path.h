/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * single-path.h: TCP without its multipath option.
 */
#ifndef COFFERDAM_SINGLE_PATH_H
#define COFFERDAM_SINGLE_PATH_H

#include "packet.h"

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
