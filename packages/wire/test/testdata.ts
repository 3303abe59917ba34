import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Real captures and corpora, which the repository does not hold: a folder named by `COFFERDAM_TESTDATA`. */

const root = process.env.COFFERDAM_TESTDATA;
const captures = root === undefined ? undefined : join(root, '3_captures');

/** For `test()`: why a test over real data does not run here, or `false`. */
export const withoutCaptures: string | false =
  captures === undefined
    ? 'COFFERDAM_TESTDATA is not set'
    : existsSync(captures)
      ? false
      : `COFFERDAM_TESTDATA has no folder 3_captures`;

export const captureFile = (path: string): Uint8Array => new Uint8Array(readFileSync(join(captures ?? '', path)));

/** Every file below a folder of the captures, sorted, as paths that {@link captureFile} takes. */
export const captureFiles = (folder: string): string[] =>
  readdirSync(join(captures ?? '', folder), { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => statSync(join(captures ?? '', path)).isFile())
    .sort();
