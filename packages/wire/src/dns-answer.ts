import { ByteWriter } from './bytes.ts';
import {
  type DnsMessage,
  type DnsQuery,
  type DnsRecord,
  type Edns,
  type EdnsOption,
  recordClass,
  responseCode,
} from './dns-message.ts';
import { type DnsName, sameName } from './dns-name.ts';

/** Messages made from other messages: queries, answers to them, and what answers that cannot be read. */

/** Extended DNS Error (RFC 8914): the option's number, and the codes of the registry that are given here. */
const extendedErrorOption = 15;
export const extendedErrorCode = {
  other: 0,
  forgedAnswer: 4,
  notReady: 14,
  blocked: 15,
  censored: 16,
  filtered: 17,
  prohibited: 18,
  notSupported: 21,
  noReachableAuthority: 22,
  networkError: 23,
} as const;

export interface ExtendedError {
  readonly code: number;
  /** For people; may be empty. */
  readonly text: string;
}

export const extendedErrorOptionOf = ({ code, text }: ExtendedError): EdnsOption => ({
  code: extendedErrorOption,
  data: new ByteWriter().u16(code).append(new TextEncoder().encode(text)).finish(),
});

/** Those of a message, in its order. Text that is not UTF-8 is shown with replacement characters. */
export const extendedErrorsOf = (message: DnsMessage): ExtendedError[] =>
  (message.edns?.options ?? [])
    .filter(({ code, data }) => code === extendedErrorOption && data.length >= 2)
    .map(({ data }) => ({ code: data[0]! * 256 + data[1]!, text: new TextDecoder().decode(data.subarray(2)) }));

const plainHeader = {
  opcode: 0,
  authoritative: false,
  truncated: false,
  authenticData: false,
  checkingDisabled: false,
  responseCode: 0,
  answers: [],
  authorities: [],
  additionals: [],
} as const;

/** What to ask an upstream resolver. `id`: 16 random bits from the caller. */
export const dnsQuery = (options: {
  readonly id: number;
  readonly name: DnsName;
  readonly type: number;
  readonly class?: number;
  readonly recursionDesired?: boolean;
  readonly checkingDisabled?: boolean;
  /** Absent: no EDNS. */
  readonly edns?: Partial<Edns>;
}): DnsQuery => {
  const question = { name: options.name, type: options.type, class: options.class ?? recordClass.IN };
  const edns = options.edns && { udpSize: 1232, version: 0, dnssecOk: false, options: [], ...options.edns };
  return {
    ...plainHeader,
    id: options.id & 0xffff,
    response: false,
    recursionDesired: options.recursionDesired ?? true,
    recursionAvailable: false,
    checkingDisabled: options.checkingDisabled ?? false,
    questions: [question],
    question,
    edns,
  };
};

/**
 * The answer to a query: its id, its question in the case sent, its RD and CD bits. EDNS is there if the query spoke it
 * (RFC 6891, 7); extended errors need it and are dropped without it.
 */
export const dnsAnswer = (
  query: DnsQuery,
  content: {
    readonly responseCode?: number;
    readonly answers?: readonly DnsRecord[];
    readonly authorities?: readonly DnsRecord[];
    readonly additionals?: readonly DnsRecord[];
    readonly authoritative?: boolean;
    readonly extendedErrors?: readonly ExtendedError[];
    /** What this side takes over UDP, in bytes. */
    readonly udpSize?: number;
  },
): DnsMessage => ({
  ...plainHeader,
  id: query.id,
  response: true,
  authoritative: content.authoritative ?? false,
  recursionDesired: query.recursionDesired,
  recursionAvailable: true,
  checkingDisabled: query.checkingDisabled,
  responseCode: content.responseCode ?? responseCode.noError,
  questions: [query.question],
  answers: content.answers ?? [],
  authorities: content.authorities ?? [],
  additionals: content.additionals ?? [],
  edns: query.edns && {
    udpSize: content.udpSize ?? 1232,
    version: 0,
    dnssecOk: query.edns.dnssecOk,
    options: (content.extendedErrors ?? []).map(extendedErrorOptionOf),
  },
});

/**
 * Answers bytes that did not parse as a query: a header of twelve bytes with their id. `undefined` where nothing may be
 * sent: fewer bytes than a header, or a response (answering those lets two servers talk for ever).
 */
export const answerToUnreadable = (bytes: Uint8Array, code: number): Uint8Array | undefined => {
  if (bytes.length < 12 || (bytes[2]! & 0x80) !== 0) return undefined;
  const answer = new Uint8Array(12);
  answer.set(bytes.subarray(0, 2));
  answer[2] = 0x80 | (bytes[2]! & 0x79); // opcode and RD as sent
  answer[3] = code & 15;
  return answer;
};

/** Whether a response is one to this query: its id and its question. One without a question is, if it reports an error. */
export const answersQuery = (query: DnsQuery, response: DnsMessage): boolean => {
  if (!response.response || response.id !== query.id || response.opcode !== query.opcode) return false;
  const question = response.questions[0];
  if (question === undefined) return response.responseCode !== responseCode.noError;
  const { name, type, class: klass } = query.question;
  return question.type === type && question.class === klass && sameName(question.name, name);
};
