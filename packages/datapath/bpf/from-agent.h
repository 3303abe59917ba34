/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * from-agent.h: packets of an agent: the first of a flow, segments of a flow that is there, and its neighbours.
 */
#ifndef COFFERDAM_FROM_AGENT_H
#define COFFERDAM_FROM_AGENT_H

#include "fast-path.h"

/* What answers a flow that goes to another agent: of whichever interface that agent is on. */
static __always_inline void answering(const struct flow_key *key, const struct flow *flow, struct flow_key *answer)
{
	*answer = *key;
	answer->ifindex = 0;
	answer->source = flow->real;
	answer->destination = key->source;
	if (key->protocol != IPPROTO_ICMP) {
		answer->source_port = key->destination_port;
		answer->destination_port = key->source_port;
	}
}

/* Whether the real end of a flow is an agent, on some interface. */
static __always_inline int crosses(const struct plan *plan, const struct flow_key *key, const struct flow *flow,
				   struct scratch *s)
{
	s->other.ifindex = 0;
	s->other.family = key->family;
	s->other.address = flow->real;
	return find_agent(plan, &s->other) != 0;
}

/* The flow that a packet of an agent answers. 0: none. */
static __always_inline struct flow *find_crossing(const struct flow_key *packet, struct flow_key *answer)
{
	*answer = *packet;
	answer->ifindex = 0;
	struct flow_key *key = bpf_map_lookup_elem(&crossings, answer);
	return key ? bpf_map_lookup_elem(&flows, key) : 0;
}

/* Takes a flow out of every table. Returns 0 where it was there. */
static __always_inline int forget_flow(const struct flow_key *key, struct flow *flow, struct flow_key *answer)
{
	release_hello(key, flow);
	leave_fast_path(key, flow, answer);
	if (flow->flags & FLOW_CROSSES) {
		answering(key, flow, answer);
		bpf_map_delete_elem(&crossings, answer);
	}
	if (bpf_map_delete_elem(&flows, key))
		return 1;
	count_flow(key, -1);
	return 0;
}

/* A name without an address of this family: the proxy, which makes a connection of its own, judges and dials the others. */
static __always_inline int begin_elsewhere(struct __sk_buff *skb, const struct plan *plan, struct scratch *s,
					   const struct synthetic *y, __u64 now)
{
	struct flow *f = &s->flow;

	f->name = y->name;
	f->state = FLOW_PROXIED;
	f->flags |= FLOW_ELSEWHERE;
	f->packets_out = 1;
	f->bytes_out = s->packet.length;
	if (bpf_map_update_elem(&flows, &s->packet.key, f, BPF_NOEXIST))
		return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_FLOW_TABLE_FULL, now);
	count_flow(&s->packet.key, 1);
	return pass(skb, MARK_PROXY);
}

/* What this agent was given an address for: id of a name or of a set of names. 0: no answer gave it. */
static __noinline __u32 tracked_name(const struct agent *agent, const struct flow_key *key, struct tracked_key *which)
{
	which->holder = agent->holder;
	which->family = key->family;
	which->pad = 0;
	which->address = key->destination;
	__u32 *id = bpf_map_lookup_elem(&tracked, which);
	return id ? *id : 0;
}

/* The first packet of a flow. */
static __always_inline int begin_flow(struct __sk_buff *skb, struct plan *plan, struct scratch *s, struct agent *agent,
				      __u64 now)
{
	struct packet *p = &s->packet;
	struct flow *f = &s->flow;
	struct flow_key *key = &p->key;
	struct question *q = &s->question;
	struct answer *a = &s->answer;
	int is_tcp = key->protocol == IPPROTO_TCP;

	f->agent = agent->id;
	f->real = key->destination;
	f->start = f->last = now;
	f->tls = f->claimed_state = is_tcp ? FACT_UNKNOWN : FACT_ABSENT;
	__builtin_memcpy(f->mac, p->mac, 6);

	if (is_tcp) {
		__u8 flags = p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);
		if (flags & TCP_RST)
			return drop(REASON_NOT_A_NEW_FLOW);
		if (flags != TCP_SYN)
			return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_NOT_A_NEW_FLOW, now);
		if (p->payload_length)
			return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_SYN_PAYLOAD, now);
		f->base = f->judged_end = p->sequence + 1;
	} else if (key->protocol == IPPROTO_ICMP && p->icmp_type != ICMP_ECHO && p->icmp_type != ICMPV6_ECHO_REQUEST) {
		return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_PROTOCOL_NOT_SUPPORTED, now);
	}

	__u32 charged = charge_flow(&s->who, now);
	if (charged)
		return deny_packet(skb, plan, s, RULE_DEFAULT, charged, now);
	struct destination *d = find_destination(plan, key->family, &key->destination, &s->destination);
	if (!d)
		return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_NO_PLAN, now);
	int outcome;
	if (d->flags & DESTINATION_POOL) {
		/*
		 * The first of its addresses that is not denied is dialled; `to` is judged on it. Where a SYN went
		 * unanswered the search goes on behind the address that it was sent to.
		 */
		s->synthetic.family = key->family;
		s->synthetic.address = key->destination;
		struct synthetic *y = bpf_map_lookup_elem(&synthetics, &s->synthetic);
		if (plan->flags & (PLAN_TRACK | PLAN_OWN))
			y = 0; /* nobody was given it by an answer of this gateway */
		if (y && y->count == 0 && y->elsewhere && is_tcp)
			return begin_elsewhere(skb, plan, s, y, now);
		if (!y || y->count == 0 || y->count > REAL_ADDRESSES)
			return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_ADDRESS_UNMAPPED, now);
		f->name = y->name;
		f->flags |= FLOW_TRANSLATED;
		outcome = OUTCOME_DENY;
		__u32 first = s->next_place ? s->next_place - 1 : y->first;
		for (int i = 0; i < REAL_ADDRESSES; i++) {
			if (i >= y->count)
				break;
			__u32 place = (first + i) % y->count;
			bounded(place);
			if (place >= REAL_ADDRESSES)
				break;
			f->real = y->real[place];
			f->path = y->turn << PATH_TURN_SHIFT | place;
			f->state = FLOW_NONE;
			f->generation = 0;
			outcome = judge(plan, key, f, q, a);
			if (outcome != OUTCOME_DENY)
				break;
		}
	} else {
		if (plan->flags & PLAN_TRACK)
			f->name = tracked_name(agent, key, &s->tracked);
		outcome = judge(plan, key, f, q, a);
	}
	if (outcome == OUTCOME_DENY)
		return deny_packet(skb, plan, s, f->rule, f->reason, now);
	if (is_tcp && (a->proxy || bpf_ntohs(key->destination_port) == 80)) {
		f->state = FLOW_PROXIED;
	} else if (outcome == OUTCOME_UNDECIDED) {
		if (!is_tcp)
			return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_NO_DECISION, now);
		f->state = FLOW_PENDING;
		f->flags |= FLOW_WAITED;
	} else {
		/* Every permitted TCP flow is read, if only for the record. */
		f->state = is_tcp ? FLOW_BINDING : FLOW_PERMITTED;
	}
	f->packets_out = 1;
	f->bytes_out = p->length;
	if (crosses(plan, key, f, s) && f->state != FLOW_PROXIED) {
		f->flags |= FLOW_CROSSES;
		answering(key, f, &s->key);
		if (bpf_map_update_elem(&crossings, &s->key, key, BPF_ANY))
			return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_FLOW_TABLE_FULL, now);
	}
	if (bpf_map_update_elem(&flows, key, f, BPF_NOEXIST))
		return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_FLOW_TABLE_FULL, now);
	count_flow(key, 1);
	if (f->state == FLOW_PERMITTED || f->state == FLOW_BINDING) {
		count_hit(f->rule, 1, f->would_verdict, now);
		tell(EVENT_VERDICT, key, f, 0);
	}
	return pass(skb, first_mark(f));
}

/* A TCP segment of a flow that is there already. -1: begin anew. */
static __always_inline int tcp_from_agent(struct __sk_buff *skb, struct plan *plan, struct scratch *s,
					  struct flow *flow, __u64 now)
{
	struct packet *p = &s->packet;

	if (flow->state == FLOW_DENIED && !(p->tcp_flags & TCP_SYN))
		return denied_packet(skb, plan, p, flow);
	if (p->tcp_flags & TCP_RST) {
		if (p->payload_length && flow->state != FLOW_PERMITTED && flow->state != FLOW_PROXIED)
			return drop(REASON_MALFORMED_PACKET);
		flow->flags |= FLOW_RESET;
		release_hello(&p->key, flow);
		return pass(skb, flow_mark(flow));
	}
	if (p->tcp_flags & TCP_SYN) {
		if (p->tcp_flags & TCP_ACK)
			return drop(REASON_NOT_A_NEW_FLOW);
		if (p->payload_length)
			return drop(REASON_SYN_PAYLOAD);
		if (p->sequence + 1 != flow->base || flow->state == FLOW_DENIED) {
			__u32 both = FLOW_CLIENT_FIN | FLOW_SERVER_FIN;
			if (flow->state == FLOW_DENIED || (flow->flags & FLOW_RESET) || (flow->flags & both) == both ||
			    !(flow->flags & FLOW_SYN_ANSWERED))
				return -1;
			return drop(REASON_NOT_A_NEW_FLOW);
		}
		if ((flow->flags & (FLOW_SYN_ANSWERED | FLOW_TRANSLATED)) == FLOW_TRANSLATED && flow->state != FLOW_PROXIED) {
			/* Unanswered: begin anew with the name's next address. */
			s->next_place = (flow->path & PATH_PLACE) + 2;
			return -1;
		}
		return pass(skb, flow_mark(flow));
	}
	if (p->tcp_flags & TCP_FIN)
		flow->flags |= FLOW_CLIENT_FIN;
	if (p->tcp_flags & TCP_ACK)
		flow->client_ack = p->acknowledgement;
	if (flow->state == FLOW_PROXIED || flow->state == FLOW_PERMITTED)
		return pass(skb, flow_mark(flow));
	/* What was kept of it is gone, and nothing may take its place. */
	if (p->payload_length && (flow->flags & FLOW_RESET))
		return drop(REASON_NOT_A_NEW_FLOW);
	/*
	 * Until the server has taken this SYN, bytes could belong to an older connection of the same ends that it still
	 * holds, begun by bytes that were judged as part of another hello.
	 */
	if (p->payload_length && !(flow->flags & FLOW_SYN_ANSWERED))
		return drop(REASON_NOT_A_NEW_FLOW);

	int was_pending = flow->state == FLOW_PENDING;
	__u32 was_read = flow->flags & (FLOW_HELLO_DONE | FLOW_READ_OVER);
	int said = client_segment(skb, p, plan, flow, now, &s->question, &s->answer);
	if (said == SEGMENT_DROP)
		return drop(REASON_NO_DECISION);
	if (said == SEGMENT_DENY) {
		struct hello *h = 0;
		if (flow->slot) {
			__u32 index = flow->slot - 1;
			h = bpf_map_lookup_elem(&hellos, &index);
		}
		count_drop(flow->reason);
		count_hit(flow->rule, 0, flow->would_verdict, now);
		tell(EVENT_VERDICT, &p->key, flow, h);
		release_hello(&p->key, flow);
		return denial_mark(plan, flow->rule) ? pass(skb, MARK_REJECT) : TC_ACT_SHOT;
	}
	if (!was_read && ((flow->flags & (FLOW_HELLO_DONE | FLOW_READ_OVER)) || flow->state == FLOW_PERMITTED)) {
		struct hello *h = 0;
		if (flow->slot && flow->tls == FACT_KNOWN) {
			__u32 index = flow->slot - 1;
			h = bpf_map_lookup_elem(&hellos, &index);
		}
		if (was_pending)
			count_hit(flow->rule, 1, flow->would_verdict, now);
		if (!(flow->flags & FLOW_RETRY))
			tell(EVENT_VERDICT, &p->key, flow, h);
	}
	return pass(skb, flow_mark(flow));
}

/* A datagram or an echo request of a flow that is there already. -1: begin anew. */
static __always_inline int datagram_from_agent(struct __sk_buff *skb, const struct plan *plan, struct scratch *s,
					       struct flow *flow)
{
	struct packet *p = &s->packet;

	if (flow->state != FLOW_PERMITTED)
		return denial_mark(plan, flow->rule) ? pass(skb, MARK_REJECT) : TC_ACT_SHOT;
	if (p->key.protocol == IPPROTO_ICMP && p->icmp_type != ICMP_ECHO && p->icmp_type != ICMPV6_ECHO_REQUEST)
		return drop(REASON_PROTOCOL_NOT_SUPPORTED);
	if (!(flow->flags & FLOW_TRANSLATED) || flow->packets_in)
		return pass(skb, flow_mark(flow));
	return still_named(&p->key, flow, &s->synthetic) ? pass(skb, first_mark(flow)) : -1;
}

/* To the DNS filter, whatever server it was sent to. */
static __always_inline int dns_from_agent(struct __sk_buff *skb, struct scratch *s)
{
	const struct packet *p = &s->packet;
	struct dns_client *client = &s->dns_client;

	client->ifindex = p->key.ifindex;
	client->family = p->key.family;
	client->protocol = p->key.protocol;
	client->port = p->key.source_port;
	client->address = p->key.source;
	bpf_map_update_elem(&dns_servers, client, &p->key.destination, BPF_ANY);
	return pass(skb, MARK_DNS);
}

/* What may come from an agent that is not policy: its neighbours, if it speaks for itself. */
static __always_inline int neighbour_from_agent(struct __sk_buff *skb, const struct plan *plan, struct scratch *s)
{
	const struct packet *p = &s->packet;

	s->who.ifindex = skb->ifindex;
	s->who.family = p->key.family;
	s->who.address = p->sender;

	if (p->key.family == 6 && (p->icmp_type == 134 || p->icmp_type == 137))
		return drop(REASON_SOURCE_SPOOFED);
	int link_local = p->key.family == 6 && p->sender.bytes[0] == 0xfe && (p->sender.bytes[1] & 0xc0) == 0x80;
	int unspecified = 1;
	for (int i = 0; i < 16; i++)
		if (p->sender.bytes[i])
			unspecified = 0;
	if (!link_local && !unspecified) {
		struct agent *agent = find_agent(plan, &s->who);
		if (!agent)
			return drop(REASON_SOURCE_SPOOFED);
	}
	if (p->icmp_type == 136) {
		/* A neighbour advertisement speaks of its target, wherever it is sent from. */
		if (bpf_skb_load_bytes(skb, p->network + 40 + 8, &s->who.address, 16))
			return drop(REASON_MALFORMED_PACKET);
		if (!(s->who.address.bytes[0] == 0xfe && (s->who.address.bytes[1] & 0xc0) == 0x80) &&
		    !find_agent(plan, &s->who))
			return drop(REASON_SOURCE_SPOOFED);
	}
	return pass(skb, MARK_LOCAL);
}

#endif
