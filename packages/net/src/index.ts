/**
 * net: addresses, prefixes, port ranges, domain names, and the patterns over names, URLs and paths, as values: their parsing, canonical
 * form, comparison and order. One canonical form each, used to match, resolve, dial, forward and log alike.
 * Not here: packets and messages (wire), groups and rules (policy), any lookup or I/O.
 */
export {
  type Address,
  addressBits,
  addressesEqual,
  addressFromBytes,
  addressToBytes,
  compareAddresses,
  type Family,
  formatAddress,
  parseAddress,
} from './address.ts';
export {
  isPrivateNetwork,
  isPublicInternet,
  privateNetworks,
  type ReservedKind,
  type ReservedRange,
  reservedRange,
  reservedRanges,
  specialPurpose,
} from './address-set.ts';
export { type Authority, authorityName, canonicalName, type DomainName, wireName } from './domain-name.ts';
export { type DomainPattern, domainPatternMatches, isExactPattern, parseDomainPattern } from './domain-pattern.ts';
export { embeddedIPv4, embeddingPrefixes } from './embedded.ts';
export { type Glob, globMatches, parseGlob } from './glob.ts';
export { canonicalPath, foldPath } from './path.ts';
export { type PathPattern, parsePathPattern, pathPatternMatches } from './path-pattern.ts';
export {
  allPorts,
  formatPortRange,
  type PortRange,
  parsePortRange,
  portRangeContains,
} from './port-range.ts';
export {
  comparePrefixes,
  formatPrefix,
  lastAddress,
  literalPrefix,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixCovers,
  prefixesOverlap,
  prefixOf,
} from './prefix.ts';
export { publicSuffixSection, type SuffixSection } from './public-suffix.ts';
export { err, ok, quote, type Refusal, type Result } from './result.ts';
export { parseUrlPattern, type Scheme, type UrlPattern, urlPatternMatches } from './url-pattern.ts';
