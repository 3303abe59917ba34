import {
  createHelloReader,
  createRequestHeadReader,
  type HelloName,
  mayBeRequest,
  type RequestHead,
} from '@cofferdam/wire';
import type { ByteStream } from './byte-stream.ts';

/** What a client began with. */
export type FirstBytes =
  /** `encrypted`: it holds a hello that nobody on the path can read. `length`: bytes of stream. */
  | { readonly kind: 'tls'; readonly name: HelloName; readonly encrypted: boolean; readonly length: number }
  | { readonly kind: 'tls-unreadable' }
  /** A strict HTTP/1.1 request head. */
  | { readonly kind: 'http'; readonly head: RequestHead }
  /** It may pass for a request with a lax server, and is none to a strict reader. */
  | { readonly kind: 'http-unreadable' }
  /** Neither. */
  | { readonly kind: 'opaque' }
  /** The client ended, or the time ran out, before it could be told. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'timeout' };

const join = (pieces: readonly Uint8Array[]): Uint8Array => Buffer.concat(pieces);

/** Feeds bytes to the readers in turn; `undefined` while more are needed. */
const createSniffer = (): ((bytes: Uint8Array, all: readonly Uint8Array[]) => FirstBytes | undefined) => {
  const hello = createHelloReader();
  const request = createRequestHeadReader();
  let ruledOutTls = false;
  let ruledOutHttp = false;
  return (bytes, all) => {
    if (!ruledOutTls) {
      const seen = hello.push(bytes);
      if (seen.state === 'need-more') return undefined;
      if (seen.state === 'hello') {
        const { name, encryptedHello, rawLength } = seen.hello;
        return { kind: 'tls', name, encrypted: encryptedHello, length: rawLength };
      }
      if (seen.state === 'unreadable') return { kind: 'tls-unreadable' };
    }
    if (!ruledOutHttp) {
      // What made it no TLS may have come in several pieces, none of which the other reader has seen.
      const seen = request.push(ruledOutTls ? bytes : join(all));
      ruledOutTls = true;
      if (seen.state === 'need-more') return undefined;
      if (seen.state === 'head') return { kind: 'http', head: seen.head };
      ruledOutHttp = true;
    }
    const lax = mayBeRequest(join(all));
    return lax === 'need-more' ? undefined : { kind: lax === 'yes' ? 'http-unreadable' : 'opaque' };
  };
};

/** Reads until it is known what the client speaks, and puts everything back. The readers bound what is kept. */
export const sniff = async (client: ByteStream, timeout: number): Promise<FirstBytes> => {
  const push = createSniffer();
  const all: Uint8Array[] = [];
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<'timeout'>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), timeout);
  });
  try {
    for (;;) {
      const there = await Promise.race([client.readable(), expired]);
      if (there === 'timeout') return { kind: 'timeout' };
      const bytes = there ? await client.read() : undefined;
      if (bytes === undefined) return { kind: 'closed' };
      all.push(bytes);
      const found = push(bytes, all);
      if (found !== undefined) return found;
    }
  } finally {
    clearTimeout(timer);
    client.unread(join(all));
  }
};

/**
 * Watches what a client says after the server spoke first. Its first bytes must be neither TLS nor HTTP: both were ruled
 * out when the walk decided. They pass as soon as they can be neither.
 */
export const createOutOfTurnCheck = (): {
  /** Said once: where it may pass all the same, so may what follows. */
  readonly push: (bytes: Uint8Array) => 'pass' | 'need-more' | 'out-of-turn';
} => {
  let head: Uint8Array = new Uint8Array(0);
  let passed = false;
  return {
    push: (bytes) => {
      if (passed) return 'pass';
      head = join([head, bytes]);
      const tls = createHelloReader().push(head.subarray(0, 2));
      const http = mayBeRequest(head);
      const isOut = http === 'yes' || (tls.state !== 'not-tls' && head.length >= 2);
      passed = isOut || (http === 'no' && tls.state === 'not-tls');
      if (passed) head = new Uint8Array(0);
      return isOut ? 'out-of-turn' : passed ? 'pass' : 'need-more';
    },
  };
};
