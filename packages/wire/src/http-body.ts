import { type FieldFault, parseField } from './http-field.ts';
import { createLineReader, type LineFault } from './http-line.ts';
import type { ResponseFraming } from './http-response.ts';

/** Bounds of chunked bodies. Ours: nobody uses extensions, and few use trailers. */
export const chunkLimits = {
  /** Bytes of one chunk's size line, without its end. */
  sizeLine: 256,
  /** Bytes of extensions over the whole body: they cost a reader work and carry no body. */
  extensions: 16_384,
  trailerLine: 8_192,
  trailers: 16_384,
  trailerFields: 32,
} as const;

export type BodyFault =
  | LineFault
  | FieldFault
  /** Not 1 to 13 hexadecimal digits. */
  | 'chunk-size'
  | 'chunk-extension'
  /** The bytes after a chunk's data are not CR LF. */
  | 'chunk-end'
  /** A trailer field that says how the message is framed or routed (RFC 9110, 6.5.1). */
  | 'trailer-field';

export interface BodyProgress {
  /** `end`: the body ends after `consumed` bytes of this push, and stays ended. */
  readonly state: 'need-more' | 'end';
  /** Bytes of this push that are the body's, framing and trailers included. */
  readonly consumed: number;
  /** Views of this push: content without the framing. */
  readonly data: readonly Uint8Array[];
}

export type BodyState = BodyProgress | { readonly state: 'unreadable'; readonly because: BodyFault };

/** Finds where a body ends, so that what comes after it is read as the next message. */
export interface BodyScanner {
  /** Takes the next bytes after the head. A push of no bytes tells whether the body has ended already. */
  push(bytes: Uint8Array): BodyState;
}

export const createBodyScanner = (framing: ResponseFraming): BodyScanner => {
  switch (framing.kind) {
    case 'chunked':
      return createChunkedScanner();
    case 'none':
      return createLengthScanner(0);
    case 'length':
      return createLengthScanner(framing.length);
    case 'until-close':
      return createLengthScanner(Number.POSITIVE_INFINITY);
  }
};

const createLengthScanner = (length: number): BodyScanner => {
  let left = length;
  return {
    push(bytes) {
      const consumed = Math.min(left, bytes.length);
      left -= consumed;
      const data = consumed === 0 ? [] : [bytes.subarray(0, consumed)];
      return { state: left === 0 ? 'end' : 'need-more', consumed, data };
    },
  };
};

const framingFields = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'connection',
  'upgrade',
  'trailer',
  'te',
]);

/** RFC 9112, section 7.1, without the leniency: no whitespace around the size, CR LF exactly, bounded everywhere. */
const createChunkedScanner = (): BodyScanner => {
  const nextSizeLine = createLineReader({ line: chunkLimits.sizeLine, total: Number.POSITIVE_INFINITY });
  const nextTrailer = createLineReader({ line: chunkLimits.trailerLine, total: chunkLimits.trailers });
  let place: 'size' | 'data' | 'data-end' | 'trailers' | 'end' = 'size';
  let dataLeft = 0;
  let endFill = 0;
  let extensions = 0;
  let trailers = 0;
  let fault: BodyFault | undefined;

  const size = (line: string): BodyFault | undefined => {
    const [, digits, extension] = /^([0-9A-Fa-f]{1,13})(;.*)?$/.exec(line) ?? [];
    if (digits === undefined) return 'chunk-size';
    extensions += extension?.length ?? 0;
    if (extensions > chunkLimits.extensions || /[\x80-\xff]/.test(extension ?? '')) return 'chunk-extension';
    dataLeft = Number.parseInt(digits, 16);
    place = dataLeft === 0 ? 'trailers' : 'data';
    return undefined;
  };

  const trailer = (line: string): BodyFault | undefined => {
    if (line === '') {
      place = 'end';
      return undefined;
    }
    const field = parseField(line);
    if (typeof field === 'string') return field;
    if (framingFields.has(field.name.toLowerCase())) return 'trailer-field';
    return ++trailers > chunkLimits.trailerFields ? 'too-many-fields' : undefined;
  };

  /** Takes one step and returns how many bytes it took; sets `fault` where it cannot. */
  const step = (bytes: Uint8Array, data: Uint8Array[]): number => {
    if (place === 'data') {
      const piece = bytes.subarray(0, Math.min(dataLeft, bytes.length));
      data.push(piece);
      dataLeft -= piece.length;
      if (dataLeft === 0) place = 'data-end';
      return piece.length;
    }
    if (place === 'data-end') {
      if (bytes[0] !== (endFill === 0 ? 0x0d : 0x0a)) fault = 'chunk-end';
      endFill = 1 - endFill;
      if (endFill === 0) place = 'size';
      return 1;
    }
    const taken = place === 'size' ? nextSizeLine(bytes) : nextTrailer(bytes);
    if (taken.kind === 'need-more') return bytes.length;
    if (taken.kind === 'fault') {
      fault = taken.because;
      return 0;
    }
    fault = place === 'size' ? size(taken.line) : trailer(taken.line);
    return taken.consumed;
  };

  return {
    push(bytes) {
      const data: Uint8Array[] = [];
      let consumed = 0;
      while (fault === undefined && place !== 'end' && consumed < bytes.length) {
        consumed += step(bytes.subarray(consumed), data);
      }
      if (fault !== undefined) return { state: 'unreadable', because: fault };
      return { state: place === 'end' ? 'end' : 'need-more', consumed, data };
    },
  };
};
