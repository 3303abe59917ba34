/** Milliseconds. A clock that is slewed takes the other along; only one that is set goes its own way. */
const tolerance = 1000;

/**
 * Plans carry moments of the wall clock as boot time, by the distance that both clocks had when the plan was applied. Says at each look
 * whether that distance has changed since the last time it said so: then the moments are wrong until the plan is applied again. What
 * is too little to be said adds up. `wall`: milliseconds since the epoch; `boot`: milliseconds since boot, sleep included.
 */
export const createClockJump = (wall: () => number, boot: () => number): (() => boolean) => {
  let known = wall() - boot();
  return () => {
    const distance = wall() - boot();
    if (Math.abs(distance - known) <= tolerance) return false;
    known = distance;
    return true;
  };
};
