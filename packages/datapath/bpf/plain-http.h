/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * plain-http.h: whether bytes that are no TLS begin an HTTP request. The same table as `recognisedMethods` of packages/wire.
 */
#ifndef COFFERDAM_PLAIN_HTTP_H
#define COFFERDAM_PLAIN_HTTP_H

#include "hello.h"

/* Registered methods (RFC 9110 section 9, RFC 4918, RFC 3253, RFC 5789, RFC 9113 preface), each with its space. */
struct method {
	__u64 head; /* the first eight characters as they lie in memory */
	__u16 tail;
	__u16 length;
};

#define C(a, i) ((__u64)(a) << (8 * (i)))
#define METHOD(length, a, b, c, d, e, f, g, h, i, j) \
	{ C(a, 0) | C(b, 1) | C(c, 2) | C(d, 3) | C(e, 4) | C(f, 5) | C(g, 6) | C(h, 7), (i) | (j) << 8, length }

const struct method methods[] = {
	METHOD(4, 'G', 'E', 'T', ' ', 0, 0, 0, 0, 0, 0),
	METHOD(5, 'H', 'E', 'A', 'D', ' ', 0, 0, 0, 0, 0),
	METHOD(5, 'P', 'O', 'S', 'T', ' ', 0, 0, 0, 0, 0),
	METHOD(4, 'P', 'U', 'T', ' ', 0, 0, 0, 0, 0, 0),
	METHOD(7, 'D', 'E', 'L', 'E', 'T', 'E', ' ', 0, 0, 0),
	METHOD(8, 'C', 'O', 'N', 'N', 'E', 'C', 'T', ' ', 0, 0),
	METHOD(8, 'O', 'P', 'T', 'I', 'O', 'N', 'S', ' ', 0, 0),
	METHOD(6, 'T', 'R', 'A', 'C', 'E', ' ', 0, 0, 0, 0),
	METHOD(6, 'P', 'A', 'T', 'C', 'H', ' ', 0, 0, 0, 0),
	METHOD(4, 'P', 'R', 'I', ' ', 0, 0, 0, 0, 0, 0),
	METHOD(9, 'P', 'R', 'O', 'P', 'F', 'I', 'N', 'D', ' ', 0),
	METHOD(10, 'P', 'R', 'O', 'P', 'P', 'A', 'T', 'C', 'H', ' '),
	METHOD(6, 'M', 'K', 'C', 'O', 'L', ' ', 0, 0, 0, 0),
	METHOD(5, 'C', 'O', 'P', 'Y', ' ', 0, 0, 0, 0, 0),
	METHOD(5, 'M', 'O', 'V', 'E', ' ', 0, 0, 0, 0, 0),
	METHOD(5, 'L', 'O', 'C', 'K', ' ', 0, 0, 0, 0, 0),
	METHOD(7, 'U', 'N', 'L', 'O', 'C', 'K', ' ', 0, 0, 0),
	METHOD(7, 'R', 'E', 'P', 'O', 'R', 'T', ' ', 0, 0, 0),
	METHOD(7, 'S', 'E', 'A', 'R', 'C', 'H', ' ', 0, 0, 0),
};
#define METHOD_COUNT (sizeof(methods) / sizeof(methods[0]))

struct recognition {
	__u64 head;
	__u32 tail;
	__u32 have;
	__u32 http;
	__u32 unsure;
};

static __always_inline __u64 first_bytes(__u32 n)
{
	return n >= 8 ? ~0ULL : (1ULL << (8 * (n & 7))) - 1;
}

static long try_method(__u32 index, struct recognition *r)
{
	if (index >= METHOD_COUNT)
		return 1;
	const struct method *m = &methods[index];
	__u32 n = r->have < m->length ? r->have : m->length;
	__u64 head = (r->head ^ m->head) & first_bytes(n);
	__u64 tail = n > 8 ? ((__u64)r->tail ^ m->tail) & first_bytes(n - 8) : 0;
	if (head | tail)
		return 0;
	if (r->have >= m->length)
		r->http = 1;
	else
		r->unsure = 1;
	return 0;
}

/* Whether the kept bytes, which are not TLS, begin an HTTP request: sets HELLO_HTTP, HELLO_UNSURE or neither. */
static __always_inline void recognise_http(struct hello *h)
{
	struct recognition r = {};

	h->flags &= ~(HELLO_HTTP | HELLO_UNSURE);
	__builtin_memcpy(&r.head, h->raw, 8);
	__u16 tail;
	__builtin_memcpy(&tail, h->raw + 8, 2);
	r.tail = tail;
	r.have = h->have;
	bpf_loop(METHOD_COUNT, try_method, &r, 0);
	if (r.http)
		h->flags |= HELLO_HTTP;
	else if (r.unsure)
		h->flags |= HELLO_UNSURE;
}

#endif
