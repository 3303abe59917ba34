import {
  createBodyScanner,
  createRequestHeadReader,
  createResponseHeadReader,
  type RequestHead,
  type ResponseHead,
} from '@cofferdam/wire';
import type { ByteStream } from './byte-stream.ts';

export type NextHead =
  | { readonly kind: 'head'; readonly head: RequestHead }
  /** The bytes were put back. */
  | { readonly kind: 'unreadable' }
  /** `partial`: a head had begun. */
  | { readonly kind: 'closed'; readonly partial: boolean }
  /** The bytes were put back. */
  | { readonly kind: 'timeout' };

/** Reads the next request head of a connection. `timeout`: milliseconds from its first byte to its last. */
export const nextHead = async (client: ByteStream, timeout: number): Promise<NextHead> => {
  if (!(await client.readable())) return { kind: 'closed', partial: false };
  const reader = createRequestHeadReader();
  const pieces: Uint8Array[] = [];
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<'timeout'>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), timeout);
  });
  try {
    for (;;) {
      const there = await Promise.race([client.readable(), expired]);
      if (there === 'timeout') {
        client.unread(Buffer.concat(pieces));
        return { kind: 'timeout' };
      }
      const bytes = there ? await client.read() : undefined;
      if (bytes === undefined) return { kind: 'closed', partial: true };
      pieces.push(bytes);
      const seen = reader.push(bytes);
      if (seen.state === 'need-more') continue;
      const all = Buffer.concat(pieces);
      client.unread(seen.state === 'head' ? all.subarray(seen.headLength) : all);
      return seen.state === 'head' ? { kind: 'head', head: seen.head } : { kind: 'unreadable' };
    }
  } finally {
    clearTimeout(timer);
  }
};

const chunk = (data: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')]);

/** What a request's body had when it was asked. `closed`: the client is gone, and the body has no end. */
export type BodyPiece = readonly Uint8Array[] | 'end' | 'unreadable' | 'closed';

/** The content of one request's body, up to its end as the strict reader finds it. */
export interface RequestBody {
  /** Resolves once `next` has something. */
  readonly ready: () => Promise<unknown>;
  /** Content without its framing, which may be none of what came. Once it is over it stays so. */
  readonly next: () => Promise<BodyPiece>;
  /** Puts content back in front of what is next. */
  readonly putBack: (content: readonly Uint8Array[]) => void;
}

export const createRequestBody = ({ framing }: RequestHead, client: ByteStream): RequestBody => {
  const scanner = createBodyScanner(framing);
  let before: readonly Uint8Array[] = [];
  let over: Exclude<BodyPiece, readonly Uint8Array[]> | undefined;
  const push = (bytes: Uint8Array): readonly Uint8Array[] => {
    const progress = scanner.push(bytes);
    if (progress.state === 'unreadable') {
      over = 'unreadable';
      return [];
    }
    if (progress.state === 'end') {
      over = 'end';
      client.unread(bytes.subarray(progress.consumed));
    }
    return progress.data;
  };
  push(new Uint8Array(0));
  return {
    ready: async () => before.length > 0 || over !== undefined || client.readable(),
    async next() {
      if (before.length > 0) {
        const content = before;
        before = [];
        return content;
      }
      if (over !== undefined) return over;
      const bytes = await client.read();
      if (bytes !== undefined) return push(bytes);
      over = 'closed';
      return over;
    },
    putBack(content) {
      before = [...content, ...before];
    },
  };
};

/** Forwards a request's body, framed anew. Chunk extensions and trailers are left out: nothing judges them. */
export const forwardBody = async (
  { framing }: RequestHead,
  body: RequestBody,
  upstream: ByteStream,
): Promise<'end' | 'unreadable' | 'closed'> => {
  const chunked = framing.kind === 'chunked';
  for (;;) {
    const piece = await body.next();
    if (piece === 'end' && chunked && !(await upstream.write(Buffer.from('0\r\n\r\n')))) return 'closed';
    if (typeof piece === 'string') return piece;
    for (const data of piece) {
      if (data.length > 0 && !(await upstream.write(chunked ? chunk(data) : data))) return 'closed';
    }
  }
};

/** What passes of a response in place of its content. */
export interface BodyRewrite {
  readonly push: (content: Uint8Array) => Uint8Array;
  /** Something is held back until more comes. */
  readonly isHolding: () => boolean;
  /** No more is taken. */
  readonly isOver: () => boolean;
  /** No more will come. */
  readonly end: () => Uint8Array;
}

/** How a response left the connection. `broken`: nothing that can be told to the client as a response came. */
export type ResponseEnd = 'keep' | 'close' | 'switched' | 'broken';

export interface ForwardedResponse {
  readonly end: ResponseEnd;
  /** Absent: none was read. */
  readonly status?: number;
}

const passUntilClose = async (upstream: ByteStream, client: ByteStream): Promise<void> => {
  for (;;) {
    const bytes = await upstream.read();
    if (bytes === undefined || !(await client.write(bytes))) return;
  }
};

const forwardResponseBody = async (
  framing: Parameters<typeof createBodyScanner>[0],
  upstream: ByteStream,
  client: ByteStream,
): Promise<'end' | 'closed'> => {
  const scanner = createBodyScanner(framing);
  let bytes: Uint8Array = new Uint8Array(0);
  for (;;) {
    const progress = scanner.push(bytes);
    // Where the server breaks its own framing the client is told so by a connection that ends.
    const consumed = progress.state === 'unreadable' ? bytes.length : progress.consumed;
    if (consumed > 0 && !(await client.write(bytes.subarray(0, consumed)))) return 'closed';
    if (progress.state === 'unreadable') return 'closed';
    if (progress.state === 'end') {
      upstream.unread(bytes.subarray(consumed));
      return 'end';
    }
    const next = await upstream.read();
    if (next === undefined) return 'closed';
    bytes = next;
  }
};

/** Fields of a response that speak of the bytes of its body, or of one connection. */
const ofBytes: ReadonlySet<string> = new Set([
  'content-length',
  'transfer-encoding',
  'trailer',
  'connection',
  'keep-alive',
  'content-digest',
  'repr-digest',
  'digest',
  'content-md5',
  'accept-ranges',
]);

const rewrittenHeadText = ({ status, reason, fields, keepAlive }: ResponseHead): string => {
  const lines = [
    `HTTP/1.1 ${status} ${reason}`,
    ...fields.filter(({ name }) => !ofBytes.has(name.toLowerCase())).map(({ name, value }) => `${name}: ${value}`),
    'Transfer-Encoding: chunked',
    ...(keepAlive ? [] : ['Connection: close']),
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
};

/** Milliseconds that a part of a response may be held back until the rest of it comes. */
const heldAnswer = 30_000;

/** Of a response whose content is not passed as it is. `closed`: nothing follows it on this connection. */
const forwardRewritten = async (
  head: ResponseHead,
  rewrite: BodyRewrite,
  upstream: ByteStream,
  client: ByteStream,
): Promise<'end' | 'closed'> => {
  const scanner = createBodyScanner(head.framing);
  const send = async (content: Uint8Array): Promise<boolean> => content.length === 0 || client.write(chunk(content));
  const finish = async (): Promise<boolean> =>
    (await send(rewrite.end())) && (await client.write(Buffer.from('0\r\n\r\n')));
  let deadline: NodeJS.Timeout | undefined;
  const push = (content: Uint8Array): Uint8Array => {
    const left = rewrite.push(content);
    if (left.length > 0 || !rewrite.isHolding()) {
      clearTimeout(deadline);
      deadline = undefined;
    }
    if (rewrite.isHolding()) deadline ??= setTimeout(upstream.reset, heldAnswer);
    return left;
  };
  try {
    if (!(await client.write(Buffer.from(rewrittenHeadText(head), 'latin1')))) return 'closed';
    let bytes: Uint8Array = new Uint8Array(0);
    for (;;) {
      const progress = scanner.push(bytes);
      if (progress.state === 'unreadable') return 'closed';
      if (!(await send(push(Buffer.concat(progress.data))))) return 'closed';
      if (rewrite.isOver()) {
        await finish();
        return 'closed';
      }
      if (progress.state === 'end') {
        upstream.unread(bytes.subarray(progress.consumed));
        return (await finish()) ? 'end' : 'closed';
      }
      const next = await upstream.read();
      if (next === undefined) {
        if (head.framing.kind === 'until-close') await finish();
        return 'closed';
      }
      bytes = next;
    }
  } finally {
    clearTimeout(deadline);
  }
};

/**
 * Forwards the response to one request, interim ones before it, as it came. It is read only to find its end; one that cannot be
 * read is passed until the server closes, and no further request is taken on the connection. `rewriteOf`: what passes in place of what is in it; `isListing`: one
 * that cannot be read does not pass.
 */
export const forwardResponse = async (
  method: string,
  mayUpgrade: boolean,
  upstream: ByteStream,
  client: ByteStream,
  rewriteOf: (head: ResponseHead) => BodyRewrite | undefined,
  isListing: boolean,
): Promise<ForwardedResponse> => {
  for (;;) {
    const reader = createResponseHeadReader(method);
    const pieces: Uint8Array[] = [];
    let seen = reader.push(new Uint8Array(0));
    while (seen.state === 'need-more') {
      const bytes = await upstream.read();
      if (bytes === undefined) return { end: 'broken' };
      pieces.push(bytes);
      seen = reader.push(bytes);
    }
    const all = Buffer.concat(pieces);
    if (seen.state === 'unreadable') {
      if (isListing) return { end: 'broken' };
      if (await client.write(all)) await passUntilClose(upstream, client);
      return { end: 'close' };
    }
    const { head, headLength } = seen;
    const { status } = head;
    if (head.meaning === 'switched' && !mayUpgrade) return { end: 'broken', status };
    upstream.unread(all.subarray(headLength));
    const rewrite = head.meaning === 'final' ? rewriteOf(head) : undefined;
    if (rewrite !== undefined) {
      const end = await forwardRewritten(head, rewrite, upstream, client);
      return { end: end === 'end' && head.keepAlive ? 'keep' : 'close', status };
    }
    if (!(await client.write(all.subarray(0, headLength)))) return { end: 'close', status };
    if (head.meaning === 'interim') continue;
    if (head.meaning === 'switched') return { end: 'switched', status };
    const end = await forwardResponseBody(head.framing, upstream, client);
    return { end: end === 'end' && head.keepAlive ? 'keep' : 'close', status };
  }
};
