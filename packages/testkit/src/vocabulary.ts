import {
  type Address,
  canonicalName,
  type DomainName,
  type DomainPattern,
  type PathPattern,
  type PortRange,
  type Prefix,
  parseAddress,
  parseDomainPattern,
  parsePathPattern,
  parsePortRange,
  parsePrefix,
  parseUrlPattern,
  type Result,
  type UrlPattern,
} from '@cofferdam/net';
import type { Location } from '@cofferdam/policy';

/**
 * The few words that generated policies are made of, and short ways to write values in tests. Few, so that groups overlap and rules meet.
 * The short ways throw on text that is not valid: a test that writes it is wrong.
 */

const must = <T>(result: Result<T>, text: string): T => {
  if (!result.ok) throw new Error(`\`${text}\`: ${result.error.message}`);
  return result.value;
};

export const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`\`${text}\` is not an address`);
  return parsed;
};

export const name = (text: string): DomainName => must(canonicalName(text), text);
export const prefix = (text: string): Prefix => must(parsePrefix(text), text);
export const domain = (text: string): DomainPattern => must(parseDomainPattern(text), text);
export const url = (text: string): UrlPattern => must(parseUrlPattern(text), text);
export const path = (text: string): PathPattern => must(parsePathPattern(text), text);
export const portRange = (text: string): PortRange => must(parsePortRange(text), text);

/** Where generated policy is written: nowhere. */
export const generated: Location = { file: 'generated', line: 1, column: 1 };

/** Reserved ranges and what lies beside them, private and public networks, wide and narrow, embedding IPv4 or not. */
export const prefixes: readonly Prefix[] = [
  '93.184.216.0/24',
  '93.184.216.34/32',
  '10.20.0.0/16',
  '10.20.0.128/25',
  '10.11.1.0/24',
  '10.11.1.1/32',
  '0.0.0.0/0',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '169.254.169.254/32',
  '168.63.129.16/32',
  '127.0.0.0/8',
  '224.0.0.0/4',
  '2606:2800::/32',
  '2606:2800:220:1::/64',
  '2001:db8:20::/48',
  'fd11::/16',
  'fd11::1/128',
  '::/0',
  '::ffff:0:0/96',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '2002::/16',
  'fd00:ec2::254/128',
  'fe80::/10',
].map(prefix);

export const hostnames: readonly DomainName[] = ['db.internal.example', 'cache.internal.example'].map(name);

export const domains: readonly DomainPattern[] = [
  'api.example.com',
  '*.example.com',
  '**.example.com',
  'example.com',
  'app*.example.com',
  'eu-*.*.example.com',
  'api.github.com',
  '*.githubusercontent.com',
  '**.internal.example',
  '*.blob.core.windows.net',
].map(domain);

export const urls: readonly UrlPattern[] = [
  'https://api.example.com/repos/**',
  'https://*.example.com/v1/*',
  'http://api.example.com/**',
  'https://api.github.com/repos/acme/**',
  'https://**.internal.example/',
].map(url);

export const paths: readonly PathPattern[] = ['/repos/**', '/v1/*', '/', '/files/*.txt', '/**'].map(path);

export const ports: readonly PortRange[] = ['443', '80', '22', '8000-8100', '442-444', '53', '0-1023', '5432'].map(
  portRange,
);

export const methods = ['GET', 'POST', 'DELETE'] as const;
export const mcpMethods = ['tools/call', 'tools/list'] as const;
export const tools = ['search_code', 'delete_repo', 'read_file'] as const;

/** Zones with and without daylight saving, one with a change at midnight, one with half an hour of it. */
export const timezones = [
  'UTC',
  'Europe/London',
  'America/New_York',
  'America/Santiago',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
] as const;

/** Instants around which generated flows happen: a plain week, and changes of daylight saving. */
export const instants: readonly number[] = [
  '2026-06-10T09:00:00Z',
  '2026-03-28T12:00:00Z',
  '2026-10-24T12:00:00Z',
  '2026-11-01T00:00:00Z',
  '2026-09-05T18:00:00Z',
].map((text) => Date.parse(text));
