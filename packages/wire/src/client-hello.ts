import { type DomainName, wireName } from '@cofferdam/net';
import { ByteReader, latin1 } from './bytes.ts';

/** Why a ClientHello cannot be trusted. */
export type HelloFault =
  /** A record inside the hello is not of the handshake type. */
  | 'record-type'
  /** A record version other than 3.0 to 3.4. */
  | 'record-version'
  /** An empty record, or one above 2^14 bytes (RFC 8446, 5.1). */
  | 'record-length'
  /** The first handshake message is not a ClientHello. */
  | 'handshake-type'
  /** More than {@link maximumHelloBytes} of stream. */
  | 'too-long'
  /** The hello ends inside a record: no client may say more before the server has spoken (RFC 8446, 5.1 and 4.2.10). */
  | 'record-holds-more'
  | 'client-version'
  /** A length inside the hello does not nest exactly in what holds it. */
  | 'length-mismatch'
  | 'session-id'
  | 'cipher-suites'
  | 'compression-methods'
  /** The same extension type twice (RFC 8446, 4.2: must not). Two readers would pick different ones. */
  | 'duplicate-extension'
  /** A server_name list that is not exactly one host_name of at least one byte. */
  | 'server-name-list';

/** What the server_name extension says. */
export type HelloName =
  | { readonly kind: 'absent' }
  | { readonly kind: 'name'; readonly name: DomainName }
  /** The hello is well formed, and its name is not a canonical domain name in any ASCII case. `text`: one character a byte. */
  | { readonly kind: 'unreadable'; readonly text: string };

export interface HelloExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

export interface ClientHello {
  /** `legacy_version`, 0x0300 to 0x0304. */
  readonly version: number;
  readonly sessionId: Uint8Array;
  /** GREASE values (RFC 8701) are kept, here and in every list below. */
  readonly cipherSuites: readonly number[];
  readonly compressionMethods: readonly number[];
  /** In the order sent, each type once. */
  readonly extensions: readonly HelloExtension[];
  readonly name: HelloName;
  /** The encrypted_client_hello extension is there: real or GREASE, which nobody on the path can tell apart. */
  readonly encryptedHello: boolean;
  /** Records of early data may follow the hello at once. */
  readonly earlyData: boolean;
  /** Empty where the extension is absent or malformed. One character a byte. */
  readonly alpn: readonly string[];
  /** Empty where the extension is absent or malformed. */
  readonly supportedVersions: readonly number[];
  /** Empty where the extension is absent or malformed. */
  readonly supportedGroups: readonly number[];
  /**
   * Those of the three extensions above whose content is malformed. No verdict rests on them, so they do not make the
   * hello unreadable (the kernel reads names, not these); a proxy that wants to use one refuses the hello.
   */
  readonly malformedExtensions: readonly number[];
}

export const extensionType = {
  serverName: 0,
  supportedGroups: 10,
  alpn: 16,
  earlyData: 42,
  supportedVersions: 43,
  encryptedClientHello: 0xfe0d,
} as const;

export type ParsedHello =
  | { readonly ok: true; readonly hello: ClientHello }
  | { readonly ok: false; readonly because: HelloFault };

const fault = (because: HelloFault): ParsedHello => ({ ok: false, because });

/** TLS 1.0 to 1.3 and SSL 3.0 as they stand in the two version fields: 3.0 to 3.4. */
export const isHelloVersion = (version: number): boolean => version >= 0x0300 && version <= 0x0304;

/** A vector of two-byte values that fills `reader` to its end; `undefined` unless it holds at least one. */
const twoByteList = (reader: ByteReader): number[] | undefined => {
  if (reader.failed || reader.remaining < 2 || reader.remaining % 2 !== 0) return undefined;
  const values: number[] = [];
  while (reader.remaining > 0) values.push(reader.u16());
  return values;
};

/** A list of two-byte values behind a length of `width` bytes. */
const listAfterLength = (data: Uint8Array, width: 1 | 2): number[] | undefined => {
  const reader = new ByteReader(data);
  const list = reader.inner(width === 1 ? reader.u8() : reader.u16());
  return reader.endedExactly ? twoByteList(list) : undefined;
};

/** RFC 6066, section 3. The extension allows a list; a second entry is how a reader and a server are made to disagree. */
const serverName = (data: Uint8Array): HelloName | undefined => {
  const reader = new ByteReader(data);
  const list = reader.inner(reader.u16());
  if (!reader.endedExactly) return undefined;
  const hostNameType = list.u8();
  const host = list.take(list.u16());
  if (!list.endedExactly || hostNameType !== 0 || host.length === 0) return undefined;
  const text = latin1(host);
  const name = wireName(text);
  return name === undefined ? { kind: 'unreadable', text } : { kind: 'name', name };
};

/** RFC 7301, section 3.1. */
const protocols = (data: Uint8Array): string[] | undefined => {
  const reader = new ByteReader(data);
  const list = reader.inner(reader.u16());
  if (!reader.endedExactly || list.remaining === 0) return undefined;
  const names: string[] = [];
  while (list.remaining > 0) {
    const name = list.take(list.u8());
    if (list.failed || name.length === 0) return undefined;
    names.push(latin1(name));
  }
  return names;
};

/** Parses the body of a ClientHello handshake message: what follows its type and its three length bytes. */
export const parseClientHello = (body: Uint8Array): ParsedHello => {
  const reader = new ByteReader(body);
  const version = reader.u16();
  reader.take(32);
  const sessionId = reader.take(reader.u8());
  const cipherBytes = reader.inner(reader.u16());
  const compressionMethods = [...reader.take(reader.u8())];
  if (reader.failed) return fault('length-mismatch');
  if (!isHelloVersion(version)) return fault('client-version');
  if (sessionId.length > 32) return fault('session-id');
  const cipherSuites = twoByteList(cipherBytes);
  if (cipherSuites === undefined) return fault('cipher-suites');
  if (compressionMethods.length === 0) return fault('compression-methods');

  // A hello may end here: SSL 3.0 and early TLS know no extensions.
  const block = reader.remaining === 0 ? new ByteReader(body, body.length) : reader.inner(reader.u16());
  if (!reader.endedExactly) return fault('length-mismatch');
  const extensions: HelloExtension[] = [];
  const byType = new Map<number, Uint8Array>();
  while (block.remaining > 0) {
    const type = block.u16();
    const data = block.take(block.u16());
    if (block.failed) return fault('length-mismatch');
    if (byType.has(type)) return fault('duplicate-extension');
    byType.set(type, data);
    extensions.push({ type, data });
  }

  const nameData = byType.get(extensionType.serverName);
  const name: HelloName | undefined = nameData === undefined ? { kind: 'absent' } : serverName(nameData);
  if (name === undefined) return fault('server-name-list');

  const malformedExtensions: number[] = [];
  const readList = <T>(type: number, read: (data: Uint8Array) => T[] | undefined): T[] => {
    const data = byType.get(type);
    const list = data === undefined ? [] : read(data);
    if (list === undefined) malformedExtensions.push(type);
    return list ?? [];
  };
  const alpn = readList(extensionType.alpn, protocols);
  const supportedVersions = readList(extensionType.supportedVersions, (data) => listAfterLength(data, 1));
  const supportedGroups = readList(extensionType.supportedGroups, (data) => listAfterLength(data, 2));

  return {
    ok: true,
    hello: {
      version,
      sessionId,
      cipherSuites,
      compressionMethods,
      extensions,
      name,
      encryptedHello: byType.has(extensionType.encryptedClientHello),
      earlyData: byType.has(extensionType.earlyData),
      alpn,
      supportedVersions,
      supportedGroups,
      malformedExtensions,
    },
  };
};
