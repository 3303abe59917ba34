import { closeSync, openSync, writeSync } from 'node:fs';
import { type AnyRecord, encodeRecord } from '@cofferdam/flows';

/** Where records go: a file of JSON lines. A disk that is full or gone costs records, never the run, and never opens anything. */
export interface FlowSink {
  readonly write: (record: AnyRecord) => void;
  /** Records that could not be written, and the first error. */
  readonly lost: () => { readonly count: number; readonly because: string };
  readonly close: () => void;
}

const newline = Buffer.from('\n');

/** `mostBytes`: how much is written at the most; what comes after is lost and counted. */
export const openFlowSink = (path: string, mostBytes = Number.POSITIVE_INFINITY): FlowSink => {
  const fd = openSync(path, 'a', 0o600);
  let room = mostBytes;
  let count = 0;
  let because = '';
  let torn = false;
  return {
    write(record) {
      const line = Buffer.concat([torn ? newline : Buffer.alloc(0), Buffer.from(`${encodeRecord(record)}\n`)]);
      if (line.length > room) {
        count += 1;
        if (because === '') because = `the log of a run ends at ${mostBytes} bytes`;
        return;
      }
      room -= line.length;
      try {
        // A write that was cut short leaves half a line: the next begins on a line of its own, and readers count the half.
        const written = writeSync(fd, line);
        torn = written < line.length;
        if (torn) count += 1;
      } catch (e) {
        count += 1;
        if (because === '') because = e instanceof Error ? e.message : String(e);
      }
    },
    lost: () => ({ count, because }),
    close: () => closeSync(fd),
  };
};
