import { createRuleTally, decidedIn, type RuleReference, type RuleUse, ruleKey, settling } from '@cofferdam/flows';
import type { LogTail } from '../flows/log-tail.ts';
import { type Damage, takeLine, takeRest } from '../flows/read-log.ts';
import type { CountedRule } from './view.ts';

export interface CountedLog {
  /** By their places when they were last seen. */
  readonly rules: readonly CountedRule[];
  readonly default: RuleUse;
  /** Denials that were only counted: of whichever rules. */
  readonly unattributed: number;
  readonly records: number;
}

/** What a log says of the rules, each flow as it ended. */
export const countLog = (tail: LogTail, damage: Damage): CountedLog => {
  const tally = createRuleTally();
  const references = new Map<string, RuleReference>();
  let unattributed = 0;
  let records = 0;
  const flows = settling((record) => {
    if (record.kind === 'suppressed') unattributed += record.count;
    const decided = decidedIn(record);
    if (decided === undefined) return;
    tally.count(decided);
    for (const reference of decided.references) references.set(ruleKey(reference), reference);
  });
  const take = takeLine(tail.path, damage, (record) => {
    records++;
    flows.add(record);
  });
  tail.read(take);
  takeRest(tail, take, damage);
  tail.close();
  flows.finish();
  const inOrder = [...references].sort(([, a], [, b]) => a.index - b.index);
  return {
    rules: inOrder.map(([key, { index: _place, ...rule }]) => ({ rule, use: tally.of(key) })),
    default: tally.of('default'),
    unattributed,
    records,
  };
};
