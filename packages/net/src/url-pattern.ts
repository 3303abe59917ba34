import type { DomainName } from './domain-name.ts';
import { type DomainPattern, domainPatternMatches, parseDomainPattern } from './domain-pattern.ts';
import { type PathPattern, parsePathPattern, pathPatternMatches } from './path-pattern.ts';
import { err, ok, quote, type Result } from './result.ts';

export type Scheme = 'http' | 'https';

/** URLs, as `urls` of a WebGroup writes them: scheme, host pattern, path pattern. No port: ports are the rule's. */
export interface UrlPattern {
  /** Canonical. */
  readonly text: string;
  readonly scheme: Scheme;
  readonly host: DomainPattern;
  readonly path: PathPattern;
}

export function parseUrlPattern(written: string): Result<UrlPattern> {
  const parts = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)(.*)$/su.exec(written);
  if (parts === null) {
    return err(
      'url-syntax',
      `${quote(written)} is not a URL pattern`,
      'write scheme, host and path, such as `https://api.example.com/v1/**`',
    );
  }
  const [, schemeText, authority, pathText] = parts as unknown as [string, string, string, string];
  const scheme = schemeText.toLowerCase();
  if (scheme !== 'http' && scheme !== 'https') {
    return err('url-scheme', `the scheme of ${quote(written)} is ${quote(scheme)}`, 'write `http` or `https`');
  }
  if (authority.includes('@')) {
    return err(
      'url-user',
      `${quote(written)} has a user name`,
      `write ${quote(`${scheme}://${authority.slice(authority.lastIndexOf('@') + 1)}${pathText}`)}`,
    );
  }
  if (/:[0-9]*$/.test(authority)) {
    const host = authority.replace(/:[0-9]*$/, '');
    return err(
      'url-port',
      `${quote(written)} has a port`,
      `write ${quote(`${scheme}://${host}${pathText}`)} and the port in \`ports\` of the rule`,
    );
  }
  if (pathText === '') {
    return err(
      'url-no-path',
      `${quote(written)} has no path`,
      `write ${quote(`${scheme}://${authority}/**`)} for every path of this host`,
    );
  }
  const host = parseDomainPattern(authority);
  if (!host.ok) return host;
  const path = parsePathPattern(pathText);
  if (!path.ok) return path;
  return ok({ text: `${scheme}://${host.value.text}${path.value.text}`, scheme, host: host.value, path: path.value });
}

/** `path` is canonical (`canonicalPath`), without query. */
export function urlPatternMatches(
  pattern: UrlPattern,
  url: { readonly scheme: Scheme; readonly host: DomainName; readonly path: string },
): boolean {
  return (
    pattern.scheme === url.scheme &&
    domainPatternMatches(pattern.host, url.host) &&
    pathPatternMatches(pattern.path, url.path)
  );
}
