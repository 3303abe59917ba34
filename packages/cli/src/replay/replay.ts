import type { AnyRecord } from '@cofferdam/flows';
import { quote } from '@cofferdam/net';
import { createReplay, createTally, type Replay } from '@cofferdam/replay';
import type { Context } from '../command.ts';
import { dnsModeOf } from '../dns-mode.ts';
import { because, Damage, openLog, takeLine, takeRest } from '../flows/read-log.ts';
import { loadPolicy } from '../load-policy.ts';
import type { replayCommand } from './command.ts';
import { createPlans, type Plans } from './plans.ts';
import { promote } from './promote.ts';
import { type Replayed, replayData, replayText } from './render.ts';

/** Records that wait until the agents among them are known to the plan: it is made anew for many at once. */
const mostWaiting = 4096;

export const replay = (context: Context<typeof replayCommand.options>): number => {
  const { values, operands, out, err, fail } = context;
  if (values.policy.length === 0) return fail('no policy is named', 'add `--policy FILE` or `--policy DIRECTORY`');
  const top = values.top === undefined ? 50 : Number(values.top);
  if (!(Number.isSafeInteger(top) && top > 0))
    return fail(`\`--top\` does not take ${quote(values.top!)}`, 'write a number from 1 upward');
  const loaded = loadPolicy(context, values.policy, Date.now());
  if (loaded === undefined) return 1;
  const promotion = promote(loaded.policy, {
    rules: values.promote,
    containment: values['promote-containment'],
    all: values['promote-all'],
  });
  if (!promotion.ok) return fail(promotion.error.message, promotion.error.help);

  const plans = createPlans(promotion.value.policy, dnsModeOf(values.dns));
  const tally = createTally();
  const seen = { flow: 0, request: 0, dns: 0, suppressed: 0 };
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  const replaying = createReplay({
    planAt: plans.at,
    interfaceOf: plans.interfaceOf,
    give(record, replayed, plan) {
      seen[record.kind] += record.kind === 'suppressed' ? record.count : 1;
      first = Math.min(first, record.start);
      last = Math.max(last, record.end ?? record.start);
      tally.add(record, replayed, plan.loaded.plan);
    },
  });
  const waiting = holdBack(replaying, plans);
  const damage = new Damage();
  let records = 0;
  for (const path of operands) {
    const opened = openLog(path);
    if (opened instanceof Error)
      return fail(
        `${quote(path)} cannot be read: ${because(opened)}`,
        'name a log that `cofferdam run --log FILE` wrote',
        1,
      );
    const take = takeLine(path === '-' ? '<stdin>' : path, damage, (record) => {
      records++;
      waiting.add(record);
    });
    opened.read(take);
    takeRest(opened, take, damage);
    opened.close();
  }
  waiting.finish();
  damage.report(err);
  if (records === 0 && damage.any)
    return fail('there is no flow record in it', 'name a log that `cofferdam run --log FILE` wrote', 1);
  const result: Replayed = {
    promoted: promotion.value.promoted,
    seen,
    ...(first <= last && { from: first, to: last }),
    tally,
    early: replaying.early(),
  };
  if (values.json) out.line(JSON.stringify(replayData(result), null, 2));
  else out.write(replayText(result, out, top));
  return 0;
};

/** Keeps records in their order until their agents are known. */
const holdBack = (replaying: Replay, plans: Plans) => {
  let waiting: AnyRecord[] = [];
  const release = (): void => {
    plans.learn(waiting);
    for (const record of waiting) replaying.add(record);
    waiting = [];
  };
  return {
    add(record: AnyRecord): void {
      if (waiting.length === 0 && plans.knows(record)) {
        replaying.add(record);
        return;
      }
      waiting.push(record);
      if (waiting.length >= mostWaiting) release();
    },
    finish(): void {
      release();
      replaying.finish();
    },
  };
};
