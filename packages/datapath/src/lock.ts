import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { lockFile } from './libc.ts';

/** Does `work` while nobody else of this machine does anything under the same file. It must be synchronous; who is killed lets go. */
export const alone = <T>(file: string, work: () => T): T => {
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  const fd = openSync(file, 'a', 0o600);
  try {
    lockFile(fd);
    return work();
  } finally {
    closeSync(fd);
  }
};
