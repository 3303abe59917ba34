import type { Address } from '@cofferdam/net';
import type { DnsName } from './dns-name.ts';
import type { ServiceBinding } from './dns-svcb.ts';

/** Numbers of the IANA registry "Domain Name System (DNS) Parameters", those that are spoken of here. */
export const recordType = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  ANY: 255,
} as const;

export const recordClass = { IN: 1, CH: 3, ANY: 255 } as const;

export const opcode = { query: 0, notify: 4, update: 5 } as const;

export const responseCode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  /** Above 15: carried by EDNS only. */
  badVersion: 16,
} as const;

export interface DnsQuestion {
  readonly name: DnsName;
  readonly type: number;
  readonly class: number;
}

export type RecordData =
  /** A and AAAA; the family says which. */
  | { readonly kind: 'address'; readonly address: Address }
  /** NS, CNAME, PTR, DNAME. */
  | { readonly kind: 'name'; readonly name: DnsName }
  | {
      readonly kind: 'soa';
      readonly primary: DnsName;
      readonly mailbox: DnsName;
      readonly serial: number;
      /** Seconds, as the four others. */
      readonly refresh: number;
      readonly retry: number;
      readonly expire: number;
      /** The time to live of a negative answer (RFC 2308). */
      readonly minimum: number;
    }
  | { readonly kind: 'mx'; readonly preference: number; readonly exchange: DnsName }
  | {
      readonly kind: 'srv';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: DnsName;
    }
  /** One or more strings of at most 255 bytes. */
  | { readonly kind: 'txt'; readonly strings: readonly Uint8Array[] }
  /** SVCB and HTTPS. */
  | { readonly kind: 'service'; readonly binding: ServiceBinding }
  /** Any other type, and any type in a class other than IN. The bytes as received (RFC 3597). */
  | { readonly kind: 'opaque'; readonly bytes: Uint8Array };

export interface DnsRecord {
  readonly name: DnsName;
  readonly type: number;
  readonly class: number;
  /** Seconds, 0 to 2^31 - 1; larger ones are read as 0 (RFC 2181, section 8). */
  readonly ttl: number;
  readonly data: RecordData;
}

export interface EdnsOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** The OPT pseudo-record (RFC 6891), lifted out of the additional section. */
export interface Edns {
  /** The largest UDP payload the sender takes, in bytes; below 512 it means 512. */
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
  readonly options: readonly EdnsOption[];
}

export interface DnsMessage {
  readonly id: number;
  readonly response: boolean;
  /** 0 to 15. */
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  /** 0 to 4,095: with the upper bits that EDNS carries. Above 15 only where `edns` is there. */
  readonly responseCode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  /** Without OPT. */
  readonly additionals: readonly DnsRecord[];
  /** Absent: the sender does not speak EDNS. */
  readonly edns: Edns | undefined;
}

/** A message that asks exactly one question. */
export interface DnsQuery extends DnsMessage {
  readonly question: DnsQuestion;
}
