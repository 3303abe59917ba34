import type { CutFlow, FlowKey } from '@cofferdam/datapath';

export interface CutFlowsOptions {
  readonly kernel: {
    readonly generation: () => bigint;
    readonly judgeAnew: () => readonly CutFlow[];
    readonly clientAck: (key: FlowKey) => number | undefined;
  };
  /** Speaks to the agent's end of a flow in its server's place. */
  readonly resets: {
    readonly probe: (key: FlowKey, clientAck: number) => void;
    readonly reset: (key: FlowKey, clientAck: number) => void;
  };
  /** Does something a little later, for the agent's answer to a probe to come first. */
  readonly later: (step: () => void) => void;
}

/** Ends flows that another plan or another hour does not permit any more, whether or not anything is said on them. */
export interface CutFlows {
  /** To be called after each plan, and often: it does nothing while nothing has changed. */
  readonly look: () => void;
}

/**
 * The kernel program cuts such a flow by itself at its next packet. A flow on which nothing is said would stay at both ends until then, so it is
 * judged here, and its agent is made to say something: by that the server learns of the end, and then the agent is told.
 */
export const createCutFlows = ({ kernel, resets, later }: CutFlowsOptions): CutFlows => {
  let seen = kernel.generation();
  return {
    look() {
      const now = kernel.generation();
      if (now === seen) return;
      seen = now;
      const cut = kernel.judgeAnew();
      if (cut.length === 0) return;
      for (const { key, clientAck } of cut) resets.probe(key, clientAck);
      later(() => {
        for (const { key, clientAck } of cut) resets.reset(key, kernel.clientAck(key) ?? clientAck);
      });
    },
  };
};
