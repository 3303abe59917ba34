// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The two hooks of an interface behind which agents live.
 *
 *   agent ──► from_agent (tc ingress) ──► netfilter of the gateway: only marked packets are forwarded, redirected, reset
 *   agent ◄── to_agent (tc egress) ◄── forwarded replies, aimed at a next hop that does not exist until this program
 *                                      writes the agent's own hardware address
 *
 * and one of the uplink, from_uplink (tc ingress), by which replies of long flows come back past netfilter.
 *
 * A detached program therefore closes both directions: nothing is marked, and no reply has a destination.
 */
#include "checksum.h"
#include "read-packet.h"
#include "single-path.h"
#include "from-agent.h"
#include "to-agent.h"

SEC("tc")
int from_agent(struct __sk_buff *skb)
{
	__u32 index = OF_FROM_AGENT;
	__u64 now = bpf_ktime_get_boot_ns();
	struct scratch *s = bpf_map_lookup_elem(&scratches, &index);

	skb->mark = 0;
	if (!s)
		return TC_ACT_SHOT;
	struct packet *p = &s->packet;
	struct plan *plan = &s->plan;
	read_packet(skb, p);
	__builtin_memset(&s->flow, 0, sizeof(s->flow));
	s->next_place = 0;
	if (p->kind != PACKET_BAD && sums_elsewhere(skb, p))
		bad(p, REASON_MALFORMED_PACKET);
	if (p->kind == PACKET_BAD)
		return drop_foreign(skb, s, p->reason, now);
	if (load_plan(plan, now))
		return p->kind == PACKET_FLOW ? (count_drop(REASON_NO_PLAN), pass(skb, MARK_REJECT)) : drop(REASON_NO_PLAN);
	if (p->kind == PACKET_NEIGHBOUR)
		return neighbour_from_agent(skb, plan, s);

	s->who.ifindex = skb->ifindex;
	s->who.family = p->key.family;
	s->who.address = p->sender;
	struct agent *agent = find_agent(plan, &s->who);
	int spoofed = !agent;
	if (agent && (agent->flags & AGENT_MAC_KNOWN))
		for (int i = 0; i < 6; i++)
			if (agent->mac[i] != p->mac[i])
				spoofed = 1;
	if (!agent || spoofed)
		return drop_foreign(skb, s, REASON_SOURCE_SPOOFED, now);

	if (p->kind == PACKET_LATER_FRAGMENT)
		/* Unmarked: connection tracking puts it behind its first fragment, whose mark the whole packet takes. */
		return TC_ACT_OK;
	if (p->kind == PACKET_ICMP_ERROR) {
		/* The inner packet went to the agent: its flow is the reverse. */
		struct flow_key *key = &s->key;
		reverse(&p->key, key);
		struct flow *flow = bpf_map_lookup_elem(&flows, key);
		__u32 answers = 0;
		if (!flow) {
			key->ifindex = 0;
			answers = MARK_ANSWER;
			struct flow_key *crossing = bpf_map_lookup_elem(&crossings, key);
			flow = crossing ? bpf_map_lookup_elem(&flows, crossing) : 0;
		}
		int own = 1;
		for (int i = 0; i < 16; i++)
			/* To the other end of that flow and nobody else: an error to a third host would be a way out. */
			if (key->source.bytes[i] != p->sender.bytes[i] || key->destination.bytes[i] != p->target.bytes[i])
				own = 0;
		/* Nothing of a pending flow passes but its hello: an error carries bytes of its sender's choice. */
		if (!flow || !own || (flow->state != FLOW_BINDING && flow->state != FLOW_PERMITTED))
			return drop(REASON_ICMP_NOT_FOR_FLOW);
		return trim_error(skb, p) ? TC_ACT_SHOT : pass(skb, flow_mark(flow) | answers);
	}

	if (p->key.protocol == IPPROTO_TCP && (p->tcp_flags & TCP_SYN) && single_path(skb, p))
		return drop(REASON_MALFORMED_PACKET);
	if (p->key.protocol != IPPROTO_ICMP && p->key.destination_port == bpf_htons(53))
		return dns_from_agent(skb, s);

	struct flow *flow = bpf_map_lookup_elem(&flows, &p->key);
	if (flow) {
		int verdict = -1;
		if (still_permitted(plan, &p->key, flow, s)) {
			count_drop(flow->reason);
			tell(EVENT_VERDICT, &p->key, flow, 0);
			release_hello(&p->key, flow);
			flow->state = FLOW_DENIED;
			return denied_packet(skb, plan, p, flow);
		}
		if (p->key.protocol == IPPROTO_TCP)
			verdict = tcp_from_agent(skb, plan, s, flow, now);
		else
			verdict = datagram_from_agent(skb, plan, s, flow);
		if (verdict >= 0) {
			flow->last = now;
			if (verdict == TC_ACT_OK && skb->mark != MARK_REJECT) {
				__sync_fetch_and_add(&flow->packets_out, 1);
				__sync_fetch_and_add(&flow->bytes_out, p->length);
				return send_on(skb, plan, s, flow, now);
			}
			return verdict;
		}
		/* A SYN that is sent again, to another address of its name, is still the same flow to whoever reads of it. */
		if (!s->next_place && flow->state != FLOW_DENIED && flow->state != FLOW_PROXIED)
			tell(EVENT_END, &p->key, flow, 0);
		forget_flow(&p->key, flow, &s->key);
	} else {
		flow = find_crossing(&p->key, &s->key);
		/* Judged where it leaves, like any other answer. */
		if (flow)
			return flow->state == FLOW_DENIED ? drop(flow->reason) : pass(skb, flow_mark(flow) | MARK_ANSWER);
		if (p->key.protocol == IPPROTO_TCP && bpf_map_lookup_elem(&dialled, &p->key))
			return pass(skb, MARK_LOCAL);
	}
	return begin_flow(skb, plan, s, agent, now);
}

SEC("tc")
int to_agent(struct __sk_buff *skb)
{
	__u32 index = OF_TO_AGENT;
	__u64 now = bpf_ktime_get_boot_ns();
	struct scratch *s = bpf_map_lookup_elem(&scratches, &index);
	int local = skb->ingress_ifindex == 0; /* made by the gateway itself, not forwarded */

	if (!s)
		return TC_ACT_SHOT;
	if (skb->mark == MARK_FAST)
		return meet(skb);
	struct packet *p = &s->packet;
	struct flow_key *key = &s->key;
	struct plan *plan = &s->plan;
	read_packet(skb, p);
	if (local && p->kind != PACKET_FLOW)
		return TC_ACT_OK;
	/* Another agent's own flow, which was judged where it came in: nobody else writes this mark without MARK_ANSWER. */
	if (!local && (skb->mark & (MARK_TAG_BITS | MARK_ANSWER)) == MARK_PASS)
		return TC_ACT_OK;
	if (p->kind == PACKET_BAD || p->kind == PACKET_NEIGHBOUR)
		return drop(p->kind == PACKET_BAD ? p->reason : REASON_ICMP_NOT_FOR_FLOW);
	if (!local && (p->kind == PACKET_LATER_FRAGMENT || p->first_fragment)) {
		s->fragment.ifindex = skb->ifindex;
		s->fragment.id = p->fragment;
		s->fragment.family = p->key.family;
		s->fragment.protocol = p->key.protocol == IPPROTO_ICMPV6 ? IPPROTO_ICMP : p->key.protocol;
		s->fragment.pad = 0;
		s->fragment.source = p->sender;
		s->fragment.destination = p->key.destination;
		if (p->kind == PACKET_LATER_FRAGMENT) {
			struct fragment_end *end = bpf_map_lookup_elem(&fragments, &s->fragment);
			if (!end)
				return drop(REASON_FRAGMENT);
			return bpf_skb_store_bytes(skb, 0, end->mac, 6, 0) ? TC_ACT_SHOT : TC_ACT_OK;
		}
		bpf_map_delete_elem(&fragments, &s->fragment);
		if (p->kind != PACKET_FLOW)
			return drop(REASON_FRAGMENT);
	}

	if (p->kind == PACKET_ICMP_ERROR)
		*key = p->key; /* the inner packet went the way of the flow */
	else
		reverse(&p->key, key);
	struct flow *flow = bpf_map_lookup_elem(&flows, key);
	if (local) {
		if (p->key.protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			bpf_map_update_elem(&dialled, key, &now, BPF_ANY);
		if (flow && flow->state == FLOW_PROXIED) {
			flow->last = now;
			__sync_fetch_and_add(&flow->packets_in, 1);
			__sync_fetch_and_add(&flow->bytes_in, p->length);
			if (p->key.protocol == IPPROTO_TCP) {
				if (p->tcp_flags & TCP_RST)
					flow->flags |= FLOW_RESET;
				if (p->tcp_flags & TCP_FIN)
					flow->flags |= FLOW_SERVER_FIN;
				if (p->tcp_flags & TCP_SYN)
					flow->flags |= FLOW_SYN_ANSWERED;
			}
		}
		return TC_ACT_OK;
	}
	if (!flow || flow->state == FLOW_DENIED || flow->state == FLOW_PROXIED || flow->state == FLOW_NONE)
		return drop(flow ? flow->reason : REASON_NOT_A_NEW_FLOW);
	/* What comes back from another address than the flow was sent to last is late, and not its answer. */
	if (skb->mark != (flow_mark(flow) | MARK_ANSWER))
		return drop(REASON_NOT_A_NEW_FLOW);

	if (load_plan(plan, now))
		return drop(REASON_NO_PLAN);
	if (still_permitted(plan, key, flow, s)) {
		tell(EVENT_VERDICT, key, flow, 0);
		release_hello(key, flow);
		flow->state = FLOW_DENIED;
		return drop(flow->reason);
	}
	if (p->kind == PACKET_ICMP_ERROR) {
		/* Of a flow whose bytes are still read, only what its hello must be cut to fit. */
		if (flow->state == FLOW_PENDING && !p->too_big)
			return drop(REASON_ICMP_NOT_FOR_FLOW);
		if (trim_error(skb, p))
			return drop(REASON_ICMP_NOT_FOR_FLOW);
	}
	if (p->kind == PACKET_FLOW && p->key.protocol == IPPROTO_TCP) {
		int verdict = tcp_to_agent(skb, plan, s, key, flow, now);
		if (verdict != TC_ACT_OK)
			return verdict;
	} else if (p->key.protocol == IPPROTO_ICMP && p->kind == PACKET_FLOW && p->icmp_type != ICMP_ECHOREPLY &&
		   p->icmp_type != ICMPV6_ECHO_REPLY) {
		return drop(REASON_PROTOCOL_NOT_SUPPORTED);
	}
	if (p->kind == PACKET_FLOW) {
		flow->last = now;
		__sync_fetch_and_add(&flow->packets_in, 1);
		__sync_fetch_and_add(&flow->bytes_in, p->length);
	}
	if (p->first_fragment) {
		__builtin_memcpy(s->fragment_end.mac, flow->mac, 6);
		s->fragment_end.pad = 0;
		bpf_map_update_elem(&fragments, &s->fragment, &s->fragment_end, BPF_ANY);
	}
	/* Forwarded replies are aimed at nobody until here. */
	if (bpf_skb_store_bytes(skb, 0, flow->mac, 6, 0))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

/*
 * The other end of the fast path. What is no live flow's, or ends one, goes the long way to to_agent, and so does everything where this
 * program is missing.
 */
SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	__u32 index = OF_FROM_UPLINK;
	__u64 now = bpf_ktime_get_boot_ns();
	struct scratch *s = bpf_map_lookup_elem(&scratches, &index);

	skb->mark = 0;
	if (!s)
		return TC_ACT_OK;
	struct packet *p = &s->packet;
	read_packet(skb, p);
	if (p->kind != PACKET_FLOW || p->key.protocol != IPPROTO_TCP)
		return TC_ACT_OK;
	p->key.ifindex = 0;
	struct flow_key *key = bpf_map_lookup_elem(&uplink_answers, &p->key);
	if (!key || load_plan(&s->plan, now))
		return TC_ACT_OK;
	struct flow *flow = bpf_map_lookup_elem(&flows, key);
	if (!flow || !answers_flow(p, key, flow)) {
		/* Of a flow that is no more, or is translated otherwise by now. */
		bpf_map_delete_elem(&uplink_answers, &p->key);
		return TC_ACT_OK;
	}
	return bring_back(skb, &s->plan, s, key, flow, now);
}

/* By the plan in force, before its next packet would be. Returns 2 where it is cut. */
static __always_inline int judge_anew(const struct flow_key *key, struct flow *flow)
{
	__u32 index = OF_END_FLOW;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &index);

	if (!s || load_plan(&s->plan, bpf_ktime_get_boot_ns()))
		return 0;
	s->key = *key;
	if (!still_permitted(&s->plan, &s->key, flow, s))
		return 0;
	count_drop(flow->reason);
	tell(EVENT_VERDICT, &s->key, flow, 0);
	release_hello(&s->key, flow);
	flow->state = FLOW_DENIED;
	return 2;
}

/*
 * Not a hook: user space runs it with a request in place of a packet, so that it never writes a whole flow over one that
 * both hooks are writing to. Returns 1 where there is no such flow.
 */
SEC("tc")
int end_flow(struct __sk_buff *skb)
{
	struct flow_request request;
	struct flow_key answer;

	if (bpf_skb_load_bytes(skb, 0, &request, sizeof(request)))
		return 1;
	struct flow *flow = bpf_map_lookup_elem(&flows, &request.key);
	if (!flow)
		return 1;
	if (!request.reason) {
		forget_tracked(skb, &request.key, flow->path);
		return forget_flow(&request.key, flow, &answer);
	}
	if (request.reason == REQUEST_JUDGE)
		return judge_anew(&request.key, flow);
	release_hello(&request.key, flow);
	if (flow->state != FLOW_DENIED && flow->state != FLOW_PROXIED)
		mark_cut(&request.key, flow);
	flow->state = FLOW_DENIED;
	flow->reason = request.reason;
	return 0;
}

/* Only so that their layouts are in the BTF, where a test compares them: tables of plans are made without types. */
#define SHOW_LAYOUT(NAME) const struct NAME *const NAME##_layout = 0
SHOW_LAYOUT(bitmap);
SHOW_LAYOUT(rule_info);
SHOW_LAYOUT(plan_header);
SHOW_LAYOUT(agent);
SHOW_LAYOUT(destination);
SHOW_LAYOUT(port_page);
SHOW_LAYOUT(event);
SHOW_LAYOUT(flow_request);

char dual_license[] SEC("license") = "Dual BSD/GPL";
