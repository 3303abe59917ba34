import { type ClientHello, type HelloFault, isHelloVersion, parseClientHello } from './client-hello.ts';

/**
 * The most bytes of stream, record headers included, in which a ClientHello must end. Ours: the largest hello seen in
 * practice (post-quantum key shares, a session ticket, ECH) is below 4 KB, and the kernel keeps this many for a pending flow.
 */
export const maximumHelloBytes = 20_480;

const maximumRecordLength = 16_384; // RFC 8446, section 5.1
const handshakeRecord = 22;
const clientHelloMessage = 1;

/** A hello, and where in the stream it stood. */
export interface ReadHello extends ClientHello {
  /** Bytes of the handshake message after its four header bytes. */
  readonly handshakeLength: number;
  /** Bytes of stream up to the end of the hello: record headers and the handshake message. What follows is not the hello's. */
  readonly rawLength: number;
}

export type HelloState =
  | { readonly state: 'need-more' }
  /** Ruled out on the first byte (a record type other than 22) or the second (a version major other than 3). */
  | { readonly state: 'not-tls' }
  | { readonly state: 'unreadable'; readonly because: HelloFault }
  | { readonly state: 'hello'; readonly hello: ReadHello };

export interface HelloReader {
  /**
   * Takes the next bytes of the stream and says what is known now. How a stream is cut into pushes makes no difference:
   * the answer depends on the bytes so far, and once it is not `need-more` it stays.
   */
  push(bytes: Uint8Array): HelloState;
}

const needMore: HelloState = { state: 'need-more' };

/**
 * The record that a client in middlebox compatibility mode sends right before its answer to a HelloRetryRequest
 * (RFC 8446, appendix D.4): change_cipher_spec, any version of major 3, one byte of value 1.
 */
const compatibilityRecord: readonly (number | 'minor')[] = [20, 3, 'minor', 0, 1, 1];

/**
 * Reads a ClientHello, however it is cut into records and segments. `second`: the one that answers a HelloRetryRequest,
 * which one change_cipher_spec record may precede; its bytes count in the raw length.
 */
export const createHelloReader = (options: { readonly second?: boolean } = {}): HelloReader => {
  let answer: HelloState = needMore;
  let raw = 0;
  let headerFill = 0;
  let recordLength = 0;
  let recordLeft = 0;
  let inFirstRecord = true;
  const prefix = new Uint8Array(4);
  let prefixFill = 0;
  let body = new Uint8Array(0);
  let bodyFill = 0;
  /** How much of the compatibility record has been stepped over; `undefined` where it is not or no longer expected. */
  let compatibilityFill: number | undefined = options.second === true ? 0 : undefined;

  const compatibilityByte = (byte: number): HelloState => {
    raw++;
    const wanted = compatibilityRecord[compatibilityFill!]!;
    if (wanted === 'minor' ? !isHelloVersion(0x0300 + byte) : byte !== wanted) return unreadable('record-type');
    compatibilityFill!++;
    if (compatibilityFill === compatibilityRecord.length) compatibilityFill = undefined;
    return needMore;
  };

  const unreadable = (because: HelloFault): HelloState => ({ state: 'unreadable', because });
  const messageLeft = (): number => body.length - bodyFill;

  const headerByte = (byte: number): HelloState => {
    raw++;
    if (raw > maximumHelloBytes) return unreadable('too-long');
    switch (headerFill++) {
      case 0:
        if (byte === handshakeRecord) return needMore;
        return inFirstRecord ? { state: 'not-tls' } : unreadable('record-type');
      case 1:
        if (byte === 3) return needMore;
        return inFirstRecord ? { state: 'not-tls' } : unreadable('record-version');
      case 2:
        return isHelloVersion(0x0300 + byte) ? needMore : unreadable('record-version');
      case 3:
        recordLength = byte * 256;
        return recordLength > maximumRecordLength ? unreadable('record-length') : needMore;
      default:
        recordLength += byte;
        recordLeft = recordLength;
        headerFill = 0;
        inFirstRecord = false;
        if (recordLength === 0 || recordLength > maximumRecordLength) return unreadable('record-length');
        return prefixFill === 4 && recordLength > messageLeft() ? unreadable('record-holds-more') : needMore;
    }
  };

  const prefixByte = (byte: number): HelloState => {
    raw++;
    recordLeft--;
    prefix[prefixFill++] = byte;
    if (raw > maximumHelloBytes) return unreadable('too-long');
    if (prefix[0] !== clientHelloMessage) return unreadable('handshake-type');
    if (prefixFill < 4) return needMore;
    const length = prefix[1]! * 65_536 + prefix[2]! * 256 + prefix[3]!;
    // Refused by what it announces, before any of it is stored.
    if (raw + length > maximumHelloBytes) return unreadable('too-long');
    if (recordLeft > length) return unreadable('record-holds-more');
    body = new Uint8Array(length);
    return length === 0 ? finish() : needMore;
  };

  const finish = (): HelloState => {
    const parsed = parseClientHello(body);
    if (!parsed.ok) return unreadable(parsed.because);
    return { state: 'hello', hello: { ...parsed.hello, handshakeLength: body.length, rawLength: raw } };
  };

  const bodyBytes = (bytes: Uint8Array): HelloState => {
    raw += bytes.length;
    if (raw > maximumHelloBytes) return unreadable('too-long');
    body.set(bytes, bodyFill);
    bodyFill += bytes.length;
    recordLeft -= bytes.length;
    return messageLeft() === 0 ? finish() : needMore;
  };

  return {
    push(bytes) {
      let at = 0;
      while (answer.state === 'need-more' && at < bytes.length) {
        if (compatibilityFill === 0 && bytes[at] !== compatibilityRecord[0]) compatibilityFill = undefined;
        if (compatibilityFill !== undefined) answer = compatibilityByte(bytes[at++]!);
        else if (recordLeft === 0) answer = headerByte(bytes[at++]!);
        else if (prefixFill < 4) answer = prefixByte(bytes[at++]!);
        else {
          const piece = bytes.subarray(at, at + Math.min(recordLeft, messageLeft()));
          at += piece.length;
          answer = bodyBytes(piece);
        }
      }
      return answer;
    },
  };
};
