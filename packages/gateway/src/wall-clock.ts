/** Tells when something was by the wall clock that the kernel has by the clock of its boot. */
export interface WallClock {
  /** Milliseconds since the epoch of a boot time in nanoseconds, as both clocks were at the last look. */
  readonly wallTime: (boot: bigint) => number;
  /** The wall clock may be set at any time. */
  readonly look: () => void;
}

export const createWallClock = (now: () => number, bootTime: () => bigint): WallClock => {
  const read = () => ({ wall: now(), boot: bootTime() });
  let both = read();
  return {
    wallTime: (boot) => both.wall - Number((both.boot - boot) / 1_000_000n),
    look() {
      both = read();
    },
  };
};
