import {
  type BodyFraming,
  type FramingFault,
  fieldTokens,
  fieldValues,
  framingOf,
  type HttpField,
  isToken,
  keepsAlive,
} from './http-field.ts';
import { createHeadLines, type HeadFault, type HeadLines } from './http-head.ts';
import { agreesWithHost, isHostAndPort, parseTarget, type RequestTarget } from './http-target.ts';

export type RequestFault =
  | HeadFault
  | FramingFault
  /** Not `method target version` with single spaces. */
  | 'request-line'
  /** A method that is no upper-case token: a server that folds case would see another than policy does. */
  | 'method'
  | 'target'
  /** Neither 1.0 nor 1.1. */
  | 'version'
  /** A request line without a version. */
  | 'http-0.9'
  /** `PRI * HTTP/2.0`: HTTP/2 with prior knowledge. */
  | 'http2-preface'
  | 'host-missing'
  | 'host-repeated'
  | 'host-malformed'
  /** CONNECT has no body (RFC 9110, 9.3.6); what follows it is the tunnel's. */
  | 'connect-with-body';

export interface RequestHead {
  /** Upper case, as sent. */
  readonly method: string;
  readonly target: RequestTarget;
  readonly version: '1.0' | '1.1';
  /** In the order sent. */
  readonly fields: readonly HttpField[];
  /** The Host field as sent, port included; `undefined` only in 1.0. */
  readonly host: string | undefined;
  /** False where target and Host both name an authority, and not the same. Both are kept for the record. */
  readonly authoritiesAgree: boolean;
  readonly framing: BodyFraming;
  readonly keepAlive: boolean;
  /** The client waits for a 100 before it sends the body. */
  readonly expectsContinue: boolean;
  /** Protocols of the Upgrade field, in lower case; empty: none. */
  readonly upgrade: readonly string[];
  /** An upgrade to HTTP/2 over cleartext is asked for, by Upgrade or by HTTP2-Settings: the way around a reader of HTTP/1.1. */
  readonly upgradeToH2c: boolean;
}

export type RequestHeadState =
  | { readonly state: 'need-more' }
  /** It cannot begin a request for any reader: before the first space stands a byte that no method has. */
  | { readonly state: 'not-http' }
  | { readonly state: 'unreadable'; readonly because: RequestFault }
  /** `headLength`: bytes of stream up to and with the empty line; the body begins there. */
  | { readonly state: 'head'; readonly head: RequestHead; readonly headLength: number };

export interface RequestHeadReader {
  /** Takes the next bytes. The answer depends on the bytes so far, not on how they were cut; once given it stays. */
  push(bytes: Uint8Array): RequestHeadState;
}

interface RequestLine {
  readonly method: string;
  readonly target: RequestTarget;
  readonly version: '1.0' | '1.1';
}

const longestMethod = 64;

const parseRequestLine = (line: string): RequestLine | RequestFault => {
  const parts = line.split(' ');
  if (line === 'PRI * HTTP/2.0') return 'http2-preface';
  if (parts.length === 2 && isToken(parts[0]!) && parts[1]!.startsWith('/')) return 'http-0.9';
  if (parts.length !== 3) return 'request-line';
  const [method, raw, version] = parts as [string, string, string];
  if (method.length > longestMethod || !/^[A-Z][A-Z0-9_-]*$/.test(method)) return 'method';
  if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') return 'version';
  const target = parseTarget(method, raw);
  return target === undefined ? 'target' : { method, target, version: version === 'HTTP/1.1' ? '1.1' : '1.0' };
};

const headOf = ({ start, fields }: HeadLines<RequestLine>): RequestHead | RequestFault => {
  const { method, target, version } = start;
  const hosts = fieldValues(fields, 'host');
  const host = hosts[0];
  if (hosts.length > 1) return 'host-repeated';
  if (host === undefined && version === '1.1') return 'host-missing';
  if (host !== undefined && !isHostAndPort(host)) return 'host-malformed';
  const framing = framingOf(fields, version);
  if (typeof framing === 'string') return framing;
  if (method === 'CONNECT' && framing.kind !== 'none') return 'connect-with-body';
  const upgrade = fieldTokens(fields, 'upgrade');
  return {
    method,
    target,
    version,
    fields,
    host,
    authoritiesAgree: agreesWithHost(target, host),
    framing,
    keepAlive: keepsAlive(fields, version),
    expectsContinue: fieldTokens(fields, 'expect').includes('100-continue'),
    upgrade,
    upgradeToH2c: upgrade.includes('h2c') || fieldValues(fields, 'http2-settings').length > 0,
  };
};

/** Reads the head of one HTTP/1.1 request, strictly: what two readers might take differently is refused. */
export const createRequestHeadReader = (): RequestHeadReader => {
  const nextLines = createHeadLines<RequestLine, RequestFault>(parseRequestLine);
  const mayBegin = createMethodScan();
  let answer: RequestHeadState = { state: 'need-more' };

  const advance = (bytes: Uint8Array): RequestHeadState => {
    if (!mayBegin(bytes)) return { state: 'not-http' };
    const progress = nextLines(bytes);
    if (progress.state !== 'lines') return progress;
    const head = headOf(progress.lines);
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

/**
 * False once the stream cannot begin a request for any reader: before the first space stands a byte that no method has, as
 * in TLS, or the end of the line, as in `SSH-2.0-x`. What lax servers take does not rule it out: whitespace and line ends
 * before a request, and a tab, vertical tab, form feed or bare CR for a space (RFC 9112, sections 2.2 and 3).
 */
const createMethodScan = (): ((bytes: Uint8Array) => boolean) => {
  let scanned = 0;
  let afterReturn = false;
  let over = false;
  return (bytes) => {
    for (let i = 0; i < bytes.length && !over; i++, scanned++) {
      const byte = bytes[i]!;
      if (byte === 0x0a && scanned > 0) return false;
      if (afterReturn || scanned === longestMethod || byte === 0x20) over = true;
      else if (scanned === 0 && (byte === 0x0a || byte === 0x0d)) over = true;
      else if (byte === 0x09 || byte === 0x0b || byte === 0x0c) over = true;
      else if (byte === 0x0d) afterReturn = true;
      else if (!isToken(String.fromCharCode(byte))) return false;
    }
    return true;
  };
};
