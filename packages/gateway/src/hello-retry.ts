import { createHelloReader, type HelloName } from '@cofferdam/wire';
import type { PassCheck } from './splice.ts';

/**
 * A server may answer a ClientHello with a HelloRetryRequest, and the client then sends a second hello (RFC 8446, 4.1.2 and
 * 4.1.4). It must repeat the name; a client that changes it gets another name served than the one that was judged.
 */
const retryRandom = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex');
const record = { handshake: 22 } as const;
const serverHello = 2;
/** Record header, handshake header, version, random. */
const decisiveBytes = 5 + 4 + 2 + 32;

const isRetry = (head: Uint8Array): boolean =>
  head[0] === record.handshake && head[5] === serverHello && retryRandom.equals(head.subarray(11, decisiveBytes));

const sameName = (a: HelloName, b: HelloName): boolean =>
  a.kind === 'absent'
    ? b.kind === 'absent'
    : a.kind === 'name'
      ? b.kind === 'name' && a.name === b.name
      : b.kind === 'unreadable' && a.text === b.text;

export interface RetryOptions {
  /** What the first hello claimed, and its bytes of stream. */
  readonly first: HelloName;
  readonly length: number;
  /** Whether the rule that permits the flow refuses encrypted hellos. */
  readonly refusesEch: () => boolean;
  /** The second hello is not what the first was. True: it may pass all the same. */
  readonly deny: (reason: 'name-mismatch' | 'hello-unreadable' | 'ech-refused') => boolean;
}

/**
 * Checks for both directions of a spliced TLS flow.
 * Until the server's answer is known to be no retry, the client's records are walked: a handshake record among them is a second
 * hello, also one sent ahead of the retry. Its bytes pass as they come; the last one only if the name is repeated.
 */
export const createRetryChecks = ({
  first,
  length,
  refusesEch,
  deny,
}: RetryOptions): { readonly fromClient: PassCheck; readonly fromUpstream: PassCheck } => {
  let server = Buffer.alloc(0);
  let state: 'walking' | 'second-hello' | 'free' = 'walking';
  let skip = length;
  let header = Buffer.alloc(0);
  const second = createHelloReader();

  const isAsked = (): boolean => server.length === decisiveBytes && isRetry(server);

  const pushSecond = (bytes: Uint8Array): boolean => {
    state = 'second-hello';
    const seen = second.push(bytes);
    if (seen.state === 'need-more') return true;
    state = 'free';
    if (seen.state !== 'hello') return deny('hello-unreadable');
    // Nobody asked for a second one yet: whichever of the two the server takes, it is no hello.
    if (!sameName(first, seen.hello.name)) return deny(isAsked() ? 'name-mismatch' : 'hello-unreadable');
    return !seen.hello.encryptedHello || !refusesEch() || deny('ech-refused');
  };

  const walk = (bytes: Uint8Array): boolean => {
    let rest = bytes;
    while (rest.length > 0) {
      const skipped = Math.min(skip, rest.length);
      skip -= skipped;
      rest = rest.subarray(skipped);
      const wanted = Math.min(5 - header.length, rest.length);
      header = Buffer.concat([header, rest.subarray(0, wanted)]);
      rest = rest.subarray(wanted);
      if (header.length < 5) return true;
      if (header[0] === record.handshake) return pushSecond(Buffer.concat([header, rest]));
      skip = header.readUInt16BE(3);
      header = Buffer.alloc(0);
    }
    return true;
  };

  return {
    fromUpstream: (bytes) => {
      if (server.length >= decisiveBytes) return true;
      server = Buffer.concat([server, bytes]).subarray(0, decisiveBytes);
      if (server.length === decisiveBytes && state === 'walking' && !isRetry(server)) state = 'free';
      return true;
    },
    fromClient: (bytes) => {
      if (state === 'free') return true;
      return state === 'second-hello' ? pushSecond(bytes) : walk(bytes);
    },
  };
};
