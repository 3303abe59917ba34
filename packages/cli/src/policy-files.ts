import { closeSync, openSync, readdirSync, readSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { defaultLimits, type PolicySource } from '@cofferdam/policy';
import { type FileProblem, fileProblem } from './file-problem.ts';

export interface PolicyFiles {
  /** By path in each directory; each file once, however often it is named. */
  readonly sources: readonly PolicySource[];
  readonly problems: readonly FileProblem[];
}

const extensions = ['.yaml', '.yml', '.json'];
const mostFiles = 10_000;
const deepest = 32;
/** A file of more bytes has more UTF-16 units than the parser takes, whatever they are: it says so without being read on. */
const mostBytes = 4 * defaultLimits.fileLength + 4;
/** Below this together, files are read; the parser refuses a set long before. */
const mostBytesOfAll = 8 * defaultLimits.setLength;

const because = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  if (code === 'ELOOP') return 'a link that leads back to itself';
  if (code === 'ENOTDIR') return 'part of the path is no directory';
  if (code === 'EISDIR') return 'it is a directory';
  return code ?? message;
};

const readBounded = (file: string | 0): Buffer => {
  const fd = file === 0 ? 0 : openSync(file, 'r');
  try {
    const chunks: Buffer[] = [];
    for (let length = 0; length < mostBytes; ) {
      const chunk = Buffer.alloc(65_536);
      const read = readSync(fd, chunk, 0, chunk.length, null);
      if (read === 0) break;
      chunks.push(chunk.subarray(0, read));
      length += read;
    }
    return Buffer.concat(chunks);
  } finally {
    if (fd !== 0) closeSync(fd);
  }
};

/** A cut in the middle of a character at the bound must not look like bad text. */
const decode = (bytes: Buffer): string | undefined => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: bytes.length >= mostBytes });
  } catch {
    // The decoder has no other way to say that the bytes are not UTF-8.
    return undefined;
  }
};

/**
 * Reads files and directories of policy. A directory stands for every `*.yaml`, `*.yml` and `*.json` below it whose path has no hidden part;
 * links are followed, each real directory is searched once. A path that is named is read whatever its name; `-` is standard input.
 */
export const readPolicyFiles = (paths: readonly string[]): PolicyFiles => {
  const sources: PolicySource[] = [];
  const problems: FileProblem[] = [];
  const seen = new Set<string>();
  let bytesOfAll = 0;
  let full = false;

  const take = (file: string, from: string | 0): void => {
    if (full) return;
    if (sources.length >= mostFiles || bytesOfAll > mostBytesOfAll) {
      full = true;
      problems.push(fileProblem('too-many-files', file));
      return;
    }
    try {
      const bytes = readBounded(from);
      bytesOfAll += bytes.length;
      const text = decode(bytes);
      if (text === undefined) problems.push(fileProblem('file-not-text', file));
      else sources.push({ file, text });
    } catch (error) {
      problems.push(fileProblem('file-unreadable', file, because(error)));
    }
  };

  /** Returns how many files were found. */
  const search = (directory: string, depth: number): number => {
    if (depth > deepest) {
      problems.push(fileProblem('too-many-files', directory, 'nested too deeply'));
      return 0;
    }
    let names: readonly string[];
    try {
      names = readdirSync(directory).sort();
    } catch (error) {
      problems.push(fileProblem('file-unreadable', directory, because(error)));
      return 0;
    }
    let found = 0;
    for (const name of names) {
      if (full) break;
      if (!name.startsWith('.')) found += visit(join(directory, name), name, depth);
    }
    return found;
  };

  const visit = (path: string, name: string, depth: number): number => {
    const wanted = extensions.some((extension) => name.endsWith(extension));
    try {
      const stat = statSync(path);
      if (stat.isDirectory()) return firstTime(path) ? search(path, depth + 1) : 0;
      if (!wanted || !stat.isFile()) return 0;
      if (firstTime(path)) take(path, path);
      return 1;
    } catch (error) {
      // A dangling link among other files is only of interest where it is named like a policy.
      if (!wanted) return 0;
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      problems.push(
        missing ? fileProblem('file-not-found', path) : fileProblem('file-unreadable', path, because(error)),
      );
      return 1;
    }
  };

  const firstTime = (path: string): boolean => {
    const real = realpathSync(path);
    if (seen.has(real)) return false;
    seen.add(real);
    return true;
  };

  for (const path of paths) {
    if (path === '-') {
      take('<stdin>', 0);
      continue;
    }
    try {
      if (!statSync(path).isDirectory()) {
        if (firstTime(path)) take(path, path);
      } else if (firstTime(path)) {
        const before = problems.length;
        if (search(path, 0) === 0 && problems.length === before) problems.push(fileProblem('no-policy-files', path));
      }
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      problems.push(
        missing ? fileProblem('file-not-found', path) : fileProblem('file-unreadable', path, because(error)),
      );
    }
  }
  return { sources, problems };
};
