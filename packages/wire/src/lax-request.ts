import { looksLikeHttp } from './plain-http.ts';

/*
 * What servers less strict than our reader still take for a request: empty lines before it (RFC 9112, 2.2), any method that
 * is a token (RFC 9110, 9.1), words parted by any white space (RFC 9112, 3). Where a permit rests on a name, such bytes must
 * not pass for another protocol: they would carry a Host that nobody has read.
 */

/** Octets looked at. What is undecided then is taken for a request, since no reader of ours goes further. */
export const longestLaxLine = 16_384;

const lineFeed = 0x0a;

/** White space and what some languages' string functions count as such, in latin1 too. */
const isBlank = (octet: number): boolean =>
  (octet >= 0x09 && octet <= 0x0d) || (octet >= 0x1c && octet <= 0x20) || octet === 0x85 || octet === 0xa0;

const octetsOf = (text: string): readonly number[] => [...text].map((character) => character.charCodeAt(0));

/** RFC 9110, 5.6.2, beside letters and digits. */
const tokenMarks = new Set(octetsOf("!#$%&'*+-.^_`|~"));

const isTokenOctet = (octet: number): boolean =>
  (octet >= 0x30 && octet <= 0x39) ||
  (octet >= 0x41 && octet <= 0x5a) ||
  (octet >= 0x61 && octet <= 0x7a) ||
  tokenMarks.has(octet);

/** Lower case, to compare with either. */
const version = octetsOf('http/');

/** Whether a client's first bytes are a request to a lax server: `need-more` only while they may yet become one. */
export const mayBeRequest = (bytes: Uint8Array): 'yes' | 'no' | 'need-more' => {
  const end = Math.min(bytes.length, longestLaxLine);
  const undecided = bytes.length >= longestLaxLine ? 'yes' : 'need-more';
  let at = 0;
  while (at < end && isBlank(bytes[at]!)) at++;
  const word = at;
  while (at < end && isTokenOctet(bytes[at]!)) at++;
  if (at === end) return undecided;
  if (at === word || !isBlank(bytes[at]!) || bytes[at] === lineFeed) return 'no';
  // A known method needs no version behind its target (HTTP/0.9).
  if (looksLikeHttp(bytes.subarray(word, at + 1)) === 'yes') return 'yes';
  let matched = 0;
  for (; at < end; at++) {
    const octet = bytes[at]!;
    if (octet === lineFeed) return 'no';
    const lower = octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet;
    // `http/` has no prefix that is also its suffix, so a mismatch can only begin anew.
    matched = lower === version[matched] ? matched + 1 : lower === version[0] ? 1 : 0;
    if (matched === version.length) return 'yes';
  }
  return undecided;
};
