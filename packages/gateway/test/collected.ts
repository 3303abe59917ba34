import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** Whether nobody holds it any more. */
export const isCollected = async (held: WeakRef<object>): Promise<boolean> => {
  for (let turn = 0; turn < 5; turn++) {
    // What was looked at lives to the end of its turn.
    await setImmediate();
    collect();
    if (held.deref() === undefined) return true;
  }
  return false;
};
