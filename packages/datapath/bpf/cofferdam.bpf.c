// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The two hooks of an interface behind which agents live.
 *
 *   agent ──► from_agent (tc ingress) ──► netfilter of the gateway: only marked packets are forwarded, redirected, reset
 *   agent ◄── to_agent (tc egress) ◄── forwarded replies, aimed at a next hop that does not exist until this program
 *                                      writes the agent's own hardware address
 *
 * A detached program therefore closes both directions: nothing is marked, and no reply has a destination.
 */
#include "packet.h"
#include "maps.h"
#include "decide.h"
#include "flow.h"
#include "hello.h"
#include "client.h"
#include <linux/pkt_cls.h>

struct scratch {
	struct plan plan;
	struct flow_key key; /* of the flow, as the agent writes it */
	struct agent_key who;
	struct destination_key destination;
	struct synthetic_key synthetic;
	__u32 first_choice; /* of the real addresses of a name */
	struct fragment_key fragment;
	struct fragment_end fragment_end;
	struct packet packet;
	struct flow flow;
	struct question question;
	struct answer answer;
};

/* Too large for the stack; one for each direction, as a processor runs one program of each at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline int drop(__u32 reason)
{
	count_drop(reason);
	return TC_ACT_SHOT;
}

static __always_inline int pass(struct __sk_buff *skb, __u32 mark)
{
	skb->mark = mark;
	return TC_ACT_OK;
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
	return MARK_PASS | flow->choice;
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

	struct destination *d = find_destination(plan, key->family, &key->destination, &s->destination);
	if (!d)
		return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_NO_PLAN, now);
	int outcome;
	if (d->flags & DESTINATION_POOL) {
		/*
		 * The first of its addresses that is not denied is dialled; `to` is judged on it. Where a SYN went
		 * unanswered the search begins behind the address that it was sent to.
		 */
		s->synthetic.family = key->family;
		s->synthetic.address = key->destination;
		struct synthetic *y = bpf_map_lookup_elem(&synthetics, &s->synthetic);
		if (!y || y->count == 0 || y->count > REAL_ADDRESSES)
			return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_ADDRESS_UNMAPPED, now);
		f->name = y->name;
		outcome = OUTCOME_DENY;
		for (int i = 0; i < REAL_ADDRESSES; i++) {
			if (i >= y->count)
				break;
			__u32 choice = (s->first_choice + i) % y->count;
			bounded(choice);
			if (choice >= REAL_ADDRESSES)
				break;
			f->real = y->real[choice];
			f->choice = choice;
			f->state = FLOW_NONE;
			outcome = judge(plan, key, f, q, a);
			if (outcome != OUTCOME_DENY)
				break;
		}
	} else {
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
	if (bpf_map_update_elem(&flows, key, f, BPF_NOEXIST))
		return deny_packet(skb, plan, s, RULE_DEFAULT, REASON_FLOW_TABLE_FULL, now);
	if (f->state == FLOW_PERMITTED || f->state == FLOW_BINDING) {
		count_hit(f->rule, 1, f->would_verdict, now);
		tell(EVENT_VERDICT, key, f, 0);
	}
	return pass(skb, flow_mark(f));
}

/* A live flow is judged again when the plan or the epoch has changed. 0: it may go on. */
static __always_inline int still_permitted(struct plan *plan, const struct flow_key *key, struct flow *flow,
					   struct scratch *s)
{
	if (flow->generation == plan->generation || flow->state == FLOW_DENIED)
		return 0;
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
	return 1;
}

/* A TCP segment of a flow that is there already. -1: begin anew. */
static __always_inline int tcp_from_agent(struct __sk_buff *skb, struct plan *plan, struct scratch *s,
					  struct flow *flow, __u64 now)
{
	struct packet *p = &s->packet;

	if (p->tcp_flags & TCP_RST) {
		if (p->payload_length && flow->state != FLOW_PERMITTED && flow->state != FLOW_PROXIED)
			return drop(REASON_MALFORMED_PACKET);
		flow->flags |= FLOW_RESET;
		return flow->state == FLOW_DENIED ? TC_ACT_SHOT : pass(skb, flow_mark(flow));
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
		if (!(flow->flags & FLOW_SYN_ANSWERED) && flow->name && flow->state != FLOW_PROXIED) {
			/* Unanswered: begin anew with the name's next address. */
			s->first_choice = flow->choice + 1;
			return -1;
		}
		return pass(skb, flow_mark(flow));
	}
	if (flow->state == FLOW_DENIED)
		return denial_mark(plan, flow->rule) ? pass(skb, MARK_REJECT) : TC_ACT_SHOT;
	if (p->tcp_flags & TCP_FIN)
		flow->flags |= FLOW_CLIENT_FIN;
	if (p->tcp_flags & TCP_ACK)
		flow->client_ack = p->acknowledgement;
	if (flow->state == FLOW_PROXIED || flow->state == FLOW_PERMITTED)
		return pass(skb, flow_mark(flow));
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
		release_hello(flow);
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

/* Turns a packet as the server sent it into the key of its flow. */
static __always_inline void reverse(const struct packet *p, struct flow_key *key)
{
	*key = p->key;
	key->source = p->key.destination;
	key->destination = p->key.source;
	if (p->key.protocol != IPPROTO_ICMP) {
		key->source_port = p->key.destination_port;
		key->destination_port = p->key.source_port;
	}
}

SEC("tc")
int from_agent(struct __sk_buff *skb)
{
	__u32 index = 0;
	__u64 now = bpf_ktime_get_boot_ns();
	struct scratch *s = bpf_map_lookup_elem(&scratches, &index);

	skb->mark = 0;
	if (!s)
		return TC_ACT_SHOT;
	struct packet *p = &s->packet;
	struct plan *plan = &s->plan;
	read_packet(skb, p);
	__builtin_memset(&s->flow, 0, sizeof(s->flow));
	s->first_choice = 0;
	if (p->kind == PACKET_BAD) {
		s->flow.rule = RULE_DEFAULT;
		s->flow.reason = p->reason;
		s->flow.start = s->flow.last = now;
		s->flow.state = FLOW_DENIED;
		count_drop(p->reason);
		tell(EVENT_DENIED, &p->key, &s->flow, 0);
		return TC_ACT_SHOT;
	}
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
	if (!agent || spoofed) {
		s->flow.rule = RULE_DEFAULT;
		s->flow.reason = REASON_SOURCE_SPOOFED;
		s->flow.start = s->flow.last = now;
		s->flow.state = FLOW_DENIED;
		count_drop(REASON_SOURCE_SPOOFED);
		tell(EVENT_DENIED, &p->key, &s->flow, 0);
		return TC_ACT_SHOT;
	}

	if (p->kind == PACKET_LATER_FRAGMENT)
		/* Unmarked: connection tracking puts it behind its first fragment, whose mark the whole packet takes. */
		return TC_ACT_OK;
	if (p->kind == PACKET_ICMP_ERROR) {
		/* The inner packet went to the agent: its flow is the reverse. */
		struct flow_key *key = &s->key;
		reverse(p, key);
		struct flow *flow = bpf_map_lookup_elem(&flows, key);
		int own = 1;
		for (int i = 0; i < 16; i++)
			/* To the other end of that flow and nobody else: an error to a third host would be a way out. */
			if (key->source.bytes[i] != p->sender.bytes[i] || key->destination.bytes[i] != p->target.bytes[i])
				own = 0;
		/* Nothing of a pending flow passes but its hello: an error carries bytes of its sender's choice. */
		if (!flow || !own || (flow->state != FLOW_BINDING && flow->state != FLOW_PERMITTED))
			return drop(REASON_ICMP_NOT_FOR_FLOW);
		return pass(skb, MARK_PASS | flow->choice);
	}

	if (p->key.protocol == IPPROTO_TCP && (p->tcp_flags & TCP_SYN) && single_path(skb, p))
		return drop(REASON_MALFORMED_PACKET);
	if (p->key.protocol != IPPROTO_ICMP && p->key.destination_port == bpf_htons(53))
		return pass(skb, MARK_DNS); /* whatever server it was sent to */

	struct flow *flow = bpf_map_lookup_elem(&flows, &p->key);
	if (flow) {
		int verdict = -1;
		if (still_permitted(plan, &p->key, flow, s)) {
			count_drop(flow->reason);
			tell(EVENT_VERDICT, &p->key, flow, 0);
			release_hello(flow);
			flow->state = FLOW_DENIED;
			return denial_mark(plan, flow->rule) ? pass(skb, MARK_REJECT) : TC_ACT_SHOT;
		}
		if (p->key.protocol == IPPROTO_TCP)
			verdict = tcp_from_agent(skb, plan, s, flow, now);
		else if (flow->state == FLOW_PERMITTED)
			verdict = p->key.protocol == IPPROTO_ICMP && p->icmp_type != ICMP_ECHO &&
						  p->icmp_type != ICMPV6_ECHO_REQUEST ?
					  drop(REASON_PROTOCOL_NOT_SUPPORTED) :
					  pass(skb, flow_mark(flow));
		else
			verdict = denial_mark(plan, flow->rule) ? pass(skb, MARK_REJECT) : TC_ACT_SHOT;
		if (verdict >= 0) {
			flow->last = now;
			if (verdict == TC_ACT_OK && skb->mark != MARK_REJECT) {
				__sync_fetch_and_add(&flow->packets_out, 1);
				__sync_fetch_and_add(&flow->bytes_out, p->length);
			}
			return verdict;
		}
		release_hello(flow);
		bpf_map_delete_elem(&flows, &p->key);
	}
	return begin_flow(skb, plan, s, agent, now);
}

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

/* A TCP segment of the server. Returns a tc verdict. */
static __always_inline int tcp_to_agent(struct __sk_buff *skb, struct plan *plan, struct scratch *s,
					const struct flow_key *key, struct flow *flow, __u64 now)
{
	const struct packet *p = &s->packet;

	if (p->tcp_flags & TCP_RST)
		flow->flags |= FLOW_RESET;
	if (p->tcp_flags & TCP_FIN)
		flow->flags |= FLOW_SERVER_FIN;
	if (p->tcp_flags & TCP_SYN) {
		if (p->payload_length || !(p->tcp_flags & TCP_ACK))
			return drop(REASON_SYN_PAYLOAD);
		if (p->acknowledgement != flow->base && !flow->first_byte)
			return drop(REASON_NOT_A_NEW_FLOW); /* answers another SYN than the one that was judged */
		if (!(flow->flags & FLOW_SYN_ANSWERED))
			flow->server_base = p->sequence + 1;
		flow->flags |= FLOW_SYN_ANSWERED;
		return TC_ACT_OK;
	}
	if ((p->tcp_flags & TCP_ACK) && (flow->flags & (FLOW_HELLO_DONE | FLOW_READ_OVER)) &&
	    (__s32)(p->acknowledgement - flow->judged_end) >= 0) {
		/* The server has what was judged: nothing can be put in its place any more. */
		release_hello(flow);
		if ((flow->flags & FLOW_READ_OVER) && flow->state == FLOW_BINDING)
			flow->state = FLOW_PERMITTED;
	}
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
			release_hello(flow);
			flow->base = flow->judged_end;
			flow->flags &= ~FLOW_HELLO_DONE;
			flow->flags |= again == SECOND_SURELY ? FLOW_RETRY | FLOW_RETRY_SURE : FLOW_RETRY;
		}
	}
	return TC_ACT_OK;
}

SEC("tc")
int to_agent(struct __sk_buff *skb)
{
	__u32 index = 1;
	__u64 now = bpf_ktime_get_boot_ns();
	struct scratch *s = bpf_map_lookup_elem(&scratches, &index);
	int local = skb->ingress_ifindex == 0; /* made by the gateway itself, not forwarded */

	if (!s)
		return TC_ACT_SHOT;
	struct packet *p = &s->packet;
	struct flow_key *key = &s->key;
	struct plan *plan = &s->plan;
	read_packet(skb, p);
	if (local && p->kind != PACKET_FLOW)
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
		reverse(p, key);
	struct flow *flow = bpf_map_lookup_elem(&flows, key);
	if (local) {
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

	if (load_plan(plan, now))
		return drop(REASON_NO_PLAN);
	if (still_permitted(plan, key, flow, s)) {
		tell(EVENT_VERDICT, key, flow, 0);
		release_hello(flow);
		flow->state = FLOW_DENIED;
		return drop(flow->reason);
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

/* Only so that their layouts are in the BTF, where a test compares them: tables of plans are made without types. */
#define SHOW_LAYOUT(NAME) const struct NAME *const NAME##_layout = 0
SHOW_LAYOUT(bitmap);
SHOW_LAYOUT(rule_info);
SHOW_LAYOUT(plan_header);
SHOW_LAYOUT(agent);
SHOW_LAYOUT(destination);
SHOW_LAYOUT(port_page);
SHOW_LAYOUT(event);

char dual_license[] SEC("license") = "Dual BSD/GPL";
