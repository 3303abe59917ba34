/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * hello.h: reads a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3) as its bytes come by, however they are
 * cut into segments and records, and keeps them, since the bytes that were judged must be the bytes that are delivered.
 *
 * A state machine over single bytes that skips in strides what it need not look at. It stops at the end of what is kept
 * and goes on from there when more has come. It mirrors the reader of packages/wire; a test feeds both the same.
 */
#ifndef COFFERDAM_HELLO_H
#define COFFERDAM_HELLO_H

#include "layout.h"
#include "maps.h"

enum hello_state {
	HELLO_TYPE = 0,
	HELLO_LENGTH,
	HELLO_VERSION,
	HELLO_SESSION,
	HELLO_CIPHERS,
	HELLO_COMPRESSIONS,
	HELLO_EXTENSIONS,
	HELLO_EXTENSION,
	HELLO_NAME_LIST,
	HELLO_NAME_TYPE,
	HELLO_NAME_LENGTH,
	HELLO_NAME,
	HELLO_COMPLETE,
	HELLO_NOT_TLS,
	HELLO_BROKEN,
};

#define HELLO_HAS_NAME 1
#define HELLO_NAME_BAD 2
#define HELLO_ECH 4
#define HELLO_EARLY_DATA 8
#define HELLO_AFTER 16 /* behind a first hello: change_cipher_spec may come before a second one */
#define HELLO_HTTP 32
#define HELLO_UNSURE 64 /* the beginning of a method's name: this may yet be plain HTTP */
#define HELLO_CIPHER_CHANGE 128 /* inside the header of such a record */
#define HELLO_CIPHER_CHANGED 512 /* behind such a record: there is one at most */
#define HELLO_LAX 1024 /* a line that is not over: a lax server may yet take it for a request */
#define HELLO_SURE 256 /* the server asked for a second hello: no other message may come */

#define LABEL_NOT_DIGITS 1
#define LABEL_HEX 2 /* so far 0x and hex digits */

#define EXTENSION_NAME 0
#define EXTENSION_EARLY_DATA 42
#define EXTENSION_ECH 0xfe0d

#define RECORD_CHANGE_CIPHER_SPEC 20
#define RECORD_ALERT 21
#define RECORD_HANDSHAKE 22

static __always_inline void hello_begin(struct hello *h, __u32 base, __u32 flags)
{
	h->base = base;
	h->have = 0;
	h->position = 0;
	h->state = HELLO_TYPE;
	h->accumulator = 0;
	h->need = 1;
	h->skip = 0;
	h->record_left = 0;
	h->record_header = 0;
	h->message_left = 4;
	h->extensions_left = 0;
	h->body_left = 0;
	h->flags = flags;
	h->seen = 0;
	h->other_count = 0;
	h->name_length = 0;
	h->label_length = 0;
	h->label_flags = LABEL_HEX;
	h->end = 0;
	__builtin_memset(h->name, 0, sizeof(h->name));
}

static __always_inline void expect(struct hello *h, __u32 state, __u32 need)
{
	h->state = state;
	h->need = need;
	h->accumulator = 0;
}

/* One character of the name, folded and checked as `wireName` of packages/net does. */
static __always_inline void name_byte(struct hello *h, __u8 c)
{
	__u32 at = h->name_length;

	if (c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	if (c == '.') {
		if (h->label_length == 0 || h->label_length > 63)
			h->flags |= HELLO_NAME_BAD;
		h->label_length = 0;
		h->label_flags = LABEL_HEX;
	} else {
		int digit = c >= '0' && c <= '9';
		if (!digit && !(c >= 'a' && c <= 'z') && c != '-' && c != '_')
			h->flags |= HELLO_NAME_BAD;
		if (!digit)
			h->label_flags |= LABEL_NOT_DIGITS;
		if (h->label_length == 0 ? c != '0' : h->label_length == 1 ? c != 'x' : !(digit || (c >= 'a' && c <= 'f')))
			h->label_flags &= ~LABEL_HEX;
		h->label_length++;
	}
	if (at < 253)
		h->name[at & 0xff] = c;
	else
		h->flags |= HELLO_NAME_BAD;
	h->name_length = at + 1;
}

static __always_inline void name_end(struct hello *h)
{
	/* The last label is neither a number nor 0x…: those are addresses in disguise (WHATWG URL, "ends in a number"). */
	if (h->label_length == 0 || h->label_length > 63 || !(h->label_flags & LABEL_NOT_DIGITS) ||
	    ((h->label_flags & LABEL_HEX) && h->label_length >= 2))
		h->flags |= HELLO_NAME_BAD;
	h->flags |= HELLO_HAS_NAME;
}

/* The next extension, or the end of the hello. */
static __always_inline void next_extension(struct hello *h)
{
	if (h->extensions_left == 0)
		h->state = h->message_left == 0 ? HELLO_COMPLETE : HELLO_BROKEN;
	else if (h->extensions_left < 4)
		h->state = HELLO_BROKEN;
	else
		expect(h, HELLO_EXTENSION, 4);
}

/* An item of `need` bytes was read into the accumulator. */
static __always_inline void item_end(struct hello *h)
{
	__u32 value = h->accumulator;

	switch (h->state) {
	case HELLO_TYPE:
		if (value != 1)
			/* Behind a first hello another handshake message is what TLS 1.2 says next. */
			h->state = (h->flags & (HELLO_AFTER | HELLO_SURE)) == HELLO_AFTER ? HELLO_NOT_TLS : HELLO_BROKEN;
		else
			expect(h, HELLO_LENGTH, 3);
		break;
	case HELLO_LENGTH:
		/* It ends within its record and within what is kept, or will never be read. */
		if (value < 2 + 32 + 1 + 2 + 2 + 1 + 1 || h->position + value > HELLO_BYTES || h->record_left > value) {
			h->state = HELLO_BROKEN;
			break;
		}
		h->message_left = value;
		expect(h, HELLO_VERSION, 2);
		break;
	case HELLO_VERSION:
		if (value < 0x0300 || value > 0x0304) {
			h->state = HELLO_BROKEN;
			break;
		}
		h->skip = 32; /* random */
		expect(h, HELLO_SESSION, 1);
		break;
	case HELLO_SESSION:
		if (value > 32 || value + 4 > h->message_left) {
			h->state = HELLO_BROKEN;
			break;
		}
		h->skip = value;
		expect(h, HELLO_CIPHERS, 2);
		break;
	case HELLO_CIPHERS:
		if (value == 0 || (value & 1) || value + 2 > h->message_left) {
			h->state = HELLO_BROKEN;
			break;
		}
		h->skip = value;
		expect(h, HELLO_COMPRESSIONS, 1);
		break;
	case HELLO_COMPRESSIONS:
		if (value == 0 || value > h->message_left) {
			h->state = HELLO_BROKEN;
			break;
		}
		h->skip = value;
		if (value == h->message_left) {
			h->extensions_left = 0;
			h->state = HELLO_EXTENSION; /* none follow: ends when the skip is done */
			h->need = 0;
		} else {
			expect(h, HELLO_EXTENSIONS, 2);
		}
		break;
	case HELLO_EXTENSIONS:
		if (value != h->message_left) {
			h->state = HELLO_BROKEN;
			break;
		}
		h->extensions_left = value;
		next_extension(h);
		break;
	case HELLO_EXTENSION: {
		__u32 type = value >> 16, length = value & 0xffff;
		h->extensions_left -= 4;
		if (length > h->extensions_left) {
			h->state = HELLO_BROKEN;
			break;
		}
		h->extensions_left -= length;
		if (type < 64) {
			if (h->seen & (1ULL << type)) {
				h->state = HELLO_BROKEN;
				break;
			}
			h->seen |= 1ULL << type;
		} else {
			__u32 twice = 0, count = h->other_count;
			for (int i = 0; i < OTHER_EXTENSIONS; i++)
				twice |= i < count && h->others[i] == type;
			if (twice || count >= OTHER_EXTENSIONS) {
				h->state = HELLO_BROKEN;
				break;
			}
			h->others[count & (OTHER_EXTENSIONS - 1)] = type;
			h->other_count = count + 1;
		}
		if (type == EXTENSION_ECH)
			h->flags |= HELLO_ECH;
		if (type == EXTENSION_EARLY_DATA)
			h->flags |= HELLO_EARLY_DATA;
		if (type == EXTENSION_NAME) {
			h->body_left = length;
			if (length < 6)
				h->state = HELLO_BROKEN;
			else
				expect(h, HELLO_NAME_LIST, 2);
			break;
		}
		h->skip = length;
		if (length)
			h->need = 0; /* the next extension when the skip is done */
		else
			next_extension(h);
		break;
	}
	case HELLO_NAME_LIST:
		if (value + 2 != h->body_left)
			h->state = HELLO_BROKEN;
		else
			expect(h, HELLO_NAME_TYPE, 1);
		break;
	case HELLO_NAME_TYPE:
		if (value != 0)
			h->state = HELLO_BROKEN;
		else
			expect(h, HELLO_NAME_LENGTH, 2);
		break;
	case HELLO_NAME_LENGTH:
		/* One list of one name: a second one could be what the server believes. */
		if (value == 0 || value + 5 != h->body_left)
			h->state = HELLO_BROKEN;
		else
			expect(h, HELLO_NAME, value);
		break;
	case HELLO_NAME:
		name_end(h);
		next_extension(h);
		break;
	default:
		h->state = HELLO_BROKEN;
	}
}

/* A byte of a record header. */
static __always_inline void record_byte(struct hello *h, __u8 byte)
{
	switch (h->record_header) {
	case 0:
		if (byte == RECORD_CHANGE_CIPHER_SPEC && h->state == HELLO_TYPE && h->message_left == 4 &&
		    (h->flags & (HELLO_AFTER | HELLO_CIPHER_CHANGED)) == HELLO_AFTER) {
			h->flags |= HELLO_CIPHER_CHANGE | HELLO_CIPHER_CHANGED; /* middlebox compatibility, RFC 8446 D.4 */
			break;
		}
		if (byte != RECORD_HANDSHAKE) {
			/* Behind a first hello an alert that servers ignore could hide a second one. */
			h->state = h->state == HELLO_TYPE && !(h->flags & HELLO_AFTER) ? HELLO_NOT_TLS : HELLO_BROKEN;
			return;
		}
		break;
	case 1:
		if (byte != 3) {
			h->state = h->state == HELLO_TYPE && !(h->flags & HELLO_AFTER) ? HELLO_NOT_TLS : HELLO_BROKEN;
			return;
		}
		break;
	case 2:
		if (byte > 4)
			h->state = HELLO_BROKEN;
		break;
	case 3:
		h->record_left = (__u32)byte << 8;
		break;
	default:
		h->record_header = 0;
		h->record_left |= byte;
		if (h->flags & HELLO_CIPHER_CHANGE) {
			h->flags &= ~HELLO_CIPHER_CHANGE;
			if (h->record_left != 1)
				h->state = HELLO_BROKEN;
			h->skip = 1;
			h->message_left++;
			return;
		}
		/* RFC 8446 5.1: no empty handshake records, none above 2^14 */
		if (h->record_left == 0 || h->record_left > 16384)
			h->state = HELLO_BROKEN;
		if (h->state > HELLO_LENGTH && h->record_left > h->message_left)
			h->state = HELLO_BROKEN;
		return;
	}
	h->record_header++;
}

static long hello_step(__u32 turn, struct hello **where)
{
	struct hello *h = *where;
	__u32 at = h->position;

	if (h->state >= HELLO_COMPLETE || at >= h->have || at >= HELLO_BYTES)
		return 1;
	if (h->record_left == 0 || h->record_header != 0) {
		__u8 byte = h->raw[at];
		h->position = at + 1;
		record_byte(h, byte);
		return 0;
	}
	if (h->skip) {
		__u32 stride = h->skip;
		if (stride > h->record_left)
			stride = h->record_left;
		if (stride > h->have - at)
			stride = h->have - at;
		if (stride > h->message_left) {
			h->state = HELLO_BROKEN;
			return 1;
		}
		h->position = at + stride;
		h->record_left -= stride;
		h->skip -= stride;
		h->message_left -= stride;
	} else {
		__u8 byte = h->raw[at];
		h->position = at + 1;
		h->record_left--;
		if (h->message_left == 0 || h->need == 0) {
			h->state = HELLO_BROKEN;
			return 1;
		}
		h->message_left--;
		h->need--;
		if (h->state == HELLO_NAME)
			name_byte(h, byte);
		else
			h->accumulator = h->accumulator << 8 | byte;
		if (h->need == 0)
			item_end(h);
	}
	if (h->skip == 0 && h->need == 0 && h->state == HELLO_EXTENSION)
		next_extension(h);
	if (h->state == HELLO_COMPLETE) {
		/* RFC 8446 5.1: nothing else shares its record */
		if (h->record_left != 0)
			h->state = HELLO_BROKEN;
		h->end = h->position;
	}
	return 0;
}

/* Reads on as far as bytes are kept. */
__noinline int hello_read(struct hello *h)
{
	if (!h)
		return -1;
	bpf_loop(HELLO_BYTES + 1, hello_step, &h, 0);
	if (h->state < HELLO_COMPLETE && h->have >= HELLO_BYTES)
		h->state = HELLO_BROKEN;
	return 0;
}

#endif
