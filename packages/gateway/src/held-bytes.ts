/** Room for what is held back of one message. */
export interface Hold {
  /** False: there is no room for so many bytes more. */
  readonly take: (bytes: number) => boolean;
  /** Gives back all that was taken. */
  readonly release: () => void;
}

export type OpenHold = (agent: string) => Hold;

/** Bytes that are held back at once, over all agents and of each. */
export const createHolds = (limits: { readonly ofAll: number; readonly ofOne: number }): OpenHold => {
  const held = new Map<string, number>();
  let all = 0;
  return (agent) => {
    let taken = 0;
    return {
      take(bytes) {
        const own = (held.get(agent) ?? 0) + bytes;
        if (own > limits.ofOne || all + bytes > limits.ofAll) return false;
        held.set(agent, own);
        all += bytes;
        taken += bytes;
        return true;
      },
      release() {
        const own = (held.get(agent) ?? 0) - taken;
        if (own > 0) held.set(agent, own);
        else held.delete(agent);
        all -= taken;
        taken = 0;
      },
    };
  };
};

/** Content of one message that is held back, at most. Ours, and what the servers of the MCP SDKs take by default. */
export const longestHeld = 4 * 1024 * 1024;

/** Bytes held back until the end of a message is there. */
export interface HeldBytes {
  /** Holds them, in any case; false: it is too much now, and has to end. */
  readonly add: (bytes: Uint8Array) => boolean;
  /** All that is held. */
  readonly bytes: () => Buffer;
  /** Lets go of the first so many. */
  readonly drop: (count: number) => void;
}

/** In one piece: what comes may come byte by byte, and each a view of all that came with it. */
export const createHeldBytes = (hold: Hold): HeldBytes => {
  let room = Buffer.alloc(0);
  let length = 0;
  return {
    add(bytes) {
      if (length + bytes.length > room.length) {
        const larger = Buffer.allocUnsafe(Math.max(8192, 2 * room.length, length + bytes.length));
        room.copy(larger, 0, 0, length);
        room = larger;
      }
      room.set(bytes, length);
      length += bytes.length;
      return length <= longestHeld && hold.take(bytes.length);
    },
    bytes: () => room.subarray(0, length),
    drop(count) {
      room = Buffer.from(room.subarray(count, length));
      length = room.length;
      hold.release();
      hold.take(length);
    },
  };
};
