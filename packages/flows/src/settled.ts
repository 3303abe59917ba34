import { deciderText, destinationText, verdictText } from './describe.ts';
import type { AnyRecord } from './record.ts';

/**
 * A log as it went: each flow once, as it ended, without the connections whose requests say the same in more detail. Flows that never
 * ended come last. For logs of any length: it remembers the flows that are live at a time, of each at most {@link mostSaid} things that
 * its requests said.
 */
export interface Settling {
  readonly add: (record: AnyRecord) => void;
  /** Gives what is still live. */
  readonly finish: () => void;
}

/** As many as a gateway's kernel holds. Past that, the one that began first is taken for over, and its end, should it come, for another flow. */
export const mostLive = 65_536;
export const mostSaid = 64;

interface LiveFlow {
  record: AnyRecord | undefined;
  said: Set<string> | undefined;
}

const outcome = (r: AnyRecord): string => JSON.stringify([verdictText(r), destinationText(r), deciderText(r)]);

export const settling = (give: (record: AnyRecord) => void, live = mostLive): Settling => {
  const flows = new Map<string, LiveFlow>();
  const settle = ({ record, said }: LiveFlow): void => {
    if (record !== undefined && said?.has(outcome(record)) !== true) give(record);
  };
  const liveFlow = (key: string): LiveFlow => {
    const before = flows.get(key);
    if (before !== undefined) return before;
    const made: LiveFlow = { record: undefined, said: undefined };
    flows.set(key, made);
    if (flows.size > live) {
      const [oldest, one] = flows.entries().next().value!;
      flows.delete(oldest);
      settle(one);
    }
    return made;
  };
  return {
    add(record) {
      if (record.kind === 'request' && record.flow !== undefined) {
        const one = liveFlow(`${record.gateway}\n${record.flow}`);
        one.said ??= new Set();
        if (one.said.size < mostSaid) one.said.add(outcome(record));
      }
      if (record.kind !== 'flow') return give(record);
      const key = `${record.gateway}\n${record.id}`;
      if (record.end === undefined) {
        liveFlow(key).record = record;
        return;
      }
      const one = flows.get(key);
      flows.delete(key);
      settle({ record, said: one?.said });
    },
    finish() {
      for (const one of flows.values()) settle(one);
      flows.clear();
    },
  };
};
