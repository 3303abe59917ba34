import { closeSync, openSync, writeSync } from 'node:fs';
import { type AnyRecord, encodeRecord } from '@cofferdam/flows';
import { openRotatingFile } from './rotating-file.ts';

/** Where records go: a file of JSON lines. A disk that is full or gone costs records, never the run, and never opens anything. */
export interface FlowSink {
  readonly write: (record: AnyRecord) => void;
  /** Records that could not be written, and the first error. */
  readonly lost: () => { readonly count: number; readonly because: string };
  readonly close: () => void;
}

/** Where the bytes of a sink go. Every call may throw. */
interface Destination {
  /** The descriptor that takes the next `bytes`. */
  readonly roomFor: (bytes: number) => number;
  readonly close: () => void;
}

const newline = Buffer.from('\n');

const sinkTo = ({ roomFor, close }: Destination): FlowSink => {
  let count = 0;
  let because = '';
  /** The descriptor that half a line was left in. */
  let torn: number | undefined;
  let open = true;
  return {
    write(record) {
      // The number of a closed descriptor may be another file's by now.
      if (!open) return;
      const line = Buffer.from(`${encodeRecord(record)}\n`);
      try {
        const fd = roomFor(line.length + newline.length);
        // A write that was cut short leaves half a line: the next begins on a line of its own, and readers count the half.
        const whole = torn === fd ? Buffer.concat([newline, line]) : line;
        const written = writeSync(fd, whole);
        torn = written < whole.length ? fd : undefined;
        if (torn !== undefined) count += 1;
      } catch (e) {
        count += 1;
        if (because === '') because = e instanceof Error ? e.message : String(e);
      }
    },
    lost: () => ({ count, because }),
    close() {
      if (open) close();
      open = false;
    },
  };
};

/** A file that ends at `mostBytes`: what comes after is lost and counted. */
export const openFlowSink = (path: string, mostBytes: number): FlowSink => {
  const fd = openSync(path, 'a', 0o600);
  let room = mostBytes;
  return sinkTo({
    roomFor(bytes) {
      if (bytes > room) throw new Error(`the log of a run ends at ${mostBytes} bytes`);
      room -= bytes;
      return fd;
    },
    close: () => closeSync(fd),
  });
};

/** A file that becomes FILE.1 before it is larger than `mostBytes`, in place of the FILE.1 before it: the newest records are there. */
export const openRotatingSink = (path: string, mostBytes: number): FlowSink =>
  sinkTo(openRotatingFile(path, mostBytes));
