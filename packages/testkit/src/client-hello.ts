/**
 * ClientHellos as a client sends them, from options: for tests of everything that reads one.
 * The bytes are deterministic: the same options give the same stream.
 */

export interface ExtensionBytes {
  readonly type: number;
  readonly data: Uint8Array;
}

export interface ClientHelloOptions {
  /** One host name, or several entries in one list, which no client sends. Absent: no server_name extension. Latin-1. */
  readonly sni?: string | readonly string[];
  /** Name type of each entry; 0 (host_name) unless said. */
  readonly sniType?: number;
  readonly alpn?: readonly string[];
  /** Empty list: no supported_versions extension. TLS 1.3 and 1.2 unless said. */
  readonly versions?: readonly number[];
  readonly legacyVersion?: number;
  readonly sessionId?: Uint8Array;
  readonly cipherSuites?: readonly number[];
  /** RFC 8701 values among the suites, groups, versions and key shares, as a first and as a last extension. */
  readonly grease?: boolean;
  /** An encrypted_client_hello extension of the outer kind with this many payload bytes; `true`: 144. */
  readonly ech?: boolean | number;
  readonly earlyData?: boolean;
  /** Bytes of one more key share (group X25519MLKEM768; 1,216 is its real size). Up to 20,000. */
  readonly keyShareSize?: number;
  /** Put in after the others, in this order, twice the same type if so given. */
  readonly extensions?: readonly ExtensionBytes[];
  /** `false`: a hello without an extensions block, as SSL 3.0 has it. */
  readonly withExtensions?: boolean;
}

export interface HelloRecordOptions {
  /** Payload sizes of the records, used in turn, the last one again and again; absent: as few records as fit. */
  readonly recordSizes?: readonly number[];
  /** In every record header; 0x0301 unless said. */
  readonly recordVersion?: number;
}

const concat = (...parts: readonly Uint8Array[]): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

const number = (value: number, width: number): Uint8Array =>
  Uint8Array.from({ length: width }, (_, i) => Math.floor(value / 256 ** (width - 1 - i)) & 0xff);
const vector = (width: number, ...parts: readonly Uint8Array[]): Uint8Array => {
  const inside = concat(...parts);
  return concat(number(inside.length, width), inside);
};
const numbers = (values: readonly number[]): Uint8Array => concat(...values.map((value) => number(value, 2)));
const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const filler = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (seed + i * 31 + (i >> 8) * 7) & 0xff);

const x25519 = 0x001d;
const x25519MlKem768 = 0x11ec;

const extensionList = (options: ClientHelloOptions): ExtensionBytes[] => {
  const grease = options.grease === true;
  const list: ExtensionBytes[] = [];
  const add = (type: number, ...data: readonly Uint8Array[]) => list.push({ type, data: concat(...data) });
  if (grease) add(0x2a2a);
  if (options.sni !== undefined) {
    const names = typeof options.sni === 'string' ? [options.sni] : options.sni;
    const entries = names.map((name) => concat(number(options.sniType ?? 0, 1), vector(2, ascii(name))));
    add(0, vector(2, ...entries));
  }
  add(23); // extended_master_secret
  add(0xff01, number(0, 1)); // renegotiation_info
  const share = options.keyShareSize;
  add(
    10,
    vector(2, numbers([...(grease ? [0x6a6a] : []), ...(share === undefined ? [] : [x25519MlKem768]), x25519, 0x17])),
  );
  add(11, vector(1, number(0, 1)));
  add(13, vector(2, numbers([0x0403, 0x0804, 0x0401])));
  if (options.alpn !== undefined) add(16, vector(2, ...options.alpn.map((name) => vector(1, ascii(name)))));
  const versions = options.versions ?? [0x0304, 0x0303];
  if (versions.length > 0) {
    add(43, vector(1, numbers(grease ? [0x8a8a, ...versions] : versions)));
    add(45, vector(1, number(1, 1)));
    const entry = (group: number, key: Uint8Array) => concat(number(group, 2), vector(2, key));
    const shares = [entry(x25519, filler(32, 3))];
    if (share !== undefined) shares.unshift(entry(x25519MlKem768, filler(share, 5)));
    if (grease) shares.unshift(entry(0x6a6a, number(0, 1)));
    add(51, vector(2, ...shares));
  }
  if (options.earlyData === true) add(42);
  if (options.ech !== undefined && options.ech !== false) {
    const payload = filler(options.ech === true ? 144 : options.ech, 9);
    // outer, HKDF-SHA256 with AES-128-GCM, config 7, an encapsulated key, the payload (RFC 9849, section 5)
    add(0xfe0d, number(0, 1), number(1, 2), number(1, 2), number(7, 1), vector(2, filler(32, 7)), vector(2, payload));
  }
  list.push(...(options.extensions ?? []));
  if (grease) add(0xdada, number(0, 1));
  return list;
};

/** The handshake message: type 1, three length bytes, the body. */
export const clientHelloMessage = (options: ClientHelloOptions = {}): Uint8Array => {
  const suites = options.cipherSuites ?? [0x1301, 0x1302, 0xc02b, 0xc02f];
  const extensions = extensionList(options).map((each) => concat(number(each.type, 2), vector(2, each.data)));
  const body = concat(
    number(options.legacyVersion ?? 0x0303, 2),
    filler(32, 1),
    vector(1, options.sessionId ?? filler(32, 2)),
    vector(2, numbers(options.grease === true ? [0x4a4a, ...suites] : suites)),
    vector(1, number(0, 1)),
    ...(options.withExtensions === false ? [] : [vector(2, ...extensions)]),
  );
  return concat(number(1, 1), vector(3, body));
};

/** Cuts handshake bytes into TLS records. */
export const handshakeRecords = (message: Uint8Array, options: HelloRecordOptions = {}): Uint8Array => {
  const sizes = options.recordSizes ?? [16_384];
  const records: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < message.length; turn++) {
    const size = sizes[Math.min(turn, sizes.length - 1)] ?? 16_384;
    if (!(size > 0)) throw new RangeError(`record size \`${size}\` would never end`);
    const payload = message.subarray(at, at + size);
    records.push(concat(number(22, 1), number(options.recordVersion ?? 0x0301, 2), vector(2, payload)));
    at += payload.length;
  }
  return concat(...records);
};

/** A client's first bytes on a TLS connection. */
export const clientHelloStream = (options: ClientHelloOptions & HelloRecordOptions = {}): Uint8Array =>
  handshakeRecords(clientHelloMessage(options), options);

/** Cuts a stream into pieces of the given sizes, the last size again and again. */
export const cutStream = (stream: Uint8Array, sizes: readonly number[]): Uint8Array[] => {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const size = Math.max(1, sizes[Math.min(turn, sizes.length - 1)] ?? stream.length);
    pieces.push(stream.subarray(at, at + size));
    at += size;
  }
  return pieces;
};
