/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * outcome.h: what both hooks share: the room they work in, and what can become of a packet.
 */
#ifndef COFFERDAM_OUTCOME_H
#define COFFERDAM_OUTCOME_H

#include "flow.h"
#include "client.h"
#include "cut.h"
#include "icmp.h"
#include "packet.h"

#include <linux/pkt_cls.h>

struct scratch {
	struct plan plan;
	struct flow_key key; /* of the flow, as the agent writes it */
	struct flow_key ends; /* what a packet of the fast path is given */
	struct agent_key who;
	struct agent_key other; /* the agent at the other end, if it is one */
	struct destination_key destination;
	struct synthetic_key synthetic;
	struct tracked_key tracked;
	struct dns_client dns_client;
	__u32 next_place; /* 1 + place of a name's addresses to go on from, after a SYN without answer; 0: begin where it says */
	__u8 handed[6]; /* from_uplink to to_agent: whose packet it is, by hardware address */
	struct fragment_key fragment;
	struct fragment_end fragment_end;
	struct packet packet;
	struct flow flow;
	struct question question;
	struct answer answer;
};

/* Too large for the stack; one for each program, as a processor runs one of each at a time. */
enum { OF_FROM_AGENT, OF_TO_AGENT, OF_END_FLOW, OF_FROM_UPLINK };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline int drop(__u32 reason)
{
	count_drop(reason);
	return TC_ACT_SHOT;
}

/* Written so, since a compiler that shares one store among many calls reaches it by an address that the verifier refuses. */
static __always_inline int pass(struct __sk_buff *skb, __u32 mark)
{
	asm volatile("*(u32 *)(%[skb] + %[at]) = %[mark]"
		     :
		     : [skb] "r"(skb), [at] "i"(__builtin_offsetof(struct __sk_buff, mark)), [mark] "r"(mark)
		     : "memory");
	return TC_ACT_OK;
}

/* A packet that is no agent's is dropped, told at the cost of its interface. */
static __always_inline int drop_foreign(struct __sk_buff *skb, struct scratch *s, __u32 reason, __u64 now)
{
	s->flow.rule = RULE_DEFAULT;
	s->flow.reason = reason;
	s->flow.start = s->flow.last = now;
	s->flow.state = FLOW_DENIED;
	count_drop(reason);
	__builtin_memset(&s->who, 0, sizeof(s->who));
	s->who.ifindex = skb->ifindex;
	if (may_tell(&s->who, now))
		tell(EVENT_DENIED, &s->packet.key, &s->flow, 0);
	return TC_ACT_SHOT;
}

/* A packet that makes no flow is denied: told, counted, and rejected where its rule does not say drop. */
static __always_inline int deny_packet(struct __sk_buff *skb, const struct plan *plan, struct scratch *s, __u32 rule,
				       __u32 reason, __u64 now)
{
	s->flow.rule = rule;
	s->flow.reason = reason;
	s->flow.state = FLOW_DENIED;
	s->flow.start = s->flow.last = now;
	count_drop(reason);
	count_hit(rule, 0, s->flow.would_verdict, now);
	if (may_tell(&s->who, now))
		tell(EVENT_DENIED, &s->packet.key, &s->flow, 0);
	__u32 mark = denial_mark(plan, rule);
	if (!mark || (s->packet.tcp_flags & TCP_RST))
		return TC_ACT_SHOT;
	return pass(skb, mark);
}

static __always_inline __u32 flow_mark(const struct flow *flow)
{
	if (flow->state == FLOW_PROXIED)
		return MARK_PROXY;
	return MARK_PASS | flow->path;
}

/* Of a packet that was judged by the address it will be sent to: without the bit, netfilter translates nothing new. */
static __always_inline __u32 first_mark(const struct flow *flow)
{
	__u32 mark = flow_mark(flow);
	return mark == MARK_PROXY ? mark : mark | MARK_FIRST;
}

/*
 * Whether the name of a flow still has the address that the flow was judged by. Until the other end has answered,
 * connection tracking may know nothing of the flow, and would translate its next packet to what the name has now.
 */
static __always_inline int still_named(const struct flow_key *key, const struct flow *flow, struct synthetic_key *which)
{
	which->family = key->family;
	which->address = key->destination;
	struct synthetic *y = bpf_map_lookup_elem(&synthetics, which);
	__u32 place = flow->path & PATH_PLACE;
	return y && y->name == flow->name && y->turn == flow->path >> PATH_TURN_SHIFT && place < y->count;
}

/* A live flow is judged again when the plan or the epoch has changed. 0: it may go on. */
static __always_inline int still_permitted(struct plan *plan, const struct flow_key *key, struct flow *flow,
					   struct scratch *s)
{
	if (flow->generation == plan->generation || flow->state == FLOW_DENIED || (flow->flags & FLOW_ELSEWHERE))
		return 0;
	__u32 held = flow->state == FLOW_PROXIED;
	int outcome = judge(plan, key, flow, &s->question, &s->answer);
	if (flow->state == FLOW_PROXIED || flow->state == FLOW_PENDING)
		return outcome == OUTCOME_DENY;
	__u32 begun = FLOW_HELLO_DONE | FLOW_READ_OVER | FLOW_SERVER_SPOKE;
	if (outcome == OUTCOME_UNDECIDED && flow->state == FLOW_BINDING && !(flow->flags & begun)) {
		/* The facts that are asked for now are still to come. */
		flow->state = FLOW_PENDING;
		flow->flags |= FLOW_WAITED;
		return 0;
	}
	if (outcome == OUTCOME_PERMIT) {
		if (flow->state == FLOW_BINDING || !(flow->flags & FLOW_RESTS_ON_NAME) ||
		    flow->claimed_state != FACT_UNKNOWN)
			return 0;
		outcome = OUTCOME_UNDECIDED; /* it rests on a name now, and what its client claimed was not read */
	}
	/* Undecided: its walk asks for a fact that was never recorded. */
	set_denied(flow, flow->rule, outcome == OUTCOME_UNDECIDED ? REASON_FACTS_UNKNOWN : REASON_FLOW_CUT);
	if (!held)
		mark_cut(key, flow);
	return 1;
}

/* A packet of an agent in a flow that is denied. */
static __always_inline int denied_packet(struct __sk_buff *skb, const struct plan *plan, const struct packet *p, struct flow *flow)
{
	int is_tcp = p->key.protocol == IPPROTO_TCP;

	if (is_tcp && (flow->flags & FLOW_CUT) && !(p->tcp_flags & TCP_SYN)) {
		flow->flags &= ~FLOW_CUT;
		if (p->tcp_flags & TCP_ACK)
			flow->client_ack = p->acknowledgement;
		return make_reset(skb, p) ? TC_ACT_SHOT : pass(skb, flow_mark(flow));
	}
	if (is_tcp && (p->tcp_flags & TCP_RST))
		return TC_ACT_SHOT;
	return denial_mark(plan, flow->rule) ? pass(skb, MARK_REJECT) : TC_ACT_SHOT;
}

/* The other direction of a packet or a flow. */
static __always_inline void reverse(const struct flow_key *from, struct flow_key *key)
{
	*key = *from;
	key->source = from->destination;
	key->destination = from->source;
	if (from->protocol != IPPROTO_ICMP) {
		key->source_port = from->destination_port;
		key->destination_port = from->source_port;
	}
}

#endif
