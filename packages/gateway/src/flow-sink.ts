import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { type AnyRecord, encodeRecord } from '@cofferdam/flows';
import { openRotatingFile, smallPartOf } from './rotating-file.ts';

/**
 * Where records go: a file of JSON lines. A disk that is full or gone costs records, never the run, and never opens anything.
 *
 * Records are written together, at the end of the turn in which they came: before this process waits for anything, and at its end too,
 * however it ends, unless it is killed.
 */
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
  /** Bytes of lines that it takes in one write; one line may be longer. */
  readonly atOnce: number;
  readonly close: () => void;
}

/** Characters that wait at most. */
const mostWaiting = 65_536;
const newline = 0x0a;

const sinkTo = ({ roomFor, atOnce, close }: Destination): FlowSink => {
  let count = 0;
  let because = '';
  /** The descriptor that half a line was left in. */
  let torn: number | undefined;
  let open = true;
  let waiting = '';

  /** Writes whole lines. Returns how many of their bytes are done with: written, or of the line that was cut, which is lost. May throw. */
  const writeLines = (lines: Buffer): number => {
    const fd = roomFor(lines.length + 1);
    // A write that was cut short leaves half a line: the next begins on a line of its own, and readers count the half.
    const before = torn === fd ? '\n' : '';
    const written = writeSync(fd, before === '' ? lines : Buffer.concat([Buffer.from(before), lines])) - before.length;
    const isWhole = written > 0 && lines[written - 1] === newline;
    torn = isWhole ? undefined : fd;
    if (isWhole) return written;
    count += 1;
    return lines.indexOf(newline, Math.max(written, 0)) + 1;
  };

  const flush = (): void => {
    const bytes = Buffer.from(waiting);
    waiting = '';
    let most = atOnce;
    for (let at = 0; at < bytes.length; ) {
      const first = bytes.indexOf(newline, at) + 1;
      const end = Math.max(first, bytes.lastIndexOf(newline, at + most - 1) + 1);
      try {
        at += writeLines(bytes.subarray(at, end));
      } catch (e) {
        // Where several have no room, one of them may.
        most = 1;
        if (end > first) continue;
        at = end;
        count += 1;
        if (because === '') because = e instanceof Error ? e.message : String(e);
      }
    }
  };
  process.on('exit', flush);

  return {
    write(record) {
      // The number of a closed descriptor may be another file's by now.
      if (!open) return;
      if (waiting === '') setImmediate(flush);
      waiting += `${encodeRecord(record)}\n`;
      if (waiting.length > mostWaiting) flush();
    },
    lost() {
      flush();
      return { count, because };
    },
    close() {
      if (!open) return;
      flush();
      open = false;
      process.off('exit', flush);
      close();
    },
  };
};

/** A file that ends at `mostBytes`: what comes after is lost and counted. */
export const openFlowSink = (path: string, mostBytes: number): FlowSink => {
  const fd = openSync(path, 'a', 0o600);
  return sinkTo({
    roomFor(bytes) {
      if (fstatSync(fd).size + bytes > mostBytes) throw new Error(`the log of a run ends at ${mostBytes} bytes`);
      return fd;
    },
    atOnce: smallPartOf(mostBytes),
    close: () => closeSync(fd),
  });
};

/** A file that becomes FILE.1 before it is larger than `mostBytes`, in place of the FILE.1 before it: the newest records are there. */
export const openRotatingSink = (path: string, mostBytes: number): FlowSink =>
  sinkTo(openRotatingFile(path, mostBytes));
