import type { Address, DomainName } from '@cofferdam/net';
import { embeddedIPv4, formatAddress, parsePrefix, prefixContains } from '@cofferdam/net';
import type { DnsMode } from '@cofferdam/plan';
import { isLocalName } from '@cofferdam/policy';
import type { Reason } from '@cofferdam/verdict';
import { runAddresses } from '../agent-inventory.ts';
import type { Question } from './question.ts';

/** A connection that no rule is asked about. `local`: it ends inside the run. */
export interface AnsweredHere {
  readonly verdict: 'local' | 'deny';
  /** Absent where nothing is recorded. */
  readonly reason?: Reason;
  /** One line, lower case, no full stop. */
  readonly because: string;
  /** Sentences. */
  readonly note: string;
}

const prefixes = (texts: readonly string[]) =>
  texts.flatMap((text) => {
    const parsed = parsePrefix(text);
    return parsed.ok ? [parsed.value] : [];
  });

/** Addresses that stand for names inside a run. A test compares them with those of the datapath package. */
export const poolPrefixes = ['198.18.0.0/16', 'fdc0:ffe7:da11:198::/64'] as const;
const pool = prefixes(poolPrefixes);

/** Where a connection never leaves its network namespace; Linux takes the unspecified address for the loopback one. */
const loopback = prefixes(['127.0.0.0/8', '::1/128', '0.0.0.0/32', '::/128']);
const mapped = prefixes(['::ffff:0:0/96']);

const holds = (list: ReturnType<typeof prefixes>, address: Address): boolean =>
  list.some((prefix) => prefix.address.family === address.family && prefixContains(prefix, address));

const isOneOf = (list: readonly Address[], address: Address): boolean =>
  list.some((each) => formatAddress(each) === formatAddress(address));

const ownLoopback: AnsweredHere = {
  verdict: 'local',
  because: "the command's own loopback, which is not governed",
  note: 'The connection stays inside the run and reaches servers that the command itself started. `run --host-port PORT` puts a TCP port of this machine’s 127.0.0.1 there.',
};

const dnsFilter = (dnsMode: DnsMode): AnsweredHere => ({
  verdict: 'local',
  because: "port 53 ends at the gateway's DNS filter, whichever server is meant",
  note: `No rule is asked about the connection, and the server is not reached. The filter resolves names that a permit of the agent covers, and refuses all others, \`dns-not-permitted\`${
    dnsMode === 'own'
      ? '. A resolver that is reached past the gateway, such as the platform’s, is not governed until it is closed.'
      : ': ask with `--to NAME:PORT`.'
  }`,
});

const unmapped = (dnsMode: DnsMode): AnsweredHere => ({
  verdict: 'deny',
  reason: 'address-unmapped',
  because:
    dnsMode === 'synthetic'
      ? 'an address of the synthetic pool, which stands for no name unless the gateway answered with it in this run'
      : `an address of the synthetic pool, which stands for no name: with \`--dns ${dnsMode}\` none is given out`,
  note: `${dnsMode === 'synthetic' ? 'Such addresses change from run to run. ' : ''}Connect by name: ask with \`--to NAME:PORT\`.`,
});

/** What happens to a look-up that the gateway answers itself, whatever the policy says. */
const localName = (name: DomainName): AnsweredHere | undefined => {
  if (name === 'localhost' || name.endsWith('.localhost')) return ownLoopback;
  if (!isLocalName(name)) return undefined;
  const why = name.includes('.') ? 'a local name' : 'a name of one label';
  return {
    verdict: 'local',
    reason: 'dns-local',
    because: `${why}: the gateway answers that it does not exist (NXDOMAIN), and asks nobody`,
    note: 'No permit makes such a name resolvable. Use the full name, or the address.',
  };
};

/** Undefined where the policy decides. `answered`: the name, where one is asked for, was looked up. */
export const answeredHere = (
  { target, protocol, port }: Question,
  answered: boolean,
  dnsMode: DnsMode,
): AnsweredHere | undefined => {
  const { name, address } = target;
  if (name !== undefined) {
    return localName(name) ?? (answered && port === 53 && protocol !== 'icmp' ? dnsFilter(dnsMode) : undefined);
  }
  if (address === undefined) return undefined;
  const dialled = holds(mapped, address) ? (embeddedIPv4(address) ?? address) : address;
  if (holds(loopback, dialled) || isOneOf(runAddresses.agent, dialled)) return ownLoopback;
  if (port === 53 && protocol !== 'icmp') return dnsFilter(dnsMode);
  return holds(pool, dialled) && !isOneOf(runAddresses.gateway, dialled) ? unmapped(dnsMode) : undefined;
};
