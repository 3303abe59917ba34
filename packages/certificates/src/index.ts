/**
 * certificates: an authority of the gateway's own, and the certificates that it shows to clients whose TLS it opens. It writes no files and
 * opens no sockets.
 */
export {
  type Authority,
  type AuthorityFiles,
  type AuthorityProblem,
  createAuthority,
  type ReadAuthority,
  readAuthority,
} from './authority.ts';
export { createLeafs, type Leaf, type LeafOptions, type LeafSubject, type Leafs } from './leafs.ts';
export { javaTrustStore, pkcs12TrustStore, type TrustedAuthority, type TrustStoreOptions } from './trust-stores.ts';
