import { type DomainName, wireName } from '@cofferdam/net';
import { type ByteReader, latin1 } from './bytes.ts';

/**
 * A name as it stands in a DNS message. Two names whose `wire` differs in ASCII case only are one name to DNS; the bytes
 * are kept as sent so that a question can be echoed.
 */
export interface DnsName {
  /** Uncompressed: each label behind its length, the root's empty label at the end; at most 255 bytes. */
  readonly wire: Uint8Array;
  /**
   * Labels with dots between and none at the end, in the case sent; empty for the root. A byte outside printable ASCII is
   * `\DDD`, a dot or backslash inside a label has a backslash before it (RFC 1035, 5.1), so that no two names look alike.
   */
  readonly text: string;
  /** The canonical domain name, where every label is letters, digits, hyphen, underscore and the whole is a name to policy. */
  readonly name: DomainName | undefined;
}

const maximumWireLength = 255; // RFC 1035, section 2.3.4
const maximumLabelLength = 63;
/**
 * A pointer may only go to an earlier byte than the piece of name it stands in began at, so that following pointers ends by
 * itself; this bounds the work of a message that chains them.
 */
const maximumPointers = 32;
const headerLength = 12;

const escapeLabel = (label: Uint8Array): string => {
  let text = '';
  for (const byte of label) {
    if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte > 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
};

/** Joins labels of 1 to 63 bytes that fit in 255 bytes together; `undefined` where they do not. */
const fromLabels = (labels: readonly Uint8Array[]): DnsName | undefined => {
  const wire = new Uint8Array(labels.reduce((sum, label) => sum + label.length + 1, 1));
  if (wire.length > maximumWireLength) return undefined;
  let at = 0;
  for (const label of labels) {
    if (label.length === 0 || label.length > maximumLabelLength) return undefined;
    wire[at] = label.length;
    wire.set(label, at + 1);
    at += label.length + 1;
  }
  const plain = labels.every((label) => /^[A-Za-z0-9_-]+$/.test(latin1(label)));
  const text = labels.map(escapeLabel).join('.');
  return { wire, text, name: plain && labels.length > 0 ? wireName(text) : undefined };
};

export const rootName: DnsName = { wire: new Uint8Array(1), text: '', name: undefined };

/**
 * Parses presentation text, with or without the trailing dot: `example.com`, `a\.b.example`, `\255.example`, `.` or the empty
 * text for the root. `undefined` where a label is empty or above 63 bytes, the whole above 255, or an escape is not one.
 */
export const dnsName = (text: string): DnsName | undefined => {
  if (text === '' || text === '.') return rootName;
  const labels: number[][] = [[]];
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (i < text.length - 1) labels.push([]);
      else break;
      continue;
    }
    if (code === 0x5c) {
      const digits = /^\d{3}/.exec(text.slice(i + 1, i + 4))?.[0];
      code = digits === undefined ? text.charCodeAt(i + 1) : Number(digits);
      i += digits === undefined ? 1 : 3;
    }
    if (!(code <= 0xff)) return undefined;
    labels.at(-1)!.push(code);
  }
  return fromLabels(labels.map((label) => Uint8Array.from(label)));
};

/**
 * Reads a name at the reader's position and steps over it. `message`: the whole message, which pointers point into;
 * `undefined` forbids them (RFC 9460, 2.2: a SVCB target). `undefined` is returned for whatever is not a name.
 */
export const readName = (reader: ByteReader, message: Uint8Array | undefined): DnsName | undefined => {
  const labels: Uint8Array[] = [];
  let length = 1;
  let pieceStart = reader.position;
  // Inside the record until the first pointer, in the message after it.
  let bytes = reader.bytes;
  let end = reader.end;
  let at = reader.position;
  let pointers = 0;
  let jumped = false;
  for (;;) {
    if (at >= end) return undefined;
    const head = bytes[at]!;
    if (head === 0) {
      if (!jumped) reader.position = at + 1;
      return fromLabels(labels);
    }
    if (head <= maximumLabelLength) {
      const label = bytes.subarray(at + 1, at + 1 + head);
      length += head + 1;
      if (at + 1 + head > end || length > maximumWireLength) return undefined;
      labels.push(label);
      at += head + 1;
      continue;
    }
    // 0x40 and 0x80 are label types that were never put to use (RFC 6891, section 5).
    if (head < 0xc0 || message === undefined || at + 1 >= end || ++pointers > maximumPointers) return undefined;
    const target = (head & 0x3f) * 256 + bytes[at + 1]!;
    if (target >= pieceStart || target < headerLength) return undefined;
    if (!jumped) reader.position = at + 2;
    jumped = true;
    bytes = message;
    end = message.length;
    at = target;
    pieceStart = target;
  }
};

/** DNS equality: byte by byte but for ASCII case (RFC 4343). */
export const sameName = (a: DnsName, b: DnsName): boolean =>
  a.wire.length === b.wire.length && a.wire.every((byte, i) => foldCase(byte) === foldCase(b.wire[i]!));

// A label's length is at most 63, below any letter, so folding the wire form leaves lengths alone.
const foldCase = (byte: number): number => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
