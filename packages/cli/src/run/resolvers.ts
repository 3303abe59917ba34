import { readFileSync } from 'node:fs';
import type { UpstreamServer } from '@cofferdam/gateway';
import { parseAddress } from '@cofferdam/net';
import { RunError } from './options.ts';

const dnsPort = 53;

/** `nameserver` lines of a resolv.conf, in order. Lines that are no address (a zone such as `%eth0` among them) are left out. */
export const nameserversOf = (text: string): readonly UpstreamServer[] =>
  text.split('\n').flatMap((line) => {
    const found = /^\s*nameserver\s+(\S+)/.exec(line);
    const address = found === null ? undefined : parseAddress(found[1]!);
    return address === undefined ? [] : [{ address, port: dnsPort }];
  });

/** The resolvers the gateway asks: those given, else those of this machine. */
export const upstreamResolvers = (given: readonly string[], file = '/etc/resolv.conf'): readonly UpstreamServer[] => {
  if (given.length > 0) {
    return given.map((text) => {
      const address = parseAddress(text);
      if (address === undefined)
        throw new RunError(`--resolver: \`${text}\` is not an address`, 'give an IPv4 or IPv6 address', 2);
      return { address, port: dnsPort };
    });
  }
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // Missing is the same as empty: said below.
  }
  const found = nameserversOf(text);
  if (found.length === 0)
    throw new RunError(`${file} names no resolver`, 'give one with --resolver, for example --resolver 192.168.1.1');
  return found;
};
