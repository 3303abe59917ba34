import { type Glob, globMatches, parseGlob } from './glob.ts';
import { canonicalPath, foldPath } from './path.ts';
import { err, ok, quote, type Result } from './result.ts';

/** Paths, as `http.paths` and URL patterns write them. Made by {@link parsePathPattern} only. */
export interface PathPattern {
  /** Canonical, begins with `/`. A star that means itself is `%2A`. */
  readonly text: string;
  /** The segments after the first slash, left to right, without a final `**`. */
  readonly segments: readonly Glob[];
  /** A final `**`: any rest, which may be empty or have slashes. */
  readonly rest: boolean;
}

/**
 * `*` is zero or more characters of one segment, one or more where it is the whole segment; `**`, as the last segment only, is any rest. So
 * `/repos/**` takes `/repos/` and `/repos/a/b` and not `/repos`. Text that is not canonical is refused and shown in its canonical form.
 */
export function parsePathPattern(written: string): Result<PathPattern> {
  const shown = quote(written);
  if (!written.startsWith('/')) {
    return err('path-relative', `the path ${shown} does not begin with a slash`, `write ${quote(`/${written}`)}`);
  }
  if (/[?#]/.test(written)) {
    return err(
      'path-query',
      `the path ${shown} has a query or fragment`,
      `rules see the path alone: write ${quote(written.split(/[?#]/, 1)[0]!)}`,
    );
  }
  const canonical = canonicalPath(escapeNonAscii(written));
  if (canonical === undefined) {
    return err(
      'path-syntax',
      `the path ${shown} has no canonical form`,
      'write it without control characters, backslashes, escaped slashes or broken escapes',
    );
  }
  if (canonical !== written) {
    return err('path-not-canonical', `the path ${shown} is not in canonical form`, `write ${quote(canonical)}`);
  }
  const segments = canonical.split('/').slice(1);
  const rest = segments.at(-1) === '**';
  const body = rest ? segments.slice(0, -1) : segments;
  if (body.some((segment) => segment.includes('**'))) {
    return err(
      'path-double-star',
      `\`**\` in the path ${shown} is not its last segment`,
      `write ${quote(nearest(body))} for everything below, or \`*\` for characters of one segment`,
    );
  }
  return ok({ text: canonical, segments: body.map((segment) => parseGlob(segment).map(foldPath)), rest });
}

const nearest = (segments: readonly string[]): string =>
  `/${[
    ...segments.slice(
      0,
      segments.findIndex((segment) => segment.includes('**')),
    ),
    '**',
  ].join('/')}`;

function escapeNonAscii(text: string): string {
  const utf8 = new TextEncoder();
  return text.replace(/[^\x21-\x7e]+/gu, (run) =>
    [...utf8.encode(run)].map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

/** `path` is canonical ({@link canonicalPath}). */
export function pathPatternMatches(pattern: PathPattern, path: string): boolean {
  const segments = foldPath(path).split('/').slice(1);
  const count = pattern.segments.length;
  if (pattern.rest ? segments.length <= count : segments.length !== count) return false;
  return pattern.segments.every((glob, i) => globMatches(glob, segments[i]!));
}
