import { Resolver } from 'node:dns/promises';
import { formatAddress, parseAddress } from '@cofferdam/net';
import { type Check, ok, problem, warning } from './check.ts';
import type { Machine } from './machine.ts';

/** The servers that a resolv.conf names; their zone is left out. */
export const nameservers = (text: string): readonly string[] =>
  text.split('\n').flatMap((line) => {
    const [word, server] = line.trim().split(/\s+/);
    const address =
      word === 'nameserver' && server !== undefined ? parseAddress(server.replace(/%.*$/, '')) : undefined;
    return address === undefined ? [] : [formatAddress(address)];
  });

export type Ask = (server: string) => Promise<boolean>;

/** Any answer counts, a refusal too: the server is there. */
export const askRoot: Ask = async (server) => {
  const resolver = new Resolver({ timeout: 2000, tries: 1 });
  resolver.setServers([server.includes(':') ? `[${server}]:53` : `${server}:53`]);
  try {
    await resolver.resolveNs('.');
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return !['ETIMEOUT', 'ECONNREFUSED', 'ECANCELLED', 'EBADFAMILY'].includes(code ?? '');
  }
};

export const resolverCheck = async (machine: Machine, ask: Ask): Promise<Check> => {
  const text = machine.readText('/etc/resolv.conf');
  const servers = nameservers(text ?? '');
  const own = 'give `run` one with `--resolver IP`';
  if (servers.length === 0) {
    return problem(
      'network',
      'resolvers',
      text === undefined ? 'no /etc/resolv.conf' : 'none in /etc/resolv.conf',
      own,
    );
  }
  const answers = await Promise.all(servers.map(ask));
  const silent = servers.filter((_, i) => answers[i] !== true);
  const all = servers.join(', ');
  if (silent.length === 0) return ok('network', 'resolvers', all);
  if (silent.length < servers.length) {
    return warning(
      'network',
      'resolvers',
      `${silent.join(', ')} of ${all} does not answer`,
      `take it out of /etc/resolv.conf, or ${own}`,
    );
  }
  return problem('network', 'resolvers', `${all}: no answer`, `check the network, or ${own}`);
};
