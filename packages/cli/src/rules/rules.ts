import { parseRulesReport, sanitise } from '@cofferdam/flows';
import { quote } from '@cofferdam/net';
import type { PolicySet } from '@cofferdam/policy';
import type { Context } from '../command.ts';
import { because, Damage, openLog } from '../flows/read-log.ts';
import { loadPolicy } from '../load-policy.ts';
import { runsDirectory } from '../run-directory.ts';
import { counted } from '../text.ts';
import { askStatus } from './ask-status.ts';
import type { rulesCommand } from './command.ts';
import { countLog } from './count-log.ts';
import { chooseGateway } from './live-gateways.ts';
import { ago, instant, rulesTable, unusedText } from './table.ts';
import { type RulesView, viewData, viewOf, viewOfPolicy } from './view.ts';

type RulesContext = Context<typeof rulesCommand.options>;

/** What a view is of, for people and for programs. */
interface Source {
  readonly said: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** Absent: a log, whose times may be of any day. */
  readonly at?: number;
}

export const rules = async (context: RulesContext): Promise<number> => {
  const { values, fail } = context;
  const given = (['run', 'gateway', 'log'] as const).filter((name) => values[name] !== undefined);
  if (given.length > 1) return fail(`\`--${given[0]}\` and \`--${given[1]}\` exclude each other`, 'give one of them');
  let policy: PolicySet | undefined;
  if (values.policy.length > 0) {
    policy = loadPolicy(context, values.policy, Date.now())?.policy;
    if (policy === undefined) return 2;
  }
  return values.log === undefined ? await ofGateway(context, policy) : ofLog(context, values.log, policy);
};

const ofGateway = async (context: RulesContext, policy: PolicySet | undefined): Promise<number> => {
  const { values, fail } = context;
  const chosen = chooseGateway(values, values.runs ?? runsDirectory);
  if (!chosen.ok) return fail(chosen.error.message, chosen.error.help, 1);
  const { title, socket } = chosen.value;
  const answer = await askStatus(socket, '/v1/rules');
  if (!answer.ok) return fail(`${title} cannot be asked: ${answer.error.message}`, answer.error.help, 1);
  const report = parseRulesReport(answer.value);
  if (!report.ok) return fail(report.error.message, report.error.help, 1);
  const { rules: found, default: last, gateway, revision, since, at } = report.value;
  const view = policy === undefined ? viewOf(found, last) : viewOfPolicy(policy, found, last, 'not in force');
  show(context, view, {
    said: `${title}, revision ${revision}, counted since ${instant(since)} UTC (${ago(at - since)})`,
    data: { gateway, revision, since: new Date(since).toISOString(), at: new Date(at).toISOString() },
    at,
  });
  return 0;
};

const ofLog = (context: RulesContext, path: string, policy: PolicySet | undefined): number => {
  const { err, fail } = context;
  const opened = openLog(path);
  if (opened instanceof Error)
    return fail(
      `${quote(path)} cannot be read: ${because(opened)}`,
      'name a log that `cofferdam run --log FILE` wrote',
      1,
    );
  const damage = new Damage();
  const log = countLog(opened, damage);
  damage.report(err);
  if (log.records === 0 && damage.any)
    return fail('there is no flow record in it', 'name a log that `cofferdam run --log FILE` wrote', 1);
  const view = policy === undefined ? viewOf(log.rules, log.default) : viewOfPolicy(policy, log.rules, log.default, '');
  show(context, view, {
    said: `counted in ${counted(log.records, 'record')} of ${sanitise(opened.path)}`,
    data: { log: opened.path, records: log.records, unattributed: log.unattributed },
  });
  if (log.unattributed > 0 && !context.values.json)
    err.line(
      `cofferdam: ${counted(log.unattributed, 'denial')} came too fast to be written one by one: of which rule is not known`,
    );
  return 0;
};

const show = ({ out, values }: RulesContext, view: RulesView, source: Source): void => {
  if (values.json) {
    out.line(JSON.stringify({ ...source.data, ...viewData(view) }, null, 2));
    return;
  }
  for (const line of rulesTable(view, out.style, source.at)) out.line(line);
  out.line(out.style.dim([source.said, unusedText(view)].filter((part) => part !== '').join('; ')));
};
