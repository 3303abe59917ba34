import { type Address, addressToBytes, type DomainName, type Family, parsePrefix } from '@cofferdam/net';
import { andNot, type Bitmap } from './bitmap.ts';
import type { LoadedPlan } from './load.ts';
import type { DnsMode, PlanRule } from './model.ts';
import type { NameSetClass } from './name-classes.ts';

/**
 * A plan laid out for the kernel. Every set of rules is a row of one matrix; classes, ports and epochs are row numbers. Row 0 is empty.
 * The walk, for each 64-bit word of the rows, all of it executable in `test/kernel-model.ts`:
 *
 *  1. to: `Dd` and `De` are the rows of the destination's class and of the IPv4 address inside it, `Hd` and `He` the `host` row of the
 *     address names, or nothing where that class is reserved or gateway: no name reaches those.
 *         no IPv4 inside:  to = Dd | Hd
 *         else:            both = (Dd | Hd) & (De | He);   either = Dd | Hd | De | He
 *                          if the inner class is public and the outer neither reserved nor gateway:  both |= TOPUBLIC
 *                          to = (both & PERMIT) | (either & ~PERMIT)
 *         own mode, TCP, the claimed name unknown:  to |= DENYWEB | PERMITWEB, since it says where the flow goes
 *  2. base = A & to & P & ACTIVE & ENFORCED.   A: agent class; P: protocol and port; ACTIVE: epoch. ENFORCED is row 0 in `run --monitor`.
 *  3. `S`, `W` are the `sure` and `web` rows of the address names, of no name the rules without `web` for both; `Sc`, `Wc` those of the claimed name.
 *     Track mode first:
 *         TCP, the claimed name unknown or unreadable:  S = the `every` row; where it is unreadable and the flow monitored, W &= ~PERMITWEB
 *         TCP, the claimed name is an address name:     S = Sc, W = Wc, and the claimed name does not count below
 *         else:                                         S &= ~PERMITWEB, W &= ~PERMITWEB
 *                                                       TCP, it is absent, TLS was seen, and there is an address name:  S |= W' & PERMITWEB & ANYWEB,
 *                                                       where W' is W as it was
 *     Then in each mode:
 *         TCP:   sure = S | (DENYWEB & Sc if the claimed name is known)
 *                web  = W | S | (DENYWEB & Wc if the claimed name is known)
 *                if it is absent for good, there is no address name, and TLS or plain HTTP was seen:  sure |= DENYWEB, web |= DENYWEB
 *                if it is unknown or unreadable:  web |= DENYWEB  (and sure |= DENYWEB where it is unreadable and the flow monitored)
 *                own mode, if it is unknown, or unreadable and there is no address name and the flow is not monitored:  web |= PERMITWEB
 *         other: sure = web = (S & PERMIT) | (W & ~PERMIT): there is no request to wait for.
 *  4. TCP:       TLS seen:    tlsmay = tlsok = ~TLSABSENT
 *                absent:      tlsmay = tlsok = ~TLSREQUIRED
 *                unknown:     tlsmay = all, tlsok = ~(TLSREQUIRED | TLSABSENT)
 *                unreadable:  as unknown; where the flow is monitored tlsmay = tlsok = ~((TLSREQUIRED | TLSABSENT) & PERMIT)
 *     other:     both are all: rules with `tls` have no bit in the rows of udp and icmp.
 *  5. may = base & web & tlsmay;   must = may & sure & tlsok & ~NEEDSREQUEST (TCP; elsewhere such rules are not in P)
 *  6. s = first bit of must, f = first bit of may; none: the default. Words behind the one that holds s do not count.
 *     The flow is monitored: the whole run is, or the agent's class is and neither destination class is `contained`. The default permits
 *     where the flow is monitored and neither destination class is reserved or gateway.
 *         f is s:                                               decided by s
 *         s denies, and no bit of may & PERMIT is before s:     denied, s, `no-permit-reachable`
 *         f waits for what is unreadable:                       denied, f
 *         else                                                  undecided, f
 *     At the first packet of TCP: path proxy for port 80, or where may & NEEDSPROXY has a bit at or before s; not if denied.
 *  7. A permit whose rule has HASWEB rests on the address name: a claimed name that differs, is unreadable, or a plain HTTP request line denies.
 *     Not in track mode, where it was satisfied by the claimed name.
 */
export interface KernelTables {
  readonly revision: number;
  /** `run --monitor`. */
  readonly monitored: boolean;
  readonly dnsMode: DnsMode;
  /** 64-bit words of a row. */
  readonly words: number;
  /** Row r is `rows.subarray(2 * words * r, 2 * words * (r + 1))`; on a little-endian machine two of its words are one of the kernel's. */
  readonly rows: Uint32Array;
  readonly rowCount: number;
  /** 64-bit words of a summary; bit j of a summary says that 64-bit word j of the row is not zero. */
  readonly summaryWords: number;
  readonly summaries: Uint32Array;
  readonly agents: readonly KernelAgent[];
  readonly destinations: readonly KernelPrefix[];
  /** By the `class` of a prefix. What no prefix holds has class 0. */
  readonly destinationClasses: readonly { readonly row: number; readonly flags: number }[];
  /** Row of every port. */
  readonly tcp: Uint32Array;
  readonly udp: Uint32Array;
  readonly icmp: number;
  /** Rising; each holds until the next begins, the last for ever. Milliseconds since the epoch. */
  readonly epochs: readonly { readonly from: number; readonly row: number }[];
  readonly properties: KernelProperties;
  /** By rule. */
  readonly ruleFlags: Uint8Array;
}

/** Row numbers. */
export interface KernelProperties {
  readonly enforced: number;
  readonly permit: number;
  readonly denyWeb: number;
  readonly permitWeb: number;
  readonly anyWeb: number;
  readonly tlsRequired: number;
  readonly tlsAbsent: number;
  readonly needsRequest: number;
  readonly needsProxy: number;
  readonly toPublic: number;
}

export interface KernelAgent {
  /** Absent: any agent interface. A row with the interface itself counts before one without. */
  readonly interface?: string;
  readonly address: Address;
  /** Absent: not checked. */
  readonly mac?: string;
  readonly row: number;
  readonly monitored: boolean;
  /** Place in `agents` of the plan. */
  readonly agent: number;
  /** In the inventory. In track mode it is what tells apart who was given an address. */
  readonly name: string;
}

export interface KernelPrefix {
  readonly family: Family;
  /** 4 or 16, network order. */
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly class: number;
}

export const destinationFlag = { reserved: 1, gateway: 2, public: 4, contained: 8 } as const;

export const ruleFlag = { permit: 1, reject: 2, logStart: 4, logEnd: 8, hasWeb: 16, refuseEch: 32 } as const;

export const kernelTables = (loaded: LoadedPlan): KernelTables => {
  const { plan, properties } = loaded;
  const matrix = makeMatrix(loaded.words);
  matrix.row(loaded.none);
  const ports = loaded.portClasses.map(matrix.row);
  const rowOfPorts = (classes: Uint32Array): Uint32Array => classes.map((value) => ports[value]!);
  const agentRows = loaded.agentClasses.map(({ from }) => matrix.row(from));
  const tables = {
    revision: plan.revision,
    monitored: plan.monitored,
    dnsMode: plan.dnsMode,
    words: loaded.words / 2,
    agents: loaded.agents.map(
      ({ address, agent, name, class: value, monitored, mac, interface: on }): KernelAgent => ({
        ...(on === undefined ? {} : { interface: on }),
        address,
        ...(mac === undefined ? {} : { mac }),
        row: agentRows[value]!,
        monitored,
        agent,
        name,
      }),
    ),
    destinations: plan.destinations.map(({ prefix, class: value }) => kernelPrefix(prefix, value)),
    destinationClasses: loaded.destinationClasses.map((entry) => ({
      row: matrix.row(entry.to),
      flags:
        (entry.kind === 'reserved' ? destinationFlag.reserved : 0) |
        (entry.kind === 'gateway' ? destinationFlag.gateway : 0) |
        (entry.public ? destinationFlag.public : 0) |
        (entry.contained ? destinationFlag.contained : 0),
    })),
    tcp: rowOfPorts(loaded.tcp),
    udp: rowOfPorts(loaded.udp),
    icmp: ports[loaded.icmp]!,
    epochs: loaded.epochs.map(({ from, active }) => ({ from, row: matrix.row(active) })),
    properties: {
      enforced: matrix.row(plan.monitored ? loaded.none : properties.enforced),
      permit: matrix.row(properties.permit),
      denyWeb: matrix.row(properties.denyWeb),
      permitWeb: matrix.row(andNot(properties.web, properties.denyWeb)),
      anyWeb: matrix.row(properties.anyWeb),
      tlsRequired: matrix.row(properties.tlsRequired),
      tlsAbsent: matrix.row(properties.tlsAbsent),
      needsRequest: matrix.row(properties.needsRequest),
      needsProxy: matrix.row(properties.needsProxy),
      toPublic: matrix.row(properties.toPublic),
    },
    ruleFlags: Uint8Array.from(plan.rules, flagsOf),
  };
  return { ...tables, ...matrix.finish() };
};

/**
 * The rows of a name, or of the names of an address together, for the kernel's table of names: as many 32-bit words as a row of the tables.
 * Good for this plan only: a new plan classifies every name anew.
 */
export const kernelName = (loaded: LoadedPlan, names: readonly DomainName[]): NameSetClass => {
  const { web, sure, every, host } = loaded.names.join(names);
  return { web, sure, every, host };
};

/** Numbers bitmaps by identity: `loadPlan` made equal ones of a plan the same. */
const makeMatrix = (words: number) => {
  const bitmaps: Bitmap[] = [];
  const places = new Map<Bitmap, number>();
  const row = (bits: Bitmap): number => {
    const before = places.get(bits);
    if (before !== undefined) return before;
    bitmaps.push(bits);
    places.set(bits, bitmaps.length - 1);
    return bitmaps.length - 1;
  };
  const finish = () => {
    const summaryWords = Math.ceil(words / 2 / 64);
    const rows = new Uint32Array(bitmaps.length * words);
    const summaries = new Uint32Array(bitmaps.length * summaryWords * 2);
    for (const [r, bits] of bitmaps.entries()) {
      rows.set(bits, r * words);
      for (let w = 0; w < words; w++) {
        if (bits[w] !== 0) summaries[r * summaryWords * 2 + (w >>> 6)]! |= 1 << ((w >>> 1) & 31);
      }
    }
    return { rows, rowCount: bitmaps.length, summaryWords, summaries };
  };
  return { row, finish };
};

const kernelPrefix = (text: string, value: number): KernelPrefix => {
  const parsed = parsePrefix(text);
  if (!parsed.ok) throw new Error(parsed.error.message);
  const { address, length } = parsed.value;
  return { family: address.family, bytes: addressToBytes(address), length, class: value };
};

const flagsOf = ({ action, onDeny, log, web, ech }: PlanRule): number =>
  (action === 'permit' ? ruleFlag.permit : 0) |
  (onDeny === 'reject' ? ruleFlag.reject : 0) |
  (log === 'start' || log === 'both' ? ruleFlag.logStart : 0) |
  (log === 'end' || log === 'both' ? ruleFlag.logEnd : 0) |
  (web === undefined ? 0 : ruleFlag.hasWeb) |
  (ech === 'refuse' ? ruleFlag.refuseEch : 0);
