/**
 * Builds something out of steps that each have to be undone. Where one throws, the steps before it are undone and the error goes on; else
 * `close` undoes all, from the last to the first. A step that cannot be undone does not keep the others from it.
 */
export const undoing = <T extends object>(
  warn: (text: string) => void,
  build: (undo: (step: () => void) => void) => T,
): T & { close(): void } => {
  const steps: (() => void)[] = [];
  const close = (): void => {
    for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
      try {
        step();
      } catch (e) {
        warn(`clean-up: ${e instanceof Error ? e.message : String(e)}`);
      }
    }
  };
  try {
    return { ...build((step) => void steps.push(step)), close };
  } catch (e) {
    close();
    throw e;
  }
};
