/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Written by tools/generate-reasons.ts from packages/verdict/src/reasons.ts: do not edit. */
#ifndef COFFERDAM_REASONS_H
#define COFFERDAM_REASONS_H

#define REASON_NO_DECISION 0 /* nothing decided about this flow */
#define REASON_RULE 1 /* a rule that matched permits it */
#define REASON_RULE_DENIES 2 /* a rule that matched denies it */
#define REASON_NO_RULE 3 /* no rule permits it, so the default denies it */
#define REASON_NO_PERMIT_REACHABLE 4 /* whatever the flow would say later, no permit could match before this denial */
#define REASON_QUIC 5 /* UDP port 443 is refused so that clients fall back to TCP */
#define REASON_MONITORED 6 /* the agent is monitored: a denial by the default was lifted */
#define REASON_NO_PLAN 7 /* the gateway has no plan */
#define REASON_FACTS_UNKNOWN 8 /* the new policy asks for a fact that was never recorded of this flow */
#define REASON_NAME_MISMATCH 20 /* the client asked for one name and connected to the address of another */
#define REASON_HELLO_UNREADABLE 21 /* the TLS ClientHello is malformed or over limits and a rule needs its name */
#define REASON_NAME_UNREADABLE 22 /* the name the client sent is not a canonical domain name, or was sent twice */
#define REASON_HELLO_CHANGED 23 /* bytes that were judged were sent again with other content */
#define REASON_SYN_PAYLOAD 24 /* the first TCP segment carries data (TCP Fast Open) */
#define REASON_URGENT_DATA 25 /* urgent data before the name is judged */
#define REASON_PLAIN_HTTP_UNREAD 26 /* plain HTTP where the permit rests on a name and nothing reads the Host */
#define REASON_SPOKE_OUT_OF_TURN 27 /* the client began TLS or HTTP after the server had spoken first */
#define REASON_UNDECIDED_TIMEOUT 28 /* the client began but did not finish what the policy has to read within 10 seconds */
#define REASON_UNDECIDED_CLOSED 29 /* the connection ended before the policy could decide */
#define REASON_HELLO_SLOTS_FULL 30 /* too many connections wait for their name at once */
#define REASON_NAME_TABLE_FULL 31 /* the gateway can classify no more names */
#define REASON_ADDRESS_UNMAPPED 32 /* an address of the synthetic pool that stands for no name */
#define REASON_ECH_REFUSED 33 /* Encrypted ClientHello is refused by policy */
#define REASON_REQUEST_UNREADABLE 40 /* what the client sent is not a strict HTTP request */
#define REASON_AUTHORITY_MISMATCH 41 /* Host, URL and address disagree about the name */
#define REASON_WOULD_NEED_OPENING 42 /* the rule needs to read inside TLS and that is not possible or not allowed here */
#define REASON_UPSTREAM_UNREACHABLE 43 /* permitted, but the destination did not answer */
#define REASON_UPSTREAM_EXPIRED 44 /* the destination's certificate is out of date, or not valid yet */
#define REASON_UPSTREAM_NAME 45 /* the destination's certificate is for another name */
#define REASON_UPSTREAM_UNTRUSTED 46 /* the destination's certificate leads to no authority that the gateway trusts */
#define REASON_UPSTREAM_REVOKED 47 /* the destination's certificate was revoked */
#define REASON_UPSTREAM_WEAK 48 /* the destination's certificate has a key or a signature that is too weak */
#define REASON_UPSTREAM_TLS 49 /* the gateway and the destination could agree on no TLS */
#define REASON_CERTIFICATE_REFUSED 50 /* the client does not take the gateway's certificate: it does not trust its authority, or expects one certificate and no other */
#define REASON_CLIENT_TLS 51 /* the gateway and the client could agree on no TLS */
#define REASON_SOURCE_SPOOFED 60 /* the source address does not belong to this interface */
#define REASON_GATEWAY_PORT 61 /* a port of the gateway itself */
#define REASON_RESERVED_ADDRESS 62 /* platform, loopback, link-local or multicast address */
#define REASON_PROTOCOL_NOT_SUPPORTED 63 /* neither TCP, UDP nor ICMP echo */
#define REASON_MALFORMED_PACKET 64 /* the packet contradicts itself */
#define REASON_FRAGMENT 65 /* a TCP fragment, or a first fragment without its header */
#define REASON_EXTENSION_HEADER 66 /* IPv4 options or an IPv6 extension header other than fragment */
#define REASON_VLAN_TAGGED 67 /* a VLAN tag on an interface that has none */
#define REASON_ICMP_NOT_FOR_FLOW 68 /* an ICMP error that belongs to no live permitted flow */
#define REASON_NOT_A_NEW_FLOW 69 /* a TCP segment that neither belongs to a flow nor begins one */
#define REASON_FLOW_TABLE_FULL 70 /* the gateway holds as many flows as it can */
#define REASON_FLOW_QUOTA 71 /* the agent holds as many flows as it may */
#define REASON_FLOW_RATE 72 /* the agent opens flows faster than it may */
#define REASON_UNKNOWN_AGENT 73 /* no workload of the inventory has this address on this interface */
#define REASON_FLOW_CUT 74 /* a live flow that the policy no longer permits was cut */
#define REASON_UNTOLD 75 /* denied faster than the kernel may tell: each for a reason of its own, counted here together */
#define REASON_DNS_ANSWERED 90 /* the name is one that a rule permits */
#define REASON_DNS_LOCAL 91 /* answered by the gateway itself */
#define REASON_DNS_NOT_PERMITTED 92 /* no permit of this agent names it */
#define REASON_DNS_TYPE 93 /* a record type that is not answered */
#define REASON_DNS_MALFORMED 94 /* the query is not a well-formed DNS message */
#define REASON_DNS_BUDGET 95 /* the query looks like a tunnel: too many, too long or too random names under one wildcard */
#define REASON_DNS_UPSTREAM 96 /* no upstream resolver answered */
#define REASON_DNS_ADDRESS_DENIED 97 /* the name is permitted but none of its addresses is */
#define REASON_DNS_RATE 98 /* the agent asks faster than it may */

#endif
