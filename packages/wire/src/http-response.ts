import { type BodyFraming, type FramingFault, framingOf, type HttpField, keepsAlive } from './http-field.ts';
import { createHeadLines, type HeadFault, type HeadLines } from './http-head.ts';

export type ResponseFault = HeadFault | FramingFault | 'status-line' | 'version';

/** Where a response's body ends; `until-close`: where the connection does. */
export type ResponseFraming = BodyFraming | { readonly kind: 'until-close' };

export interface ResponseHead {
  readonly version: '1.0' | '1.1';
  /** 100 to 599. */
  readonly status: number;
  /** May be empty. */
  readonly reason: string;
  readonly fields: readonly HttpField[];
  /**
   * - `final`: the answer to the request.
   * - `interim`: 1xx but 101; another head follows for the same request.
   * - `switched`: 101, or 2xx to CONNECT; what follows is no HTTP/1.1.
   */
  readonly meaning: 'final' | 'interim' | 'switched';
  /** `none` where `meaning` is not `final`. */
  readonly framing: ResponseFraming;
  /** Never true with a body that ends where the connection does. */
  readonly keepAlive: boolean;
}

export type ResponseHeadState =
  | { readonly state: 'need-more' }
  | { readonly state: 'unreadable'; readonly because: ResponseFault }
  | { readonly state: 'head'; readonly head: ResponseHead; readonly headLength: number };

export interface ResponseHeadReader {
  /** As for requests: the answer depends on the bytes so far, and once given it stays. */
  push(bytes: Uint8Array): ResponseHeadState;
}

interface StatusLine {
  readonly version: '1.0' | '1.1';
  readonly status: number;
  readonly reason: string;
}

const parseStatusLine = (line: string): StatusLine | ResponseFault => {
  const parts = /^HTTP\/([0-9]\.[0-9]) ([1-5][0-9]{2})(?: (.*))?$/.exec(line);
  if (parts === null) return 'status-line';
  const version = parts[1]!;
  if (version !== '1.0' && version !== '1.1') return 'version';
  return { version, status: Number(parts[2]), reason: parts[3] ?? '' };
};

/** RFC 9112, section 6.3, in its order. */
const headOf = (requestMethod: string, { start, fields }: HeadLines<StatusLine>): ResponseHead | ResponseFault => {
  const said = framingOf(fields, start.version);
  if (typeof said === 'string') return said;
  const { status } = start;
  const switched = status === 101 || (requestMethod === 'CONNECT' && status >= 200 && status < 300);
  const meaning = switched ? 'switched' : status < 200 ? 'interim' : 'final';
  const bodyless = meaning !== 'final' || requestMethod === 'HEAD' || status === 204 || status === 304;
  const framing: ResponseFraming = bodyless ? { kind: 'none' } : said.kind === 'none' ? { kind: 'until-close' } : said;
  const keepAlive = framing.kind !== 'until-close' && keepsAlive(fields, start.version);
  return { ...start, fields, meaning, framing, keepAlive };
};

/** Reads the head of one response to a request of this method (upper case), interim heads one by one. */
export const createResponseHeadReader = (requestMethod: string): ResponseHeadReader => {
  const nextLines = createHeadLines<StatusLine, ResponseFault>(parseStatusLine);
  let answer: ResponseHeadState = { state: 'need-more' };

  const advance = (bytes: Uint8Array): ResponseHeadState => {
    const progress = nextLines(bytes);
    if (progress.state !== 'lines') return progress;
    const head = headOf(requestMethod, progress.lines);
    if (typeof head === 'string') return { state: 'unreadable', because: head };
    return { state: 'head', head, headLength: progress.lines.headLength };
  };

  return {
    push(bytes) {
      if (answer.state === 'need-more' && bytes.length > 0) answer = advance(bytes);
      return answer;
    },
  };
};
