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
} as const;

/** Real addresses that a synthetic one may stand for: the low bits of a pass mark say which is dialled. */
export const realAddresses = 8;

/** Set on packets that were judged by the address they will be sent to: only they are translated anew. */
export const firstBit = 0x100;

/** The mark by which a packet is translated to the real address of that place. */
export const firstMark = (choice: number): number => marks.pass + firstBit + choice;

export const passMark = (choice: number): number => marks.pass + choice;
