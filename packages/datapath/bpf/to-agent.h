/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * to-agent.h: TCP segments of a server: who spoke first, what it has acknowledged, whether it asks for a second hello.
 */
#ifndef COFFERDAM_TO_AGENT_H
#define COFFERDAM_TO_AGENT_H

#include "outcome.h"

/* The random of a ServerHello that is a HelloRetryRequest: RFC 8446 section 4.1.3. */
const __u8 retry_random[32] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

enum second_hello {
	SECOND_NEVER = 0,
	SECOND_PERHAPS = 1,
	SECOND_SURELY = 2,
};

/* What the server's first bytes after a hello say of a second one. */
static __always_inline int asks_again(struct __sk_buff *skb, const struct packet *p)
{
	__u8 head[43];

	if (bpf_skb_load_bytes(skb, p->payload, head, 1))
		return SECOND_PERHAPS;
	if (head[0] == RECORD_ALERT)
		return SECOND_PERHAPS; /* a warning, and behind it anything */
	if (head[0] != RECORD_HANDSHAKE)
		return SECOND_NEVER;
	if (p->payload_length < sizeof(head) || bpf_skb_load_bytes(skb, p->payload, head, sizeof(head)))
		return SECOND_PERHAPS; /* too short to tell */
	if (head[5] != 2)
		return SECOND_PERHAPS;
	for (int i = 0; i < 32; i++)
		if (head[11 + i] != retry_random[i])
			return SECOND_NEVER;
	return SECOND_SURELY;
}

/* The next connection to the name of this flow begins with the address that answered. */
static __always_inline void prefer_place(const struct flow_key *key, const struct flow *flow, struct synthetic_key *which)
{
	if (!(flow->flags & FLOW_TRANSLATED))
		return;
	which->family = key->family;
	which->address = key->destination;
	struct synthetic *y = bpf_map_lookup_elem(&synthetics, which);
	if (y && y->turn == flow->path >> PATH_TURN_SHIFT)
		y->first = flow->path & PATH_PLACE;
}

/* The client has ended before what it said could be told apart. The server has all of it and the end: nothing more will come. */
static __always_inline void end_reading(const struct flow_key *key, struct flow *flow, __u32 acknowledged)
{
	__u32 index = flow->slot - 1;
	struct hello *h = bpf_map_lookup_elem(&hellos, &index);

	if (!h || (flow->flags & (FLOW_HELLO_DONE | FLOW_READ_OVER)) || (__s32)(acknowledged - h->base - h->have) <= 0)
		return;
	flow->flags |= FLOW_READ_OVER;
	flow->judged_end = acknowledged;
	flow->state = FLOW_PERMITTED;
	release_hello(key, flow);
}

/* A TCP segment of the server. Returns a tc verdict. */
static __always_inline int tcp_to_agent(struct __sk_buff *skb, struct plan *plan, struct scratch *s,
					const struct flow_key *key, struct flow *flow, __u64 now)
{
	const struct packet *p = &s->packet;

	if (p->tcp_flags & TCP_RST) {
		flow->flags |= FLOW_RESET;
		release_hello(key, flow);
	}
	if (p->tcp_flags & TCP_FIN)
		flow->flags |= FLOW_SERVER_FIN;
	if (p->tcp_flags & TCP_SYN) {
		if (p->payload_length || !(p->tcp_flags & TCP_ACK))
			return drop(REASON_SYN_PAYLOAD);
		if (p->acknowledgement != flow->base && !flow->first_byte)
			return drop(REASON_NOT_A_NEW_FLOW); /* answers another SYN than the one that was judged */
		if (!(flow->flags & FLOW_SYN_ANSWERED)) {
			flow->server_base = p->sequence + 1;
			prefer_place(key, flow, &s->synthetic);
		}
		flow->flags |= FLOW_SYN_ANSWERED;
		return TC_ACT_OK;
	}
	if ((p->tcp_flags & TCP_ACK) && (flow->flags & (FLOW_HELLO_DONE | FLOW_READ_OVER)) &&
	    (__s32)(p->acknowledgement - flow->judged_end) >= 0) {
		/* The server has what was judged: nothing can be put in its place any more. */
		release_hello(key, flow);
		if ((flow->flags & FLOW_READ_OVER) && flow->state == FLOW_BINDING)
			flow->state = FLOW_PERMITTED;
	}
	if ((p->tcp_flags & TCP_ACK) && flow->slot && flow->state == FLOW_BINDING && (flow->flags & FLOW_CLIENT_FIN))
		end_reading(key, flow, p->acknowledgement);
	if (p->payload_length == 0 || flow->state == FLOW_PERMITTED || flow->state == FLOW_PROXIED)
		return TC_ACT_OK;

	if (flow->state == FLOW_PENDING) {
		if (flow->first_byte)
			return drop(REASON_NO_DECISION);
		/* It speaks first: there will be no TLS, no HTTP, no claimed name. */
		flow->tls = flow->claimed_state = FACT_ABSENT;
		flow->flags |= FLOW_SERVER_SPOKE | FLOW_SERVER_FIRST;
		int outcome = judge(plan, key, flow, &s->question, &s->answer);
		flow->stage = STAGE_NAME;
		if (outcome == OUTCOME_UNDECIDED) {
			flow->state = FLOW_DENIED;
			flow->reason = REASON_UNDECIDED_CLOSED;
		} else if (outcome == OUTCOME_PERMIT) {
			flow->state = FLOW_BINDING;
		}
		count_hit(flow->rule, outcome == OUTCOME_PERMIT, flow->would_verdict, now);
		tell(EVENT_VERDICT, key, flow, 0);
		return outcome == OUTCOME_PERMIT ? TC_ACT_OK : drop(flow->reason);
	}
	if (!flow->first_byte) {
		if (!(flow->flags & FLOW_SERVER_SPOKE)) {
			flow->flags |= FLOW_SERVER_SPOKE | FLOW_SERVER_FIRST;
			flow->tls = flow->claimed_state = FACT_ABSENT;
			/* It stays permitted: what a fact can change was unknown when it was. The would-be verdict may not. */
			if (judge(plan, key, flow, &s->question, &s->answer) != OUTCOME_PERMIT)
				return drop(flow->reason);
			flow->stage = STAGE_NAME;
		}
		return TC_ACT_OK;
	}
	if ((flow->flags & FLOW_HELLO_DONE) && !(flow->flags & FLOW_READ_OVER) && p->sequence == flow->server_base) {
		int again = asks_again(skb, p);
		if (again == SECOND_NEVER) {
			flow->flags |= FLOW_READ_OVER;
			if (!flow->slot)
				flow->state = FLOW_PERMITTED;
		} else if ((__s32)(p->acknowledgement - flow->judged_end) < 0) {
			return drop(REASON_NO_DECISION); /* it has not read the hello: what is kept of it must be kept */
		} else if (flow->flags & FLOW_EARLY_DATA) {
			/* Early data may have hidden a second hello; a client that meant well connects again. */
			if (!reads_for_record(flow)) {
				flow->state = FLOW_DENIED;
				flow->reason = REASON_HELLO_UNREADABLE;
				tell(EVENT_VERDICT, key, flow, 0);
				return drop(flow->reason);
			}
			flow->flags |= FLOW_READ_OVER;
		} else {
			release_hello(key, flow);
			flow->base = flow->judged_end;
			flow->flags &= ~FLOW_HELLO_DONE;
			flow->flags |= again == SECOND_SURELY ? FLOW_RETRY | FLOW_RETRY_SURE : FLOW_RETRY;
		}
	}
	return TC_ACT_OK;
}

#endif
