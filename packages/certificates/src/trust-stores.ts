import { createHash, createHmac, randomBytes, type X509Certificate } from 'node:crypto';

/** One authority in a store, under the name that people see. */
export interface TrustedAuthority {
  readonly alias: string;
  readonly certificate: X509Certificate;
}

export interface TrustStoreOptions {
  /** It keeps nothing secret, since certificates are public: it only lets a reader see that the file is whole. */
  readonly password: string;
  /** Milliseconds since the epoch, when the store was made. */
  readonly at: number;
}

const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

const number = (bytes: 2 | 4 | 8, value: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 8) buffer.writeBigUInt64BE(BigInt(value));
  else buffer.writeUIntBE(value, 0, bytes);
  return buffer;
};

/** With its length in front, as Java's `writeUTF` does; aliases are ASCII. */
const withLength = (text: string): Buffer => Buffer.concat([number(2, text.length), Buffer.from(text, 'latin1')]);

/**
 * Java's own format, which versions before 9 take for granted: `JavaKeyStore.java` of OpenJDK has its description. Entries are trusted
 * certificates (tag 2); the digest covers the password, the words below, and the file.
 */
export const javaTrustStore = (
  authorities: readonly TrustedAuthority[],
  { password, at }: TrustStoreOptions,
): Uint8Array => {
  const entries = authorities.flatMap(({ alias, certificate: { raw } }) => [
    number(4, 2),
    withLength(alias),
    number(8, at),
    withLength('X.509'),
    number(4, raw.length),
    raw,
  ]);
  const store = Buffer.concat([number(4, 0xfeedfeed), number(4, 2), number(4, authorities.length), ...entries]);
  const digest = createHash('sha1').update(utf16(password)).update('Mighty Aphrodite').update(store).digest();
  return Buffer.concat([store, digest]);
};

/** Tags of ASN.1 (X.690, 8.1.2). */
const tags = {
  integer: 0x02,
  octets: 0x04,
  nothing: 0x05,
  oid: 0x06,
  bmp: 0x1e,
  sequence: 0x30,
  set: 0x31,
  zero: 0xa0,
} as const;

const lengthOf = (length: number): Buffer => {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let left = length; left > 0; left = Math.floor(left / 256)) bytes.unshift(left % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
};

const der = (tag: keyof typeof tags, ...parts: readonly Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tags[tag]]), lengthOf(content.length), content]);
};

const oid = (text: string): Buffer => {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift((left % 128) | 0x80);
    return digits;
  });
  return der('oid', Buffer.from(bytes));
};

const ids = {
  data: oid('1.2.840.113549.1.7.1'),
  certificateBag: oid('1.2.840.113549.1.12.10.1.3'),
  x509: oid('1.2.840.113549.1.9.22.1'),
  friendlyName: oid('1.2.840.113549.1.9.20'),
  /** Java takes a certificate without a key for trusted only where this says for what. */
  trustedKeyUsage: oid('2.16.840.1.113894.746875.1.1'),
  anyUsage: oid('2.5.29.37.0'),
  sha256: oid('2.16.840.1.101.3.4.2.1'),
} as const;

const repeated = (bytes: Uint8Array, length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, at) => bytes[at % bytes.length]!));

/** The key of the integrity code (RFC 7292, B.2, with SHA-256: u 32, v 64; one block is enough). */
const macKey = (password: string, salt: Uint8Array, iterations: number): Buffer => {
  const block = 64;
  const text = Buffer.concat([utf16(password), Buffer.alloc(2)]);
  const roundUp = (length: number): number => block * Math.ceil(length / block);
  const input = [Buffer.alloc(block, 3), repeated(salt, roundUp(salt.length)), repeated(text, roundUp(text.length))];
  let key = Buffer.concat(input);
  for (let i = 0; i < iterations; i++) key = createHash('sha256').update(key).digest();
  return key;
};

/** Of the code over what is public anyway: as many as OpenSSL takes. */
const iterations = 2048;

/** PKCS#12 (RFC 7292), unencrypted and with an integrity code. */
export const pkcs12TrustStore = (
  authorities: readonly TrustedAuthority[],
  { password }: TrustStoreOptions,
): Uint8Array => {
  const bags = authorities.map(({ alias, certificate }) =>
    der(
      'sequence',
      ids.certificateBag,
      der('zero', der('sequence', ids.x509, der('zero', der('octets', certificate.raw)))),
      der(
        'set',
        der('sequence', ids.friendlyName, der('set', der('bmp', utf16(alias)))),
        der('sequence', ids.trustedKeyUsage, der('set', ids.anyUsage)),
      ),
    ),
  );
  const content = (of: Buffer): Buffer => der('sequence', ids.data, der('zero', der('octets', of)));
  const safe = der('sequence', content(der('sequence', ...bags)));
  const salt = randomBytes(16);
  const code = createHmac('sha256', macKey(password, salt, iterations))
    .update(safe)
    .digest();
  const mac = der(
    'sequence',
    der('sequence', der('sequence', ids.sha256, der('nothing')), der('octets', code)),
    der('octets', salt),
    der('integer', number(2, iterations)),
  );
  return der('sequence', der('integer', Buffer.from([3])), content(safe), mac);
};
