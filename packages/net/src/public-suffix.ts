import { parse } from 'tldts';

/** Which section of the public suffix list makes this name one under which strangers register names; `none` otherwise. */
export type SuffixSection = 'icann' | 'private' | 'none';

const options = { allowPrivateDomains: true, extractHostname: false, validateHostname: false, detectIp: false };

/**
 * The section of the rule by which `name` is a public suffix: by itself, or because a rule with a star stands right above all names
 * below it (`*.ck` makes every child of `ck` a suffix, so a pattern below `ck` would take in whole suffixes). A top label that no rule lists
 * (`internal`, `test`) is none: it is private naming.
 */
export function publicSuffixSection(name: string): SuffixSection {
  const own = sectionOf(name);
  // Exceptions (`!www.ck`) are known labels; no list has this one.
  return own === 'none' ? sectionOf(`cofferdam-probe.${name}`) : own;
}

function sectionOf(name: string): SuffixSection {
  const found = parse(name, options);
  if (found.publicSuffix !== name) return 'none';
  return found.isIcann === true ? 'icann' : found.isPrivate === true ? 'private' : 'none';
}
