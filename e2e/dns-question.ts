/** DNS messages written octet by octet (RFC 1035, 4.1), for questions that no resolver library would ask; latin1 text. */

/** Numbers in network order. */
export const octets = (value: number, width: number): string =>
  String.fromCharCode(...Array.from({ length: width }, (_, i) => Math.floor(value / 256 ** (width - 1 - i)) & 0xff));

export interface QuestionWords {
  /** As they are put into the message, one octet for each character: may hold dots, NUL, anything. */
  readonly labels: readonly string[];
  /** Default 1, A. */
  readonly type?: number;
  /** Default 1, IN. */
  readonly class?: number;
  /** Adds an OPT record with this UDP size. */
  readonly edns?: number;
  readonly id?: number;
  readonly opcode?: number;
}

export function dnsQuestion(words: QuestionWords): string {
  const { labels, type = 1, id = 0x1234, opcode = 0, edns } = words;
  const name = `${labels.map((label) => octets(label.length, 1) + label).join('')}\0`;
  const flags = (opcode << 11) | 0x0100;
  const counts = octets(1, 2) + octets(0, 2) + octets(0, 2) + octets(edns === undefined ? 0 : 1, 2);
  const opt = edns === undefined ? '' : `\0${octets(41, 2)}${octets(edns, 2)}${octets(0, 6)}`;
  return octets(id, 2) + octets(flags, 2) + counts + name + octets(type, 2) + octets(words.class ?? 1, 2) + opt;
}

/** The same with its length in front, as TCP wants it. */
export const framed = (message: string): string => octets(message.length, 2) + message;

export interface ReplyHead {
  readonly id: number;
  readonly rcode: number;
  readonly truncated: boolean;
  readonly answers: number;
}

/** The head of a reply; undefined where there is none. */
export function replyHead(message: string): ReplyHead | undefined {
  if (message.length < 12) return undefined;
  const at = (index: number): number => message.charCodeAt(index);
  return {
    id: at(0) * 256 + at(1),
    rcode: at(3) & 15,
    truncated: (at(2) & 2) !== 0,
    answers: at(6) * 256 + at(7),
  };
}

/** The first question of a message, its name as it was written; undefined where there is none. `end`: behind it. */
export function questionIn(
  message: string,
): { readonly name: string; readonly type: number; readonly end: number } | undefined {
  const labels: string[] = [];
  let at = 12;
  while (message.charCodeAt(at) > 0) {
    const length = message.charCodeAt(at);
    if (length > 63) return undefined;
    labels.push(message.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  if (message.length < at + 5) return undefined;
  return { name: labels.join('.'), type: message.charCodeAt(at + 1) * 256 + message.charCodeAt(at + 2), end: at + 5 };
}
