import { latin1 } from './bytes.ts';

/** Why bytes are no line of an HTTP/1.1 message head. */
export type LineFault =
  /** A line feed without a carriage return before it: two readers may disagree where a line ends (RFC 9112, 2.2). */
  | 'bare-lf'
  /** A carriage return inside a line. */
  | 'bare-cr'
  /** NUL, DEL or another control character but the tab. */
  | 'control-character'
  | 'line-too-long'
  /** The lines together are above their bound. */
  | 'head-too-long';

export interface LineLimits {
  /** Bytes of one line, without its end. */
  readonly line: number;
  /** Bytes of all lines, with their ends. */
  readonly total: number;
}

export type TakenLine =
  | { readonly kind: 'line'; readonly line: string; readonly consumed: number }
  /** All bytes were taken, and no line ends in them. */
  | { readonly kind: 'need-more' }
  | { readonly kind: 'fault'; readonly because: LineFault };

/**
 * Takes lines that end in CR LF out of a stream, one a call, one character a byte. A fault is decided by the bytes of its line
 * alone, not by how they were cut; after one the reader must not be used.
 */
export const createLineReader = (limits: LineLimits): ((bytes: Uint8Array) => TakenLine) => {
  let kept = new Uint8Array(0);
  let total = 0;

  return (bytes) => {
    const room = Math.min(limits.line + 2, limits.total - total);
    const end = bytes.subarray(0, Math.max(0, room - kept.length)).indexOf(0x0a);
    if (end === -1) {
      if (kept.length + bytes.length >= room) {
        return { kind: 'fault', because: room === limits.line + 2 ? 'line-too-long' : 'head-too-long' };
      }
      kept = joined(kept, bytes);
      return { kind: 'need-more' };
    }
    const whole = latin1(joined(kept, bytes.subarray(0, end)));
    kept = new Uint8Array(0);
    total += whole.length + 1;
    if (!whole.endsWith('\r')) return { kind: 'fault', because: 'bare-lf' };
    const line = whole.slice(0, -1);
    if (line.includes('\r')) return { kind: 'fault', because: 'bare-cr' };
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(line)) return { kind: 'fault', because: 'control-character' };
    return { kind: 'line', line, consumed: end + 1 };
  };
};

const joined = (a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> => {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
};
