/**
 * Marks that the kernel program writes and netfilter reads: the same numbers as in ../bpf/layout.h, compared by a test.
 * They never leave the gateway's namespace, so they need not agree with anybody else's.
 */
export const marks = {
  pass: 0xcd010000,
  proxy: 0xcd020000,
  dns: 0xcd030000,
  reject: 0xcd040000,
  local: 0xcd050000,
  cut: 0xcd060000,
} as const;

/** Real addresses that a synthetic one may stand for: a place among them is the low three bits of a path. */
export const realAddresses = 8;

/** A turn is the rest of a path: it changes whenever a place gets another address. */
export const turns = 32;

/** The low byte of a pass mark: which real address, and in which turn it stood there. */
export const paths = realAddresses * turns;

export const pathOf = (turn: number, place: number): number => turn * realAddresses + place;

/** Set on packets that were judged by the address they will be sent to: only they are translated anew. */
export const firstBit = 0x100;

/** Set beside a pass mark on what answers a flow. Without it a packet towards an agent is the first agent's own, judged where it came in. */
export const answerBit = 0x200;

/** The mark by which the first packet of a flow is translated to the real address of that path. */
export const firstMark = (path: number): number => marks.pass + firstBit + path;
