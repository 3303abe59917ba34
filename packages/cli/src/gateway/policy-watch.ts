import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { readPolicyFiles } from '../policy-files.ts';

/** Milliseconds between two looks, and how many times longer than a look itself at least. */
const pause = 250;
const share = 20;

const digestOf = (paths: readonly string[]): string => {
  const { sources, problems } = readPolicyFiles(paths);
  const hash = createHash('sha256');
  for (const { file, text } of sources) hash.update(`${file}\0${text}\0`);
  for (const problem of problems) hash.update(`${JSON.stringify(problem)}\0`);
  return hash.digest('hex');
};

/**
 * Calls `changed` when what the paths hold has changed and is the same at two looks in a row: editors and Git write in several steps. It
 * looks instead of being told, since that sees every way in which files change: links that are swapped, network file systems, new directories.
 */
export const watchPolicy = (paths: readonly string[], changed: () => void): { readonly close: () => void } => {
  let known = digestOf(paths);
  let before = known;
  let timer: NodeJS.Timeout;
  const look = (): void => {
    const began = performance.now();
    const now = digestOf(paths);
    if (now === before && now !== known) {
      known = now;
      changed();
    }
    before = now;
    timer = setTimeout(look, Math.max(pause, share * (performance.now() - began)));
  };
  timer = setTimeout(look, pause);
  return { close: () => clearTimeout(timer) };
};
