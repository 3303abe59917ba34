import { Resolver } from 'node:dns/promises';
import type { UpstreamServer } from '@cofferdam/gateway';
import { type Address, type DomainName, formatAddress, parseAddress } from '@cofferdam/net';
import type { PolicySet } from '@cofferdam/policy';

const hostnamesOf = (policy: PolicySet): readonly DomainName[] => [
  ...new Set(
    [...policy.smartGroups.values()].flatMap(({ any }) =>
      any.flatMap((selector) => (selector.kind === 'hostname' ? [selector.name] : [])),
    ),
  ),
];

/** What hostnames of the policy stand for now, for connections by address; by name they are resolved as they are asked. */
export const resolveHostnames = async (
  policy: PolicySet,
  servers: readonly UpstreamServer[],
): Promise<ReadonlyMap<DomainName, readonly Address[]>> => {
  const names = hostnamesOf(policy);
  if (names.length === 0) return new Map();
  const resolver = new Resolver({ timeout: 1500, tries: 2 });
  resolver.setServers(
    servers.map(({ address, port }) =>
      address.family === 6 ? `[${formatAddress(address)}]:${port}` : `${formatAddress(address)}:${port}`,
    ),
  );
  const one = async (name: DomainName): Promise<readonly [DomainName, readonly Address[]]> => {
    const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const texts = found.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
    return [name, texts.flatMap((text) => parseAddress(text) ?? [])];
  };
  return new Map(await Promise.all(names.map(one)));
};
