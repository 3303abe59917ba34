import { canonicalName, type DomainName } from './domain-name.ts';
import { type Glob, globMatches, parseGlob } from './glob.ts';
import { publicSuffixSection } from './public-suffix.ts';
import { err, ok, quote, type Result } from './result.ts';

/** Names, as `domains` of a WebGroup writes them. Made by {@link parseDomainPattern} only; equal texts are equal patterns. */
export interface DomainPattern {
  /** Canonical: lower-case A-labels. Parsing it again gives the same pattern. */
  readonly text: string;
  /** A leading `**.`: one or more labels before the others. */
  readonly deep: boolean;
  /** The labels after a leading `**.`, left to right. */
  readonly labels: readonly Glob[];
  /** The labels right of the last star; the whole text where there is none. Every name that matches ends in it. */
  readonly fixed: DomainName;
  /** The fixed part is a suffix of the private section: strangers have names below it. */
  readonly sharedHosting: boolean;
}

/** Matches one name and no other. */
export const isExactPattern = (pattern: DomainPattern): boolean => !pattern.text.includes('*');

/**
 * `example.com` is that name. `*` is zero or more characters of one label, one or more where it is the whole label. A leading `**.` is
 * one or more labels. With a star, the fixed part must not be a public suffix.
 */
export function parseDomainPattern(written: string): Result<DomainPattern> {
  if (!written.includes('*')) return parseExact(written);
  if (/[/:]/.test(written)) {
    return err(
      'pattern-is-url',
      `${quote(written)} is not a pattern of names`,
      'write the host alone in `domains`, or a URL pattern in `urls`; ports have their own key',
    );
  }
  if (/^\*+$/.test(written)) {
    return err(
      'pattern-no-fixed-part',
      `${quote(written)} is every name`,
      'use the built-in WebGroup `any-web` for every name',
    );
  }
  const deep = written.startsWith('**.');
  const body = deep ? written.slice(3) : written;
  if (body.includes('**')) return refuseDoubleStar(written);
  const labels = body.split('.');
  const lastStar = labels.findLastIndex((label) => label.includes('*'));
  const fixedText = labels.slice(lastStar + 1).join('.');
  if (fixedText === '') {
    return err(
      'pattern-no-fixed-part',
      `${quote(written)} has no label right of its last star`,
      'end it in a registered domain, such as `*.example.com`, or write each name',
    );
  }
  const fixed = canonicalName(fixedText);
  if (!fixed.ok) return fixed;
  const front: string[] = [];
  for (const label of labels.slice(0, lastStar + 1)) {
    const canonical = canonicalLabel(label);
    if (!canonical.ok) return canonical;
    front.push(canonical.value);
  }
  return makePattern(deep, [...front, fixed.value].join('.'), fixed.value);
}

function makePattern(deep: boolean, body: string, fixed: DomainName): Result<DomainPattern> {
  const text = deep ? `**.${body}` : body;
  const labels = body.split('.');
  const shortest =
    labels.map((label) => (label === '*' ? 'x' : label.replaceAll('*', ''))).join('.').length + (deep ? 2 : 0);
  if (shortest > 253)
    return err('name-length', `no name is as long as ${quote(text)}`, 'a name has at most 253 octets');
  const section = publicSuffixSection(fixed);
  if (section === 'icann') {
    return err(
      'pattern-public-suffix',
      `${quote(text)} takes in names of strangers: \`${fixed}\` is a public suffix, or the stem of one`,
      `put the star below a registered domain, such as \`${deep ? '**' : '*'}.${registeredBelow(fixed)}\`, or write each name; \`any-web\` is every name`,
    );
  }
  return ok({ text, deep, labels: labels.map(parseGlob), fixed, sharedHosting: section === 'private' });
}

/** An example of a name below the suffix that one party registers. */
function registeredBelow(suffix: string): string {
  const name = `example.${suffix}`;
  return publicSuffixSection(name) === 'none' ? name : `www.${name}`;
}

function parseExact(written: string): Result<DomainPattern> {
  if (written.startsWith('.') && canonicalName(written.slice(1)).ok) {
    return err(
      'pattern-leading-dot',
      `${quote(written)} begins with a dot`,
      `write \`**${written}\` for all names below it, \`${written.slice(1)}\` for the name itself`,
    );
  }
  const name = canonicalName(written);
  if (!name.ok) return name;
  return ok({
    text: name.value,
    deep: false,
    labels: name.value.split('.').map(parseGlob),
    fixed: name.value,
    sharedHosting: false,
  });
}

/** One label left of the fixed part. A label with a star is ASCII: a piece of an A-label means nothing. */
function canonicalLabel(label: string): Result<string> {
  if (label === '')
    return err('name-empty-label', 'the pattern has an empty label', 'write single dots between labels');
  if (!label.includes('*')) {
    // As a name with one more label: digits alone are a good label here, and no address.
    const name = canonicalName(`${label}.x`);
    return name.ok ? ok(name.value.slice(0, -2)) : name;
  }
  const lower = label.replace(/[A-Z]/g, (c) => c.toLowerCase());
  if (!/^[a-z0-9_*-]+$/.test(lower)) {
    return err(
      'pattern-star-label',
      `the label ${quote(label)} mixes a star with characters other than ASCII letters, digits, hyphens and underscores`,
      'write a label that is all star, or one in ASCII',
    );
  }
  if (lower.replaceAll('*', '').length > 63) {
    return err('name-label-length', `no label is as long as ${quote(label)}`, 'a label has at most 63 octets');
  }
  return ok(lower);
}

function refuseDoubleStar(written: string): Result<never> {
  const labels = written.split('.');
  const fixed = labels.slice(labels.findLastIndex((label) => label.includes('*')) + 1).join('.');
  const nearest = parseDomainPattern(`**.${fixed}`);
  return err(
    'pattern-double-star',
    `\`**\` in ${quote(written)} is not a label at the very beginning`,
    `write \`${nearest.ok ? nearest.value.text : '**.example.com'}\` for any number of labels, or \`*\` for characters of one label`,
  );
}

/** Whether the name is one of the pattern's. */
export function domainPatternMatches(pattern: DomainPattern, name: DomainName): boolean {
  const labels = name.split('.');
  const extra = labels.length - pattern.labels.length;
  if (pattern.deep ? extra < 1 : extra !== 0) return false;
  return pattern.labels.every((glob, i) => globMatches(glob, labels[i + extra]!));
}
