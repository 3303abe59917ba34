import { statSync } from 'node:fs';
import { type AnyRecord, parseRecord } from '@cofferdam/flows';
import type { Output } from '../output.ts';
import { counted } from '../text.ts';
import { type LogTail, openLogTail } from './log-tail.ts';

/** Lines that are no records, counted and never fatal: a log may be cut by a crash, or written by a newer version. */
export class Damage {
  #count = 0;
  #first: string | undefined;

  note(path: string, problem: string): void {
    this.#count++;
    this.#first ??= `${path}: ${problem}`;
  }

  get any(): boolean {
    return this.#count > 0;
  }

  report(output: Output): void {
    if (this.#count === 0) return;
    const are = this.#count === 1 ? 'is no record' : 'are no records';
    output.line(`cofferdam: ${counted(this.#count, 'line')} left out that ${are}; the first in ${this.#first}`);
  }
}

/** `-` is standard input. */
export const openLog = (path: string): LogTail | NodeJS.ErrnoException => {
  try {
    // A directory opens like a file, and only reading it fails.
    if (path !== '-' && statSync(path).isDirectory()) return Object.assign(new Error(path), { code: 'EISDIR' });
    return openLogTail(path === '-' ? 0 : path);
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
};

export const because = ({ code, message }: NodeJS.ErrnoException): string =>
  code === 'ENOENT'
    ? 'there is no such file'
    : code === 'EACCES'
      ? 'permission denied'
      : code === 'EISDIR'
        ? 'it is a directory'
        : code === 'ELOOP'
          ? 'a link that leads back to itself'
          : message;

/** What a line is: its record, or damage. Empty lines are nothing. */
export const takeLine =
  (path: string, damage: Damage, give: (record: AnyRecord) => void) =>
  (line: string): void => {
    if (line.trim() === '') return;
    const record = parseRecord(line);
    if (record.ok) give(record.value);
    else damage.note(path, record.error.message);
  };

/** What stands behind the last newline, of a log that is not followed: it may be whole all the same. */
export const takeRest = (tail: LogTail, take: (line: string) => void, damage: Damage): void => {
  const rest = tail.rest();
  if (rest.trim() === '') return;
  if (parseRecord(rest).ok) take(rest);
  else damage.note(tail.path, 'the last line is cut short');
};
