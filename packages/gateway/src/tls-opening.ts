import {
  checkServerIdentity,
  createSecureContext,
  type SecureContext,
  TLSSocket,
  connect as tlsConnect,
} from 'node:tls';
import type { LeafSubject, Leafs } from '@cofferdam/certificates';
import { formatAddress } from '@cofferdam/net';
import type { Reason } from '@cofferdam/verdict';
import { type ByteStream, createByteStream } from './byte-stream.ts';

export interface TlsOpenerOptions {
  readonly leafs: Leafs;
  /** Roots, in PEM, that certificates of destinations must lead to. */
  readonly trusted: readonly string[];
  /** Milliseconds for one handshake. */
  readonly handshakeTimeout: number;
}

/** Both sides of TLS, each a connection of its own, with what is inside as bytes. */
export interface TlsOpener {
  /** TLS to the destination, as a client that trusts nobody but `trusted`, for exactly `subject`. */
  readonly toDestination: (upstream: ByteStream, subject: LeafSubject) => Promise<Handshake>;
  /** TLS to the agent, as the server that it asked for. Its hello is still to be read from the stream. */
  readonly toAgent: (client: ByteStream, subject: LeafSubject) => Promise<Handshake>;
}

export type Handshake =
  | {
      readonly kind: 'done';
      readonly stream: ByteStream;
      /** Why the peer ended it, where it says that our certificate is why: clients of TLS 1.3 do so after the handshake. */
      readonly refusal: () => 'certificate-refused' | undefined;
    }
  | { readonly kind: 'failed'; readonly reason: Reason };

type UpstreamFault =
  | 'upstream-expired'
  | 'upstream-name'
  | 'upstream-untrusted'
  | 'upstream-revoked'
  | 'upstream-weak'
  | 'upstream-tls';

/** Codes of OpenSSL's X509_verify_cert_error_string, as Node names them. */
const upstreamFaults: Readonly<Record<string, UpstreamFault>> = {
  CERT_HAS_EXPIRED: 'upstream-expired',
  CERT_NOT_YET_VALID: 'upstream-expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'upstream-name',
  HOSTNAME_MISMATCH: 'upstream-name',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'upstream-untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'upstream-untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'upstream-untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'upstream-untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'upstream-untrusted',
  CERT_UNTRUSTED: 'upstream-untrusted',
  CERT_REJECTED: 'upstream-untrusted',
  CERT_SIGNATURE_FAILURE: 'upstream-untrusted',
  INVALID_CA: 'upstream-untrusted',
  INVALID_PURPOSE: 'upstream-untrusted',
  PATH_LENGTH_EXCEEDED: 'upstream-untrusted',
  CERT_CHAIN_TOO_LONG: 'upstream-untrusted',
  CERT_REVOKED: 'upstream-revoked',
  EE_KEY_TOO_SMALL: 'upstream-weak',
  CA_KEY_TOO_SMALL: 'upstream-weak',
  CA_MD_TOO_WEAK: 'upstream-weak',
};

const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? '';

const upstreamFault = (error: Error): UpstreamFault => upstreamFaults[codeOf(error)] ?? 'upstream-tls';

/** Alerts of RFC 8446, 6.2, by which clients say that they do not take our certificate. */
const isRefusal = (error: Error): boolean =>
  /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|CERTIFICATE_EXPIRED)/.test(
    codeOf(error),
  );

/** HTTP/1.1 is all that is read. */
const protocols = ['http/1.1'];

const textOf = (subject: LeafSubject): string => ('name' in subject ? subject.name : formatAddress(subject.address));

/** Resolves once the handshake is over, in whatever way. */
const settled = (socket: TLSSocket, done: 'secure' | 'secureConnect', timeout: number): Promise<Error | undefined> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(new Error('the handshake took too long')), timeout);
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      resolve(error);
    };
    socket.once(done, () => finish());
    socket.once('error', finish);
    socket.once('close', () => finish(new Error('the connection ended')));
  });

export const createTlsOpener = ({ leafs, trusted, handshakeTimeout }: TlsOpenerOptions): TlsOpener => {
  const destinations = createSecureContext({ ca: [...trusted], minVersion: 'TLSv1.2' });
  const contexts = new WeakMap<object, SecureContext>();
  const contextFor = async (subject: LeafSubject): Promise<SecureContext> => {
    const leaf = await leafs.leafFor(subject);
    const before = contexts.get(leaf);
    if (before !== undefined) return before;
    const made = createSecureContext({ cert: leaf.certificate, key: leaf.key, minVersion: 'TLSv1.2' });
    contexts.set(leaf, made);
    return made;
  };

  return {
    async toDestination(upstream, subject) {
      const below = upstream.handOver();
      if (below === undefined) return { kind: 'failed', reason: 'upstream-unreachable' };
      const socket = tlsConnect({
        socket: below,
        secureContext: destinations,
        ALPNProtocols: protocols,
        // An address is no server name (RFC 6066, 3).
        ...('name' in subject ? { servername: subject.name } : {}),
        // By the name that was judged, whatever Node takes for the host.
        checkServerIdentity: (_host, certificate) => checkServerIdentity(textOf(subject), certificate),
      });
      const stream = createByteStream(socket, () => void below.resetAndDestroy());
      const error = await settled(socket, 'secureConnect', handshakeTimeout);
      if (error === undefined) return { kind: 'done', stream, refusal: () => undefined };
      stream.reset();
      return { kind: 'failed', reason: upstreamFault(error) };
    },

    async toAgent(client, subject) {
      const secureContext = await contextFor(subject);
      const below = client.handOver();
      if (below === undefined) return { kind: 'failed', reason: 'undecided-closed' };
      const socket = new TLSSocket(below, { isServer: true, secureContext, ALPNProtocols: protocols });
      const stream = createByteStream(socket, () => void below.resetAndDestroy());
      let refused = false;
      socket.on('error', (error) => {
        refused ||= isRefusal(error);
      });
      const error = await settled(socket, 'secure', handshakeTimeout);
      const refusal = () => (refused ? ('certificate-refused' as const) : undefined);
      if (error === undefined) return { kind: 'done', stream, refusal };
      stream.reset();
      return { kind: 'failed', reason: refusal() ?? 'client-tls' };
    },
  };
};
