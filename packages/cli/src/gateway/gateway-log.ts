import type { AnyRecord } from '@cofferdam/flows';
import { type FlowSink, openRotatingSink } from '@cofferdam/gateway';
import { createRunDirectory, flowsFile, isLiveRun, type RunState } from '../run-directory.ts';

/** Where a gateway says who it is and writes its records: in /run, and in a file that the operator named. */
export interface GatewayLog {
  readonly write: (record: AnyRecord) => void;
  /** Makes what is in /run anew where somebody took it away. To be called now and then. */
  readonly look: () => void;
  /** Records that could not be written, by the first reason of each file. */
  readonly lost: () => readonly string[];
  readonly close: () => void;
}

/** Of the log in /run, which is memory, and of the one before it. */
const mostOwnLog = 32 * 1024 * 1024;
const mostLog = 512 * 1024 * 1024;

export const openGatewayLog = (state: RunState, file: string | undefined): GatewayLog => {
  const openOwn = (): FlowSink => {
    createRunDirectory(state);
    return openRotatingSink(flowsFile(state.run), mostOwnLog);
  };
  const named = file === undefined ? [] : [openRotatingSink(file, mostLog)];
  let own = openOwn();
  const before: FlowSink[] = [];
  return {
    write(record) {
      for (const sink of [own, ...named]) sink.write(record);
    },
    look() {
      if (isLiveRun(state.run)) return;
      const next = openOwn();
      own.close();
      before.push(own);
      own = next;
    },
    lost: () =>
      [...before, own, ...named].flatMap((sink) => {
        const { count, because } = sink.lost();
        return count > 0 ? [`${count} records could not be written: ${because}`] : [];
      }),
    close() {
      for (const sink of [own, ...named]) sink.close();
    },
  };
};
