/** Names that a gateway answers itself and never asks anybody for, with their subtrees. */
const localZones: readonly string[] = [
  'localhost', // RFC 6761, section 6.3
  'local', // RFC 6762: multicast DNS
  'invalid', // RFC 6761
  'onion', // RFC 7686
  'alt', // RFC 9476
  'arpa', // reverse names and home.arpa: all about the local network
  'use-application-dns.net', // browsers ask for it to learn whether they may go around the resolver
];

/**
 * Whether a name, or the fixed end of a pattern, is answered by the gateway itself whatever the policy says. A single label
 * is: only a search list could complete it.
 */
export const isLocalName = (name: string): boolean =>
  !name.includes('.') || localZones.some((zone) => name === zone || name.endsWith(`.${zone}`));
