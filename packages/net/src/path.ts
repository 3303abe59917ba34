/**
 * The canonical form of a request path. It is what rules are matched against **and** the bytes that are forwarded, so that the server cannot
 * read another path than the one that was judged. The rule, in order:
 *
 * 1. The path begins with `/` and has no query. Each `%` begins an escape of two hexadecimal digits. It is decoded once; what comes out is
 *    never decoded again (`%252e` stays an escaped percent sign and `2e`).
 * 2. Refused, raw or escaped: control characters and NUL, backslash. Refused raw: space, `?`, `#`, anything outside ASCII. Refused
 *    escaped: slash, octets that are no UTF-8 (overlong forms such as `%C0%AF` are a slash to lax servers).
 * 3. Unreserved characters (RFC 3986, section 2.3: letters, digits, `-._~`) are written plain. Octets that may not stand in a path
 *    (`"<>[]^{|}` and the backquote, space, percent sign, `?`, `#`, non-ASCII) are escapes with upper-case digits. Delimiters
 *    (``!$&'()*+,;=:@``) stay as they were sent, plain or escaped, because servers differ on whether `%2B` and `+`
 *    are one; matching takes both for the same character ({@link foldPath}).
 * 4. Runs of slashes become one; `.` and `..` segments are resolved, `..` at the root going nowhere. A final slash is kept.
 * 5. Refused: a segment that is empty, `.` or `..` once its `;parameters` are removed (`/..;/`), since some servers remove
 *    them before they resolve dot segments.
 *
 * `undefined`: cannot be canonicalised; the request is unreadable.
 */
export function canonicalPath(raw: string): string | undefined {
  if (!raw.startsWith('/')) return undefined;
  const plain = normaliseEscapes(raw);
  if (plain === undefined) return undefined;
  const result: string[] = [];
  const segments = plain.split(/\/+/).slice(1);
  for (const [i, segment] of segments.entries()) {
    const bare = segment.split(/;|%3B/, 1)[0]!;
    if (bare !== segment && (bare === '' || bare === '.' || bare === '..')) return undefined;
    const dots = segment === '.' || segment === '..';
    if (segment === '..') result.pop();
    if (!dots) result.push(segment);
    // RFC 3986, section 5.2.4: a dot segment at the end leaves its slash.
    else if (i === segments.length - 1) result.push('');
  }
  return `/${result.join('/')}`;
}

const unreserved = /[A-Za-z0-9\-._~]/;
const delimiter = /[!$&'()*+,;=:@]/;
const mustEscape = /["<>[\]^`{|}]/;

function normaliseEscapes(raw: string): string | undefined {
  let out = '';
  let octets: number[] = [];
  for (let i = 0; i < raw.length; i++) {
    const c = raw[i]!;
    if (c !== '%') {
      if (octets.length > 0) return undefined;
      if (c === '/' || unreserved.test(c) || delimiter.test(c)) out += c;
      else if (mustEscape.test(c)) out += escapeOctet(c.charCodeAt(0));
      else return undefined;
      continue;
    }
    const digits = raw.slice(i + 1, i + 3);
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) return undefined;
    i += 2;
    const octet = Number.parseInt(digits, 16);
    if (octet < 0x80) {
      if (octets.length > 0 || octet < 0x20 || octet === 0x7f || octet === 0x2f || octet === 0x5c) return undefined;
      const character = String.fromCharCode(octet);
      out += unreserved.test(character) ? character : escapeOctet(octet);
      continue;
    }
    octets.push(octet);
    const state = utf8State(octets);
    if (state === 'invalid') return undefined;
    if (state === 'complete') {
      out += octets.map(escapeOctet).join('');
      octets = [];
    }
  }
  return octets.length > 0 ? undefined : out;
}

const escapeOctet = (octet: number): string => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`;

/** One character outside ASCII by the table of RFC 3629, section 4: no overlong form, surrogate or value above U+10FFFF. C1 controls are refused too. */
function utf8State(octets: readonly number[]): 'complete' | 'partial' | 'invalid' {
  const first = octets[0]!;
  const length =
    first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length === 0) return 'invalid';
  if (octets.length === 1) return 'partial';
  const lowest = first === 0xc2 ? 0xa0 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (octets[1]! < lowest || octets[1]! > highest) return 'invalid';
  if (octets.slice(2).some((octet) => octet < 0x80 || octet > 0xbf)) return 'invalid';
  return octets.length === length ? 'complete' : 'partial';
}

/** A canonical path as it is compared: escaped delimiters plain, so that `/%40acme` cannot pass by a denial of `/@acme`. */
export const foldPath = (canonical: string): string =>
  canonical.replace(/%(?:2[146-9A-C]|3[ABD]|40)/g, (triplet) =>
    String.fromCharCode(Number.parseInt(triplet.slice(1), 16)),
  );
