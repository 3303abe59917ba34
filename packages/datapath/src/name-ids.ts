/**
 * Ids of names in the kernel say what a name is to the gateway. Below the first of these are the names of the pool's addresses; 0 is no name.
 * Flows hold them, so none is used again while one does.
 */

/** Names that agents were given real addresses for. */
export const firstTrackedId = 0x10000000;
/** Sets of those. */
export const firstSetId = 0x20000000;
/** Names that clients claimed and that no answer of the gateway was about. */
export const firstClaimedId = 0x40000000;
