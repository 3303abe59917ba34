import {
  type Address,
  type DomainPattern,
  formatAddress,
  formatPrefix,
  type PathPattern,
  type Prefix,
  type UrlPattern,
} from '@cofferdam/net';
import type { Scenarios } from './scenario.ts';
import { address, domain, path, prefix, url } from './vocabulary.ts';

/**
 * Scenarios as JSON that people can read and mend: values of `net` are written as their text under a key that begins with `$`, maps as lists
 * of pairs. Thawing gives values equal to those that were frozen.
 */

const keysOf = (value: object): string => Object.keys(value).sort().join(' ');

const texts: Readonly<Record<string, (value: object) => object>> = {
  'family value': (value) => ({ $address: formatAddress(value as Address) }),
  'address length': (value) => ({ $prefix: formatPrefix(value as Prefix) }),
  'deep fixed labels sharedHosting text': (value) => ({ $domain: (value as DomainPattern).text }),
  'host path scheme text': (value) => ({ $url: (value as UrlPattern).text }),
  'rest segments text': (value) => ({ $path: (value as PathPattern).text }),
};

const values: Readonly<Record<string, (text: string) => unknown>> = {
  $address: address,
  $prefix: prefix,
  $domain: domain,
  $url: url,
  $path: path,
};

export const freeze = (scenarios: Scenarios): string =>
  JSON.stringify(
    scenarios,
    (_key, value: unknown) => {
      if (value instanceof Map) return { $map: [...value] };
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
      return texts[keysOf(value)]?.(value) ?? value;
    },
    2,
  );

/** What {@link freeze} wrote. The file is trusted: a test reads its own. */
export const thaw = (json: string): Scenarios =>
  JSON.parse(json, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const [entry, ...more] = Object.entries(value);
    if (entry === undefined || more.length > 0) return value;
    const [tag, content] = entry;
    if (tag === '$map') return new Map(content as [unknown, unknown][]);
    return typeof content === 'string' && Object.hasOwn(values, tag) ? values[tag]!(content) : value;
  }) as Scenarios;
