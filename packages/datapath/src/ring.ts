import koffi from 'koffi';
import { mapMemory, pageSize } from './libc.ts';

/**
 * The reader of a ring buffer of the kernel (Documentation/bpf/ringbuf.rst): what libbpf does, but in place, without a call for each sample.
 * Each sample begins with 8 bytes, whose first four are its length and two flags.
 */
export interface Ring {
  /** Hands every sample that waits now to the receiver, on this thread, without a system call. Returns how many. */
  consume(): number;
  close(): void;
}

const headerBytes = 8;
/** BPF_RINGBUF_BUSY_BIT: it is still being written. BPF_RINGBUF_DISCARD_BIT: it is to be passed over. */
const busy = 0x80000000;
const discarded = 0x40000000;
const lengthBits = 0x3fffffff;

/**
 * `size`: bytes of the map, a power of two. A sample that the receiver is given is gone when it returns: it must copy what it keeps. One that
 * it fails at is passed over; the first error is thrown when all are read.
 */
export const openRing = (fd: number, size: number, receive: (sample: Buffer) => void): Ring => {
  const page = pageSize();
  // The reader's position; then, only to be read, the writer's, and the samples twice, so that one which begins at the end is in one piece.
  const ours = mapMemory(fd, page, 0, 'write');
  const theirs = mapMemory(fd, page + 2 * size, page, 'read');
  const read = new BigUint64Array(koffi.view(ours.address, 8));
  const memory = koffi.view(theirs.address, page + 2 * size);
  const written = new BigUint64Array(memory, 0, 1);
  const words = new Int32Array(memory, page);
  const samples = Buffer.from(memory, page);
  const mask = BigInt(size - 1);
  let open = true;

  return {
    consume() {
      let count = 0;
      let failure: { readonly error: unknown } | undefined;
      if (!open) return 0;
      let at = Atomics.load(read, 0);
      // What comes while these are read is for the next time: a flood must not keep this thread from everything else.
      const end = Atomics.load(written, 0);
      while (open && at < end) {
        const start = Number(at & mask);
        // Atomic: what was written before its length was is seen after it.
        const header = Atomics.load(words, start / 4);
        if ((header & busy) !== 0) break;
        const length = header & lengthBits;
        if ((header & discarded) === 0) {
          count += 1;
          try {
            receive(samples.subarray(start + headerBytes, start + headerBytes + length));
          } catch (error) {
            failure ??= { error };
          }
        }
        at += BigInt((headerBytes + length + 7) & ~7);
        // From here on its room is the writer's again; a receiver may have closed the ring.
        if (open) Atomics.store(read, 0, at);
      }
      if (failure !== undefined) throw failure.error;
      return count;
    },
    close() {
      if (!open) return;
      open = false;
      ours.unmap();
      theirs.unmap();
    },
  };
};
