import type { AnyRecord } from '@cofferdam/flows';
import { type RecordBudget, suppressedRecord } from './record-budget.ts';

/** The one door through which the records of a run leave its gateway. */
export interface RecordWriter {
  readonly emit: (record: AnyRecord) => void;
  /** Writes how many were suppressed, where that is due; at infinity, all that is left. */
  readonly report: (at: number) => void;
}

/** Flows whose first record was written and whose last was not, remembered at once. Past that, a denial that ends one may be suppressed. */
const remembered = 65_536;

/**
 * Holds records of denials to their budget. Only denials that are whole in one record can be suppressed: the end of a flow whose start
 * was written must be told, or the flow would seem to live for ever.
 */
export const createRecordWriter = (options: {
  readonly gateway: string;
  readonly budget: RecordBudget;
  readonly now: () => number;
  readonly nextId: () => string;
  /** Of the plan in force; 0: there is none. */
  readonly revision: () => number;
  readonly write: (record: AnyRecord) => void;
}): RecordWriter => {
  const { budget, write } = options;
  const begun = new Set<string>();
  const isWhole = (record: AnyRecord): boolean => {
    if (record.kind !== 'flow') return record.kind !== 'suppressed';
    if (record.end !== undefined) return !begun.delete(record.id);
    begun.add(record.id);
    if (begun.size > remembered) begun.delete(begun.values().next().value!);
    return false;
  };
  return {
    emit(record) {
      const whole = isWhole(record);
      if (record.verdict === 'deny' && whole && !budget.take(record.agent, record.reason, options.now())) return;
      write(record);
    },
    report(at) {
      const { gateway, nextId } = options;
      for (const one of budget.due(at))
        write(suppressedRecord(one, { id: nextId(), gateway, revision: options.revision() }));
    },
  };
};
