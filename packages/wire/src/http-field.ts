/** Header fields of HTTP/1.1, and what they say about where a body ends. */

export interface HttpField {
  /** As sent; compare in lower case. */
  readonly name: string;
  /** Without the whitespace around it; one character a byte. */
  readonly value: string;
}

export type FieldFault =
  /** A line that goes on from the one before (RFC 9112, 5.2: refuse). */
  | 'obs-fold'
  /** Whitespace between a name and its colon: the field that one reader drops and another takes (RFC 9112, 5.1). */
  | 'space-before-colon'
  /** No colon, or a name that is no token. */
  | 'field-name'
  | 'too-many-fields';

export type FramingFault =
  | 'content-length-malformed'
  /** More than one, equal or not. */
  | 'content-length-repeated'
  /** Any coding but a single `chunked`: one who does not know it cannot tell where the body ends. */
  | 'transfer-encoding'
  /** HTTP/1.0 does not have it; one in between may forward the body as something else. */
  | 'transfer-encoding-in-1.0'
  | 'content-length-and-transfer-encoding';

export const maximumFields = 100;

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
export const isToken = (text: string): boolean => token.test(text);

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;

/** Spaces and tabs only: `trim` would take more, and a regular expression can take quadratic time. */
const trimBlanks = (text: string): string => {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
};

/** Parses one line of a header or trailer section. */
export const parseField = (line: string): HttpField | FieldFault => {
  if (isBlank(line.charCodeAt(0))) return 'obs-fold';
  const colon = line.indexOf(':');
  const name = line.slice(0, Math.max(0, colon));
  if (isToken(name)) return { name, value: trimBlanks(line.slice(colon + 1)) };
  return isToken(trimBlanks(name)) ? 'space-before-colon' : 'field-name';
};

/** The values of all fields of a name, which is given in lower case. */
export const fieldValues = (fields: readonly HttpField[], name: string): string[] =>
  fields.filter((field) => field.name.toLowerCase() === name).map(({ value }) => value);

/** The members of a comma-separated list over all fields of a name, in lower case. */
export const fieldTokens = (fields: readonly HttpField[], name: string): string[] =>
  fieldValues(fields, name)
    .flatMap((value) => value.split(','))
    .map((member) => trimBlanks(member).toLowerCase())
    .filter((member) => member !== '');

/** Where a body ends, as far as its head says. */
export type BodyFraming =
  | { readonly kind: 'none' }
  /** So many bytes; may be 0. */
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' };

/** What Content-Length and Transfer-Encoding say; `none` where there is neither. */
export const framingOf = (fields: readonly HttpField[], version: '1.0' | '1.1'): BodyFraming | FramingFault => {
  const lengths = fieldValues(fields, 'content-length');
  const codings = fieldValues(fields, 'transfer-encoding');
  if (lengths.length > 0 && codings.length > 0) return 'content-length-and-transfer-encoding';
  if (codings.length > 0) {
    if (codings.length > 1 || codings[0]!.toLowerCase() !== 'chunked') return 'transfer-encoding';
    return version === '1.0' ? 'transfer-encoding-in-1.0' : { kind: 'chunked' };
  }
  if (lengths.length === 0) return { kind: 'none' };
  if (lengths.length > 1 || lengths[0]!.includes(',')) return 'content-length-repeated';
  // No sign, no leading zero (an octal number to some), and no more digits than a number holds exactly.
  if (!/^(?:0|[1-9][0-9]{0,14})$/.test(lengths[0]!)) return 'content-length-malformed';
  return { kind: 'length', length: Number(lengths[0]) };
};

/** Whether the connection may carry another message after this one (RFC 9112, 9.3). */
export const keepsAlive = (fields: readonly HttpField[], version: '1.0' | '1.1'): boolean => {
  const options = fieldTokens(fields, 'connection');
  return !options.includes('close') && (version === '1.1' || options.includes('keep-alive'));
};
