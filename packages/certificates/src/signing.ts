import { createPrivateKey, type KeyObject, webcrypto } from 'node:crypto';

/** How a key signs certificates, in the words of Web Cryptography. */
export type SigningAlgorithm = EcdsaSigning | RsaSigning;

interface EcdsaSigning {
  readonly name: 'ECDSA';
  readonly namedCurve: 'P-256' | 'P-384' | 'P-521';
  readonly hash: 'SHA-256' | 'SHA-384' | 'SHA-512';
}

interface RsaSigning {
  readonly name: 'RSASSA-PKCS1-v1_5';
  readonly hash: 'SHA-256';
}

/** What the gateway makes for itself. */
export const ownAlgorithm: EcdsaSigning = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface SigningKey {
  readonly algorithm: SigningAlgorithm;
  readonly key: webcrypto.CryptoKey;
}

const curves: Readonly<Record<string, EcdsaSigning>> = {
  prime256v1: ownAlgorithm,
  secp384r1: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  secp521r1: { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' },
};

/** NIST SP 800-57, part 1: what is shorter is not to be used any more. */
const leastRsaBits = 2048;

const algorithmOf = ({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): SigningAlgorithm | undefined => {
  if (asymmetricKeyType === 'ec') return curves[details?.namedCurve ?? ''];
  if (asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= leastRsaBits)
    return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  return undefined;
};

/** Undefined: no private key in PEM, or one that this gateway does not sign with. */
export const readSigningKey = async (pem: string): Promise<SigningKey | undefined> => {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    return undefined;
  }
  const algorithm = algorithmOf(key);
  if (algorithm === undefined) return undefined;
  const pkcs8 = key.export({ format: 'der', type: 'pkcs8' });
  return { algorithm, key: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']) };
};
