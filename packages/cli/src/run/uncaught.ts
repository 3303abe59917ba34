import { sanitise } from '@cofferdam/flows';

/** Milliseconds for what was ended to be gone; the process leaves then all the same, and what it holds goes with it. */
const patience = 5000;

/** The exit code of a run that was not made, or not kept up. */
export const failedRun = 125;

const describe = (e: unknown): string => {
  if (!(e instanceof Error)) return String(e);
  const place = /^\s+at .*$/m.exec(e.stack ?? '')?.[0].trim();
  return `${e.name}: ${e.message}${place === undefined ? '' : ` (${place})`}`;
};

export interface UncaughtErrors {
  readonly happened: () => boolean;
  readonly stop: () => void;
}

/**
 * An error that nobody caught, or a promise that nobody saw fail: Node would end the process on the spot, and what the run changed on this
 * machine would stay until the next one. `end` undoes it at once, and must let go of what keeps the run going; after that the run returns
 * as if it had come to its end. What fails meanwhile is heard no more: it follows from the first.
 */
export const onUncaught = (end: (why: string) => void): UncaughtErrors => {
  let happened = false;
  let leave: NodeJS.Timeout | undefined;
  const handler = (e: unknown): void => {
    if (happened) return;
    happened = true;
    leave = setTimeout(() => process.exit(failedRun), patience);
    end(sanitise(describe(e)));
  };
  // A rejection that nobody handles arrives here too.
  process.on('uncaughtException', handler);
  return {
    happened: () => happened,
    stop() {
      clearTimeout(leave);
      if (!happened) process.off('uncaughtException', handler);
      // What failed may fail for ever, and keep the process from its end. What it said is written: on Linux stderr does not wait.
      else setImmediate(() => process.exit(failedRun));
    },
  };
};
