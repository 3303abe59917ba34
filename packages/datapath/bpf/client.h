/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * client.h: what a client says first, read as it passes.
 *
 * A flow that is pending, or permitted on the strength of a name, is read: its bytes are kept from `base` on, in order and
 * without gaps, and looked at by hello.h. Segments that come early are dropped and sent again by the client. Every
 * segment that touches kept bytes is compared with them, also after the verdict, until the server has acknowledged them:
 * the bytes that were judged are the only bytes that the server can get.
 */
#ifndef COFFERDAM_CLIENT_H
#define COFFERDAM_CLIENT_H

#include "flow.h"
#include "hello.h"
#include "plain-http.h"

enum segment {
	SEGMENT_PASS,
	SEGMENT_DROP, /* it will come again */
	SEGMENT_DENY, /* the flow was denied */
};

#define KEPT_PLAIN 64 /* bytes kept of what is not TLS, at least */

struct comparison {
	struct __sk_buff *skb;
	struct hello *hello;
	__u32 from; /* offset in the packet */
	__u32 at; /* index in raw */
	__u32 left;
	__u32 differs;
};

static long compare_chunk(__u32 turn, struct comparison *c)
{
	__u8 bytes[64] = {};
	__u32 n = c->left, at = c->at;

	if (n == 0)
		return 1;
	if (n > sizeof(bytes))
		n = sizeof(bytes);
	if (at >= HELLO_BYTES || n < 1 || bpf_skb_load_bytes(c->skb, c->from, bytes, n)) {
		c->differs = 1;
		return 1;
	}
	for (__u32 i = 0; i < sizeof(bytes); i++)
		if (i < n && bytes[i] != c->hello->raw[at + i])
			c->differs = 1;
	c->from += n;
	c->at += n;
	c->left -= n;
	return c->differs ? 1 : 0;
}

/* Whether `length` bytes of the packet at `from` equal what is kept at `at`. */
__noinline int same_bytes(struct __sk_buff *skb, struct hello *h, __u32 from, __u32 at, __u32 length)
{
	if (!h)
		return 0;
	struct comparison c = { .skb = skb, .hello = h, .from = from, .at = at, .left = length };
	bpf_loop(HELLO_BYTES / 64 + 1, compare_chunk, &c, 0);
	return !c.differs && c.left == 0;
}

struct copy {
	struct __sk_buff *skb;
	struct hello *hello;
	__u32 from;
	__u32 left;
};

static long copy_chunk(__u32 turn, struct copy *c)
{
	__u32 n = c->left, at = c->hello->have;

	if (n == 0 || at >= HELLO_BYTES)
		return 1;
	if (n > HELLO_CHUNK)
		n = HELLO_CHUNK;
	if (n > HELLO_BYTES - at)
		n = HELLO_BYTES - at;
	if (n < 1 || n > HELLO_CHUNK)
		return 1;
	if (bpf_skb_load_bytes(c->skb, c->from, c->hello->raw + at, n))
		return 1;
	c->hello->have = at + n;
	c->from += n;
	c->left -= n;
	return 0;
}

__noinline int keep_bytes(struct __sk_buff *skb, struct hello *h, __u32 from, __u32 length)
{
	if (!h)
		return -1;
	struct copy c = { .skb = skb, .hello = h, .from = from, .left = length };
	bpf_loop(HELLO_BYTES / HELLO_CHUNK + 2, copy_chunk, &c, 0);
	return 0;
}

static __always_inline int deny_here(struct flow *flow, __u32 reason)
{
	flow->state = FLOW_DENIED;
	flow->flags |= FLOW_TROUBLE;
	flow->reason = reason;
	flow->stage = STAGE_NAME;
	if (flow->would_verdict == 1)
		flow->would_verdict = 3; /* it might be denied so whatever permits it */
	return SEGMENT_DENY;
}

/* Nothing denies by what is read of this flow: whatever goes wrong ends the reading, not the flow. */
static __always_inline int reads_for_record(const struct flow *flow)
{
	return flow->state == FLOW_BINDING && !(flow->flags & (FLOW_RESTS_ON_NAME | FLOW_WAITED));
}

/* The caller gives the hello back once it is unlocked. */
static __always_inline int stop_reading(struct flow *flow)
{
	if (!(flow->flags & (FLOW_HELLO_DONE | FLOW_READ_OVER | FLOW_RETRY)) && flow->tls != FACT_UNREADABLE) {
		/* What the server's speaking first made absent was never seen to be so. */
		flow->tls = flow->claimed_state = FACT_UNKNOWN;
		if (flow->flags & FLOW_WOULD_REST)
			flow->would_verdict = 3;
	}
	flow->state = FLOW_PERMITTED;
	return SEGMENT_PASS;
}

/*
 * Denied by how its bytes came. Where the flow is monitored that is lifted: what was to be read is unreadable, which
 * fails permits and satisfies denies, and the walk goes on (DESIGN 3.6).
 */
static __always_inline int lift(const struct plan *plan, const struct flow_key *key, struct flow *flow, struct question *q,
				struct answer *a)
{
	__u32 reason = flow->reason;

	flow->tls = FACT_UNREADABLE;
	flow->claimed_state = FACT_UNREADABLE;
	if (judge(plan, key, flow, q, a) == OUTCOME_PERMIT) {
		flow->state = FLOW_PERMITTED;
		flow->flags &= ~FLOW_TROUBLE;
		return SEGMENT_PASS;
	}
	if (flow->state != FLOW_DENIED)
		set_denied(flow, flow->rule, reason);
	return SEGMENT_DENY;
}

/* The facts of the name stage are there: judge. The hello is locked by the caller. */
static __always_inline int judge_name(const struct plan *plan, const struct flow_key *key, struct flow *flow, struct hello *h,
				      struct question *q, struct answer *a)
{
	__u32 rule = flow->rule, revision = flow->revision;
	int was_binding = flow->state == FLOW_BINDING;
	int outcome = judge(plan, key, flow, q, a);

	flow->stage = STAGE_NAME;
	if (outcome == OUTCOME_PERMIT || (was_binding && outcome == OUTCOME_UNDECIDED)) {
		if (outcome == OUTCOME_UNDECIDED) {
			flow->rule = rule;
			flow->revision = revision;
			flow->reason = REASON_RULE;
		}
		flow->state = FLOW_BINDING;
		return SEGMENT_PASS;
	}
	if (outcome == OUTCOME_UNDECIDED)
		return deny_here(flow, REASON_UNDECIDED_CLOSED);
	return SEGMENT_DENY;
}

/* A hello was read to its end. */
static __always_inline int hello_complete(const struct plan *plan, const struct flow_key *key, struct flow *flow,
					  struct hello *h, __u32 segment_end, struct question *q, struct answer *a)
{
	__u32 id = 0, state = FACT_ABSENT;
	__u32 *found = 0;

	if (h->flags & HELLO_NAME_BAD) {
		state = FACT_UNREADABLE;
	} else if (h->flags & HELLO_HAS_NAME) {
		found = bpf_map_lookup_elem(&names, h->name);
		state = FACT_KNOWN;
		if (found)
			id = *found;
	}
	if (h->flags & HELLO_AFTER) {
		/* A second hello repeats the name (RFC 8446 4.1.2), or is the way to another one. */
		if (state != flow->claimed_state || id != flow->claimed) {
			if (!reads_for_record(flow))
				return deny_here(flow, REASON_NAME_MISMATCH);
			flow->claimed_state = FACT_UNREADABLE;
			return stop_reading(flow);
		}
		flow->flags |= FLOW_READ_OVER;
		flow->judged_end = h->base + h->end;
		h->have = h->end;
		return SEGMENT_PASS;
	}
	if (state == FACT_KNOWN && (plan->flags & PLAN_NAMES_OPEN) && !(found && find_name(plan, found)) &&
	    (!(flow->flags & FLOW_RESTS_ON_NAME) || (flow->flags & FLOW_MONITORED) || (plan->flags & PLAN_MONITORED))) {
		/*
		 * A deny may hold this name: user space classifies it while the client sends again. A permit that rests
		 * on a name ends here anyway, unless that is lifted or a would-be verdict is asked for.
		 */
		tell(EVENT_NAME_MISS, key, flow, h);
		return SEGMENT_DROP;
	}
	flow->tls = FACT_KNOWN;
	flow->claimed_state = state;
	flow->claimed = id;
	if (h->flags & HELLO_ECH)
		flow->flags |= FLOW_ECH;
	if (h->flags & HELLO_EARLY_DATA)
		flow->flags |= FLOW_EARLY_DATA;
	int said = judge_name(plan, key, flow, h, q, a);
	if (said != SEGMENT_PASS)
		return said;
	flow->judged_end = h->base + h->end;
	h->have = h->end;
	flow->flags |= FLOW_HELLO_DONE;
	/* What follows the hello in its own segment can only be early data. */
	if ((__s32)(segment_end - flow->judged_end) > 0 && !(h->flags & HELLO_EARLY_DATA) && !reads_for_record(flow))
		return deny_here(flow, REASON_HELLO_UNREADABLE);
	return SEGMENT_PASS;
}

/* The client's first bytes are not TLS. */
static __always_inline int not_tls(const struct plan *plan, const struct flow_key *key, struct flow *flow, struct hello *h,
				   struct question *q, struct answer *a)
{
	__u32 rests_on = recognise_http(h);
	if (h->flags & (HELLO_UNSURE | HELLO_LAX))
		/* "G" alone, or a line that is not over: a pending flow gets nothing through, and the client sends it again with more. */
		return flow->state == FLOW_PENDING ? SEGMENT_DROP : SEGMENT_PASS;
	if (flow->flags & FLOW_SERVER_FIRST) {
		if (h->flags & HELLO_HTTP)
			return deny_here(flow, REASON_SPOKE_OUT_OF_TURN);
	} else {
		flow->tls = FACT_ABSENT;
		flow->claimed_state = FACT_ABSENT;
		if (h->flags & HELLO_HTTP)
			flow->flags |= FLOW_PLAIN_HTTP;
		int said = judge_name(plan, key, flow, h, q, a);
		if (said != SEGMENT_PASS)
			return said;
	}
	/* All that it was recognised by is kept: else the line that was judged could be sent again as a request. */
	if (rests_on < KEPT_PLAIN)
		rests_on = KEPT_PLAIN;
	if (h->have > rests_on)
		h->have = rests_on;
	h->end = h->have;
	flow->judged_end = h->base + h->end;
	flow->flags |= FLOW_READ_OVER;
	return SEGMENT_PASS;
}

/* New bytes of a flow that is read, in a hello that this processor has locked. */
static __always_inline int read_on(struct __sk_buff *skb, const struct packet *p, const struct plan *plan, struct flow *flow,
				   struct hello *h, struct question *q, struct answer *a)
{
	__s32 offset = (__s32)(p->sequence - h->base);
	__u32 have = h->have;

	if (offset < 0 || (__u32)offset > have)
		return reads_for_record(flow) ? stop_reading(flow) : SEGMENT_DROP;
	__u32 again = have - offset;
	if (again > p->payload_length)
		again = p->payload_length;
	if (again && !same_bytes(skb, h, p->payload, offset, again))
		return reads_for_record(flow) ? stop_reading(flow) : deny_here(flow, REASON_HELLO_CHANGED);
	if (p->payload_length > again)
		keep_bytes(skb, h, p->payload + again, p->payload_length - again);
	hello_read(h);

	if ((flow->flags & FLOW_SERVER_FIRST) && h->state != HELLO_NOT_TLS && h->position >= 2)
		return deny_here(flow, REASON_SPOKE_OUT_OF_TURN);
	if (h->state < HELLO_COMPLETE)
		return SEGMENT_PASS;
	if (h->state == HELLO_COMPLETE)
		return hello_complete(plan, &p->key, flow, h, p->sequence + p->payload_length, q, a);
	if (h->state == HELLO_NOT_TLS) {
		if (!(h->flags & HELLO_AFTER))
			return not_tls(plan, &p->key, flow, h, q, a);
		/* No second hello after all. */
		flow->flags |= FLOW_READ_OVER;
		flow->judged_end = h->base;
		h->have = 0;
		return SEGMENT_PASS;
	}
	if (h->flags & HELLO_AFTER)
		return reads_for_record(flow) ? stop_reading(flow) : deny_here(flow, REASON_HELLO_UNREADABLE);
	flow->tls = FACT_UNREADABLE;
	flow->claimed_state = FACT_UNREADABLE;
	int said = judge_name(plan, &p->key, flow, h, q, a);
	if (said != SEGMENT_PASS)
		return said;
	return stop_reading(flow);
}

/* A segment with payload of a pending or binding flow. */
static __always_inline int read_client(struct __sk_buff *skb, const struct packet *p, const struct plan *plan,
				       struct flow *flow, __u64 now, struct question *q, struct answer *a)
{
	struct hello *h;
	__u32 index;
	int said;

	if (!flow->first_byte)
		flow->first_byte = now;

	if (flow->flags & (FLOW_HELLO_DONE | FLOW_READ_OVER)) {
		__u32 end = p->sequence + p->payload_length;
		if (flow->slot) {
			index = flow->slot - 1;
			h = bpf_map_lookup_elem(&hellos, &index);
			if (!h)
				return deny_here(flow, REASON_HELLO_SLOTS_FULL);
			__s32 offset = (__s32)(p->sequence - h->base);
			__u32 have = h->have;
			if (offset < 0)
				return SEGMENT_DROP;
			if ((__u32)offset < have) {
				__u32 again = have - offset;
				if (again > p->payload_length)
					again = p->payload_length;
				if (!same_bytes(skb, h, p->payload, offset, again))
					return deny_here(flow, REASON_HELLO_CHANGED);
			}
		}
		if ((__s32)(end - flow->judged_end) <= 0 || (flow->flags & FLOW_READ_OVER))
			return SEGMENT_PASS;
		/* Behind the first hello, before the server's answer: early data, or an attempt to hide a second hello. */
		return flow->flags & FLOW_EARLY_DATA || reads_for_record(flow) ? SEGMENT_PASS : SEGMENT_DROP;
	}

	if (flow->flags & FLOW_RETRY) {
		/* The server has acknowledged all before base: what lies wholly there is ignored by it. */
		if ((__s32)(p->sequence + p->payload_length - flow->base) <= 0)
			return SEGMENT_PASS;
	}
	if (!flow->slot) {
		if (count_hello(&p->key, 1))
			return reads_for_record(flow) ? stop_reading(flow) : deny_here(flow, REASON_HELLO_SLOTS_FULL);
		if (bpf_map_pop_elem(&free_hellos, &index)) {
			count_hello(&p->key, -1);
			return reads_for_record(flow) ? stop_reading(flow) : deny_here(flow, REASON_HELLO_SLOTS_FULL);
		}
		h = bpf_map_lookup_elem(&hellos, &index);
		if (!h)
			return deny_here(flow, REASON_HELLO_SLOTS_FULL);
		h->busy = 1;
		flow->slot = index + 1;
		hello_begin(h, flow->base,
			    !(flow->flags & FLOW_RETRY)	     ? 0 :
			    flow->flags & FLOW_RETRY_SURE ? HELLO_AFTER | HELLO_SURE :
							    HELLO_AFTER);
	} else {
		index = flow->slot - 1;
		h = bpf_map_lookup_elem(&hellos, &index);
		if (!h)
			return deny_here(flow, REASON_HELLO_SLOTS_FULL);
		/* Two processors with segments of one flow: the second comes again. */
		if (__sync_val_compare_and_swap(&h->busy, 0, 1) != 0)
			return SEGMENT_DROP;
	}
	said = read_on(skb, p, plan, flow, h, q, a);
	if (said != SEGMENT_DENY && flow->state != FLOW_PERMITTED && !(flow->flags & (FLOW_HELLO_DONE | FLOW_READ_OVER)) &&
	    now - flow->first_byte > UNDECIDED_NS && !reads_for_record(flow))
		said = deny_here(flow, REASON_UNDECIDED_TIMEOUT);
	__sync_val_compare_and_swap(&h->busy, 1, 0);
	return said;
}

/* The same with what becomes of trouble. */
static __always_inline int client_segment(struct __sk_buff *skb, const struct packet *p, const struct plan *plan,
					  struct flow *flow, __u64 now, struct question *q, struct answer *a)
{
	int said;

	/* An urgent pointer, also one without data, takes a byte out of what the server reads. */
	if (p->tcp_flags & TCP_URG)
		said = reads_for_record(flow) ? stop_reading(flow) : deny_here(flow, REASON_URGENT_DATA);
	else if (p->payload_length == 0)
		return SEGMENT_PASS;
	else
		said = read_client(skb, p, plan, flow, now, q, a);
	if (said == SEGMENT_DENY && (flow->flags & FLOW_TROUBLE) && (flow->flags & FLOW_MONITORED))
		said = lift(plan, &p->key, flow, q, a);
	if (flow->state == FLOW_PERMITTED)
		release_hello(&p->key, flow);
	return said;
}

#endif
