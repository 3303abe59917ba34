import { type Address, parseAddress } from '@cofferdam/net';

/**
 * The address Node gives of a socket. A listener of both families shows IPv4 peers as `::ffff:…`, which here is the IPv4
 * address itself: the packet was one; and link-local peers carry their zone.
 */
export const socketAddress = (text: string | undefined): Address | undefined => {
  if (text === undefined) return undefined;
  const bare = text.split('%', 1)[0]!;
  return parseAddress(/^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(bare) ? bare.slice(7) : bare);
};
