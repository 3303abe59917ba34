import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Authority, AuthorityFiles, AuthorityProblem } from '@cofferdam/certificates';

/** Where an authority is kept where nothing else is said. */
export const defaultFolder = '/etc/cofferdam/ca';

/** The one in force, and one that clients are to trust before it is. Certificate and key are one file, so that they change in one step. */
export type Slot = 'authority' | 'next';

export const slotFile = (folder: string, slot: Slot): string => join(folder, `${slot}.pem`);

export type Kept =
  | { readonly kind: 'none' }
  | { readonly kind: 'kept'; readonly authority: Authority; readonly text: string }
  | ({ readonly kind: 'problem' } & AuthorityProblem);

const problem = (message: string, help: string): Kept => ({ kind: 'problem', message, help });

/** Far more than a chain and a key need. */
const mostBytes = 256 * 1024;

/** Reads the file of an authority, certificate and key in PEM. It must be closed to all but its owner. */
export const readAuthorityFile = async (file: string, now: number): Promise<Kept> => {
  let text: string;
  try {
    const { mode, size } = statSync(file);
    if ((mode & 0o077) !== 0)
      return problem(`\`${file}\` holds a key and is open to others than its owner`, `close it: chmod 600 ${file}`);
    if (size > mostBytes)
      return problem(`\`${file}\` is too large to be an authority`, 'name a file of certificates and one key');
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { kind: 'none' };
    return problem(`\`${file}\` cannot be read: ${message}`, code === 'EACCES' ? 'run it with sudo' : 'mend the path');
  }
  const { readAuthority } = await import('@cofferdam/certificates');
  const read = await readAuthority({ certificate: text, key: text }, now);
  return read.ok
    ? { kind: 'kept', authority: read.authority, text }
    : problem(`\`${file}\`: ${read.problem.message}`, read.problem.help);
};

/** Writes the file whole or not at all. */
export const writeAuthority = (folder: string, slot: Slot, { certificate, key }: AuthorityFiles): void => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = slotFile(folder, slot);
  const draft = `${file}.new`;
  rmSync(draft, { force: true });
  const handle = openSync(draft, 'wx', 0o600);
  try {
    writeSync(handle, `${certificate}${key}`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(draft, file);
};

/** The next one is in force from now on. */
export const finishRotation = (folder: string): void =>
  renameSync(slotFile(folder, 'next'), slotFile(folder, 'authority'));
