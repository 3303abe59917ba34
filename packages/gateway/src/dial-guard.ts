import { type Address, embeddedIPv4, type Prefix, prefixContains } from '@cofferdam/net';

/** What keeps the proxy from dialling this machine. */
export interface DialGuardFacts {
  /** Links between runs and the host: never dialled. */
  readonly links: readonly Prefix[];
  /** What the machine takes for itself now. */
  readonly local: readonly Prefix[];
  /** Whether the plan in force knows an address as the gateway's own or as reserved, and so has judged it as that. */
  readonly isReserved: (address: Address) => boolean;
}

/**
 * Whether the proxy may dial an address that the plan permits. It dials as the host itself, past the rules that keep the kernel path from what
 * is the host's own. The plan denies the addresses that the host had when it was made, unless a rule names them; to an address that the host
 * got since, it is any address. An IPv4 address inside an IPv6 one is what would be connected to, so it is asked for too.
 */
export const mayDial = (address: Address, { links, local, isReserved }: DialGuardFacts): boolean => {
  const holds = (prefixes: readonly Prefix[], one: Address): boolean => prefixes.some((p) => prefixContains(p, one));
  const inner = embeddedIPv4(address);
  const each = inner === undefined ? [address] : [address, inner];
  return each.every((one) => !holds(links, one) && (!holds(local, one) || isReserved(one)));
};
