import { absent, type Facts, known, unknown, unreadable } from '@cofferdam/verdict';
import type { FirstBytes } from './first-bytes.ts';

/** What will never come on a flow whose client claims nothing. */
export const nothingClaimed = { tls: absent, claimedName: absent, request: absent, mcp: absent } as const;

/** What TLS hides, whatever was taken for granted while its client was silent. */
const unasked = { request: unknown, mcp: unknown } as const;

/** What is not read of a flow that goes on all the same. */
export const nothingRead = { tls: unreadable, claimedName: unreadable, request: unreadable, mcp: unreadable } as const;

/**
 * What a client's first bytes say, where they are no strict request and not cut short. Bytes that cannot begin a request are none: permits of
 * requests do not match them and denials do. What a lax server may take for one is `unreadable`. Which it is depends on the bytes alone, so that
 * the record says the same under every plan.
 */
export const factsOfFirst = (first: Exclude<FirstBytes, { kind: 'http' | 'closed' | 'timeout' }>): Partial<Facts> => {
  switch (first.kind) {
    case 'tls':
      return {
        ...unasked,
        tls: known(true),
        claimedName:
          first.name.kind === 'name' ? known(first.name.name) : first.name.kind === 'absent' ? absent : unreadable,
      };
    case 'tls-unreadable':
      return { ...unasked, tls: unreadable, claimedName: unreadable };
    case 'opaque':
      return nothingClaimed;
    case 'http-unreadable':
      return { ...nothingClaimed, claimedName: unreadable, request: unreadable, mcp: unreadable };
  }
};
