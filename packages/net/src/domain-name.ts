import { toASCII } from 'tr46';
import { type Address, addressesEqual, parseAddress } from './address.ts';
import { ok, quote, type Refusal, type Result } from './result.ts';

/**
 * A domain name in the one canonical form used to match, resolve, dial, forward and log: lower-case A-labels, no trailing
 * dot, 1 to 253 octets, labels of 1 to 63 of `a-z0-9_-`, the last one neither digits only nor `0x` with hexadecimal digits, since
 * such a host is an IPv4 address to whoever reads it with inet_aton (or the WHATWG URL parser).
 */
export type DomainName = string & { readonly __domainName: unique symbol };

const maxName = 253;
const maxLabel = 63;
const labelForm = /^[a-z0-9_-]{1,63}$/;
const numberForm = /^(?:[0-9]+|0x[0-9a-f]*)$/;
const asciiOnly = /^[\x21-\x7e]*$/;

/** True for text that is canonical already. */
function isCanonical(text: string): boolean {
  if (text.length > maxName) return false;
  const labels = text.split('.');
  return labels.every((label) => labelForm.test(label)) && !numberForm.test(labels.at(-1)!);
}

/** ASCII letters only. `toLowerCase` would make `k` of U+212A, the Kelvin sign. */
const lowerAscii = (text: string): string => text.replace(/[A-Z]/g, (c) => c.toLowerCase());

/**
 * The name a person or a DNS question means, by UTS 46 (nontransitional, with the bidi and joiner rules). Hyphens may stand
 * anywhere: real names have them in the third and fourth place. `trailingDot` lets one final dot be, and drops it.
 */
export function canonicalName(text: string, options: { readonly trailingDot?: boolean } = {}): Result<DomainName> {
  const bare = options.trailingDot === true && text.length > 1 && text.endsWith('.') ? text.slice(0, -1) : text;
  const mapped = toALabels(bare);
  if (mapped !== undefined && isCanonical(mapped)) return ok(mapped as DomainName);
  return { ok: false, error: refusal(bare, mapped) };
}

/** UTS 46 ToASCII without the length and ASCII rules, which `isCanonical` holds. For ASCII without A-labels it only lowers the case. */
function toALabels(text: string): string | undefined {
  // The joiner rule of tr46 takes quadratic time, and what maps to 253 octets is never this long.
  if (text.length > 4 * maxName) return undefined;
  const lower = lowerAscii(text);
  if (asciiOnly.test(lower) && !lower.includes('xn--')) return lower;
  return toASCII(lower, { checkBidi: true, checkJoiners: true }) ?? undefined;
}

function refusal(text: string, mapped: string | undefined): Refusal {
  const refuse = (code: string, message: string, help: string): Refusal => ({ code, message, help });
  const shown = quote(text);
  if (text === '') return refuse('name-empty', 'the name is empty', 'write a name such as `api.example.com`');
  if (/[\s\p{Cc}]/u.test(text)) {
    return refuse(
      'name-character',
      `${shown} has whitespace or a control character`,
      'write the name alone, one name per entry',
    );
  }
  const form = mapped ?? lowerAscii(text);
  if (text.includes('://')) {
    return refuse('name-is-url', `${shown} is a URL, not a name`, `write the host alone${suggest(hostOfUrl(form))}`);
  }
  if (parseAddress(form.replace(/^\[|\]$/g, '')) !== undefined) {
    return refuse(
      'name-is-address',
      `${shown} is an address, not a name`,
      'name addresses with `cidr` in a SmartGroup',
    );
  }
  const labels = form.split('.');
  if (numberForm.test(labels.at(-1)!)) {
    return refuse(
      'name-numeric',
      `${shown} ends in a number, so that some programs read it as an IPv4 address`,
      'end the name in a label with a letter, or name the address with `cidr` in a SmartGroup',
    );
  }
  if (form.endsWith('.') && form.length > 1) {
    return refuse(
      'name-trailing-dot',
      `${shown} ends in a dot`,
      `leave the dot out${suggest(form.replace(/\.+$/, ''))}`,
    );
  }
  if (labels.includes('')) {
    return refuse(
      'name-empty-label',
      `${shown} has an empty label`,
      `write single dots between labels${suggest(labels.filter((l) => l !== '').join('.'))}`,
    );
  }
  const long = labels.find((label) => label.length > maxLabel);
  if (long !== undefined) {
    return refuse(
      'name-label-length',
      `the label ${quote(long)} has ${long.length} octets`,
      `a label has at most ${maxLabel}`,
    );
  }
  if (form.length > maxName) {
    return refuse('name-length', `the name has ${form.length} octets`, `a name has at most ${maxName}`);
  }
  if (/^[^/:]+[/:]/.test(form)) {
    return refuse(
      'name-character',
      `${shown} has a port or a path`,
      `write the host alone${suggest(form.split(/[/:]/, 1)[0]!)}; ports and URLs have their own keys`,
    );
  }
  if (mapped === undefined) {
    return refuse(
      'name-idna',
      `${shown} is not a valid international name (UTS 46)`,
      'check its letters, or write its `xn--` form',
    );
  }
  const bad = [...form].find((c) => !/[a-z0-9_.-]/.test(c));
  return refuse(
    'name-character',
    `${shown} has the character ${quote(bad ?? '')}`,
    bad === '*'
      ? 'a pattern is possible in `domains` of a WebGroup'
      : 'a name has letters, digits, hyphens, underscores and dots',
  );
}

const hostOfUrl = (text: string): string => text.replace(/^[^:]*:\/\//, '').split(/[/:?#]/, 1)[0]!;
const suggest = (text: string): string => (isCanonical(text) ? `: \`${text}\`` : '');

/**
 * A name as a client sent it (SNI): its canonical form where it differs by ASCII case alone, otherwise undefined (unreadable).
 * `xn--` labels are taken by their letters, not decoded, so that the kernel can judge the same bytes one by one.
 */
export function wireName(text: string): DomainName | undefined {
  if (text.length > maxName) return undefined;
  const lower = lowerAscii(text);
  return isCanonical(lower) ? (lower as DomainName) : undefined;
}

export type Authority =
  | { readonly kind: 'name'; readonly name: DomainName }
  /** The address that is dialled, as a literal: it claims no name. */
  | { readonly kind: 'address' }
  | { readonly kind: 'unreadable' };

const unreadable: Authority = { kind: 'unreadable' };

/**
 * What an HTTP Host or `:authority` of a flow to `destination` and `port` names. Without a destination every literal is unreadable.
 * An address inside another (`::ffff:192.0.2.1` for `192.0.2.1`) is not equal to it.
 */
export function authorityName(host: string, port: number, destination?: Address): Authority {
  const suffix = `:${port}`;
  const bare = host.endsWith(suffix) ? host.slice(0, -suffix.length) : host;
  const literal = addressLiteral(bare);
  if (literal !== undefined) {
    return destination !== undefined && addressesEqual(literal, destination) ? { kind: 'address' } : unreadable;
  }
  const name = wireName(bare.endsWith('.') ? bare.slice(0, -1) : bare);
  return name === undefined ? unreadable : { kind: 'name', name };
}

/** A dotted quad, or IPv6 in brackets (RFC 3986, section 3.2.2). */
function addressLiteral(text: string): Address | undefined {
  const bracketed = text.startsWith('[') && text.endsWith(']');
  const address = parseAddress(bracketed ? text.slice(1, -1) : text);
  return address !== undefined && (address.family === 6) === bracketed ? address : undefined;
}
