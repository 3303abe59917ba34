import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { ownAlgorithm, readSigningKey, type SigningKey } from './signing.ts';

/** Who signs the certificates that clients are shown. */
export interface Authority {
  /** Its own certificate first, then those up to a root that clients know, where they are known: never empty. */
  readonly chain: readonly X509Certificate[];
  readonly signing: SigningKey;
}

/** An authority as files hold it. */
export interface AuthorityFiles {
  /** PEM, one certificate or a chain. */
  readonly certificate: string;
  /** PEM, PKCS#8. */
  readonly key: string;
}

/** Why files hold no authority, in a sentence, and what to do. */
export interface AuthorityProblem {
  readonly message: string;
  readonly help: string;
}

export type ReadAuthority =
  | { readonly ok: true; readonly authority: Authority }
  | { readonly ok: false; readonly problem: AuthorityProblem };

const day = 24 * 3_600_000;
/** Long enough that nobody is surprised by its end, and short enough that a lost one is not for ever. */
const authorityLife = 3652 * day;
/** Clocks of clients may be behind. */
export const backdated = day;

/** 126 random bits, positive, and never with a first byte of zero (RFC 5280, 4.1.2.2; CAB Forum, 7.1: at least 64). */
export const serialNumber = (): string => {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
};

/** RFC 4514: everything that may mean something in a name is escaped. */
const commonName = (text: string): string => `CN=${text.replaceAll(/[^A-Za-z0-9 .-]/g, (one) => `\\${one}`)}`;

/** A new authority that is its own root. `name` is what people see in their trust stores: 1 to 64 letters, digits, spaces, dots and hyphens. */
export const createAuthority = async (name: string, now: number): Promise<AuthorityFiles> => {
  const keys = await webcrypto.subtle.generateKey(ownAlgorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: commonName(name),
    notBefore: new Date(now - backdated),
    notAfter: new Date(now + authorityLife),
    signingAlgorithm: ownAlgorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: key.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
};

const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

const certificatesIn = (pem: string): readonly X509Certificate[] | undefined => {
  try {
    return (pem.match(block) ?? []).map((one) => new X509Certificate(one));
  } catch {
    return undefined;
  }
};

const refuse = (message: string, help: string): ReadAuthority => ({ ok: false, problem: { message, help } });

/** Reads an authority, and says of the first thing that is wrong with it what that is. `now`: milliseconds since the epoch. */
export const readAuthority = async ({ certificate, key }: AuthorityFiles, now: number): Promise<ReadAuthority> => {
  const chain = certificatesIn(certificate);
  const own = chain?.[0];
  if (chain === undefined || own === undefined)
    return refuse('the certificate is not in PEM', 'it begins with `-----BEGIN CERTIFICATE-----`');
  const signing = await readSigningKey(key);
  if (signing === undefined)
    return refuse(
      'the key is not one that certificates are signed with',
      'it is a private key in PEM without a passphrase: ECDSA P-256, P-384 or P-521, or RSA of 2048 bits or more',
    );
  if (!own.checkPrivateKey(createPrivateKey(key)))
    return refuse('the key does not belong to the certificate', 'give the key that the first certificate was made for');
  if (!own.ca) return refuse('the certificate is not one of an authority', 'it needs basicConstraints CA:TRUE');
  if (own.validToDate.getTime() <= now)
    return refuse(`the certificate ended on ${own.validToDate.toISOString()}`, 'make a new one: cofferdam ca rotate');
  if (own.validFromDate.getTime() > now)
    return refuse(
      `the certificate begins on ${own.validFromDate.toISOString()}`,
      'check the clock of this machine, or wait',
    );
  const broken = chain.findIndex((one, at) => at > 0 && !chain[at - 1]!.checkIssued(one));
  if (broken > 0)
    return refuse(
      `certificate ${broken + 1} of the file did not issue the one before it`,
      'give the chain in order: the authority itself first, its root last',
    );
  return { ok: true, authority: { chain, signing } };
};
