import { type AgentIdentity, recordVersion, type SuppressedRecord } from '@cofferdam/flows';
import type { Reason } from '@cofferdam/verdict';
import { createRateLimiter } from './rate-limiter.ts';

export interface RecordBudgetOptions {
  /** Records of denials that an agent may have in a second, and how many it may have saved up. */
  readonly rate: number;
  readonly burst: number;
  /** Milliseconds between two reports of what was suppressed for one reason. */
  readonly every: number;
}

/**
 * What is denied costs an agent nothing to try, tens of thousands of times a second; a record costs some 600 bytes wherever records are kept. A
 * burst of 500 is a program that tries every mirror it knows, and is written in full. 50 a second go on for those that try again and again; a
 * flood then writes 30 kB a second, so that the 64 MiB of a run hold half an hour of it, where all of it would fill them in seconds and
 * leave no room for what comes after.
 */
export const defaultRecordBudget: RecordBudgetOptions = { rate: 50, burst: 500, every: 10_000 };

/** Denials that have no record of their own. */
export interface Suppressed {
  readonly agent: AgentIdentity;
  readonly reason: Reason;
  readonly count: number;
  /** Of the first and the last of them, milliseconds since the epoch. */
  readonly start: number;
  readonly end: number;
}

export interface RecordBudget {
  /** Whether a denial may have a record of its own now. Where not, it is counted. `at`: milliseconds since the epoch. */
  readonly take: (agent: AgentIdentity, reason: Reason, at: number) => boolean;
  /** Counts denials, one where nothing is said, that have no record whatever room there is. */
  readonly suppress: (agent: AgentIdentity, reason: Reason, at: number, more?: number) => void;
  /** What is to be told at `at`, each once: counts whose first denial is `every` old. At infinity, all of them. */
  readonly due: (at: number) => readonly Suppressed[];
}

/** Counters are kept by agent and reason. Both come from tables of ours, so there is no more of them than an agent could make. */
export const createRecordBudget = ({ rate, burst, every }: RecordBudgetOptions): RecordBudget => {
  const limiter = createRateLimiter({ rate, burst, keys: 4096 });
  const counters = new Map<string, Suppressed>();
  const suppress = (agent: AgentIdentity, reason: Reason, at: number, more = 1): void => {
    const key = `${agent.name ?? ''}\n${reason}`;
    const { count, start, end } = counters.get(key) ?? { count: 0, start: at, end: at };
    // The wall clock may be set back.
    counters.set(key, { agent, reason, count: count + more, start: Math.min(start, at), end: Math.max(end, at) });
  };
  return {
    suppress,
    take(agent, reason, at) {
      if (limiter.take(agent.name ?? '', at)) return true;
      suppress(agent, reason, at);
      return false;
    },
    due(at) {
      const told: Suppressed[] = [];
      for (const [key, one] of counters) {
        // A clock that was set back must not hold it for longer.
        if (at - one.start < every && at >= one.start) continue;
        counters.delete(key);
        told.push(one);
      }
      return told;
    },
  };
};

/** The record that stands for them. `revision`: of the plan now in force, 0 where there is none. */
export const suppressedRecord = (
  { agent, reason, count, start, end }: Suppressed,
  head: Pick<SuppressedRecord, 'id' | 'gateway' | 'revision'>,
): SuppressedRecord => ({
  version: recordVersion,
  kind: 'suppressed',
  ...head,
  start,
  end,
  agent,
  verdict: 'deny',
  reason,
  enforced: true,
  count,
});
