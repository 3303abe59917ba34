import { createPrivateKey, webcrypto } from 'node:crypto';
import { type Address, type DomainName, formatAddress } from '@cofferdam/net';
import {
  AuthorityKeyIdentifierExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { type Authority, backdated, serialNumber } from './authority.ts';
import { ownAlgorithm } from './signing.ts';

/** What a server shows to a client, in PEM. */
export interface Leaf {
  /** The leaf, and what is between it and a root. */
  readonly certificate: string;
  readonly key: string;
}

/** Whom a certificate is for: the name that the client claimed, or the address it connected to where it claimed none. */
export type LeafSubject = { readonly name: DomainName } | { readonly address: Address };

export interface Leafs {
  /** The same one for the same subject, until half of its life is over. */
  readonly leafFor: (subject: LeafSubject) => Promise<Leaf>;
}

export interface LeafOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Leafs kept. */
  readonly kept: number;
}

/** Milliseconds: a week. Clients keep nothing of it, and an old backup of a client's memory holds nothing of use for long. */
const leafLife = 7 * 24 * 3_600_000;

/** A root is what clients have; all others are sent along. */
const between = ({ chain }: Authority): readonly string[] =>
  chain.filter((one) => !one.checkIssued(one)).map((one) => one.toString());

const textOf = (subject: LeafSubject): string => ('name' in subject ? subject.name : formatAddress(subject.address));

export const createLeafs = async (authority: Authority, { now, kept }: LeafOptions): Promise<Leafs> => {
  const issuer = new X509Certificate(authority.chain[0]!.raw);
  const issuerEnd = issuer.notAfter.getTime();
  const { algorithm, key: signingKey } = authority.signing;
  const keys = await webcrypto.subtle.generateKey(ownAlgorithm, true, ['sign', 'verify']);
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();
  // As it calls itself: how that was made of the key is the issuer's own affair (RFC 5280, 4.2.1.1).
  const keyId = issuer.getExtension(SubjectKeyIdentifierExtension)?.keyId;
  const issuedBy =
    keyId === undefined
      ? await AuthorityKeyIdentifierExtension.create(issuer.publicKey)
      : new AuthorityKeyIdentifierExtension(keyId);
  const above = between(authority);
  const cache = new Map<string, { readonly leaf: Promise<Leaf>; readonly until: number }>();

  const mint = async (subject: LeafSubject, at: number): Promise<Leaf> => {
    const names =
      'name' in subject
        ? [{ type: 'dns' as const, value: subject.name }]
        : [{ type: 'ip' as const, value: formatAddress(subject.address) }];
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      issuer: issuer.subjectName,
      notBefore: new Date(Math.max(at - backdated, issuer.notBefore.getTime())),
      notAfter: new Date(Math.min(at + leafLife, issuerEnd)),
      signingAlgorithm: algorithm,
      signingKey,
      publicKey: keys.publicKey,
      extensions: [
        // Critical, since there is no subject (RFC 5280, 4.1.2.6).
        new SubjectAlternativeNameExtension(names, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        issuedBy,
      ],
    });
    return { certificate: [certificate.toString('pem'), ...above].map((one) => `${one.trimEnd()}\n`).join(''), key };
  };

  return {
    leafFor(subject) {
      const text = textOf(subject);
      const at = now();
      const found = cache.get(text);
      cache.delete(text);
      if (found !== undefined && at < found.until) {
        cache.set(text, found);
        return found.leaf;
      }
      if (cache.size >= kept) cache.delete(cache.keys().next().value!);
      const leaf = mint(subject, at);
      const one = { leaf, until: at + leafLife / 2 };
      cache.set(text, one);
      leaf.catch(() => cache.get(text) === one && cache.delete(text));
      return leaf;
    },
  };
};
