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

/*
 * What servers less strict than RFC 9112 take for a request: blanks before it, any token for a method, words parted by any
 * blank. `mayBeRequest` of packages/wire says the same. The line decides: what holds `HTTP/` behind its
 * first word is a request, what ends without it is another protocol.
 */
enum lax_stage {
	LAX_BLANK, /* before the first word */
	LAX_WORD,
	LAX_LINE, /* behind it */
	LAX_YES,
	LAX_NO,
};

static __always_inline int is_blank(__u8 c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0;
}

/* RFC 9110 section 5.6.2. */
static __always_inline int is_token(__u8 c)
{
	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return 1;
	return c == '!' || (c >= '#' && c <= '\'') || c == '*' || c == '+' || c == '-' || c == '.' || c == '^' || c == '_' ||
	       c == '`' || c == '|' || c == '~';
}

static long lax_byte(__u32 turn, struct hello **where)
{
	struct hello *h = *where;
	struct plain_line *l = &h->line;
	__u32 at = l->at;

	if (at >= HELLO_BYTES || at >= h->have)
		return 1;
	__u8 c = h->raw[at];
	l->at = at + 1;
	if (l->stage == LAX_BLANK && !is_blank(c))
		l->stage = LAX_WORD;
	if (l->stage == LAX_BLANK)
		return 0;
	if (l->stage == LAX_WORD) {
		if (is_token(c)) {
			__u32 n = l->word++;
			if (n < 8)
				l->head |= (__u64)c << (8 * (n & 7));
			else if (n < 10)
				l->tail |= (__u32)c << (8 * (n & 1));
			return 0;
		}
		if (l->word == 0 || !is_blank(c) || c == '\n') {
			l->stage = LAX_NO;
			return 1;
		}
		l->spaced = c == ' ';
		l->stage = LAX_LINE;
		return 0;
	}
	if (c == '\n') {
		l->stage = LAX_NO;
		return 1;
	}
	__u8 lower = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
	__u32 m = l->matched;
	__u8 wanted = m == 0 ? 'h' : m == 3 ? 'p' : m == 4 ? '/' : 't';
	l->matched = lower == wanted ? m + 1 : lower == 'h';
	if (l->matched < 5)
		return 0;
	l->stage = LAX_YES;
	return 1;
}

/*
 * Whether the kept bytes, which are not TLS, begin an HTTP request: sets HELLO_HTTP, HELLO_UNSURE, HELLO_LAX or none. Returns
 * how many bytes that rests on.
 */
/* Its state lies in the hello, as that of the reader does: the verifier would follow every value of a stack slot. */
__noinline int recognise_http(struct hello *h)
{
	if (!h)
		return 0;
	struct plain_line *l = &h->line;
	__builtin_memset(l, 0, sizeof(*l));
	h->flags &= ~(HELLO_HTTP | HELLO_UNSURE | HELLO_LAX);
	bpf_loop(HELLO_BYTES + 1, lax_byte, &h, 0);

	struct recognition r = { .head = l->head, .tail = l->tail, .have = l->word };
	if (l->spaced && l->word < 8)
		r.head |= (__u64)' ' << (8 * (l->word & 7));
	else if (l->spaced && l->word < 10)
		r.tail |= (__u32)' ' << (8 * (l->word & 1));
	r.have += l->spaced;
	/* A known method needs no version behind its target (HTTP/0.9). */
	if (l->word && l->word < 10 && (l->spaced || l->stage == LAX_WORD))
		bpf_loop(METHOD_COUNT, try_method, &r, 0);
	if (r.http || l->stage == LAX_YES || (l->stage != LAX_NO && h->have >= HELLO_BYTES))
		h->flags |= HELLO_HTTP;
	else if (r.unsure && l->stage == LAX_WORD)
		h->flags |= HELLO_UNSURE;
	else if (l->stage != LAX_NO)
		h->flags |= HELLO_LAX;
	return l->at;
}

#endif
