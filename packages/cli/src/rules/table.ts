import { type RuleUse, sanitise } from '@cofferdam/flows';
import type { Style } from '../style.ts';
import { counted } from '../text.ts';
import { tableLines } from '../text-table.ts';
import type { RulesView, ShownRule } from './view.ts';

/** `12 s ago`, `3 min ago`. */
export const ago = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
};

export const instant = (at: number): string => new Date(at).toISOString().replace('T', ' ').slice(0, 19);

const hits = ({ permitted, denied }: RuleUse): number => permitted + denied;
const wouldHit = ({ wouldPermit, wouldDeny }: RuleUse): number => wouldPermit + wouldDeny;

/** A rule that could have been hit and never was, nor would have been. */
const isUnused = ({ use, mode, remark }: ShownRule): boolean =>
  mode !== 'disabled' && remark === '' && hits(use) + wouldHit(use) === 0;

/** `1 of 5 rules never used`; empty where all of them were. */
export const unusedText = ({ rules }: RulesView): string => {
  const unused = rules.filter(isUnused).length;
  return unused === 0
    ? ''
    : `${unused} of ${counted(rules.filter(({ remark }) => remark === '').length, 'rule')} never used`;
};

/** `at`: when it was, for times that are said as how long ago; absent: they are said in UTC. */
export const rulesTable = (
  { rules, default: last }: RulesView,
  style: Style,
  at: number | undefined,
): readonly string[] => {
  const uses = [...rules.map(({ use }) => use), last];
  const cells = (of: (rule: ShownRule) => string, ofDefault: string): readonly string[] => [
    ...rules.map(of),
    ofDefault,
  ];
  const number = (value: (use: RuleUse) => number): readonly string[] => uses.map((use) => String(value(use)));
  const isMonitored = rules.some(({ mode }) => mode === 'monitor') || uses.some((use) => wouldHit(use) > 0);
  const when = ({ last: time }: RuleUse): string =>
    time === undefined ? 'never' : at === undefined ? instant(time) : ago(at - time);
  const [title = '', ...lines] = tableLines([
    { title: 'TIER', cells: cells(({ rule }) => sanitise(rule.tier), '') },
    { title: 'RULE', cells: cells(({ rule }) => sanitise(`${rule.ruleset}/${rule.name}`), 'default') },
    {
      title: 'ACTION',
      cells: cells(({ action }) => action ?? '', rules.some(({ action }) => action) ? 'deny' : ''),
      optional: true,
    },
    { title: 'MODE', cells: cells(({ mode }) => mode ?? '', ''), optional: true },
    { title: 'HITS', cells: number(hits), right: true },
    { title: 'DENIED', cells: number(({ denied }) => denied), right: true },
    ...(isMonitored
      ? [
          { title: 'WOULD HIT', cells: number(wouldHit), right: true },
          { title: 'WOULD DENY', cells: number(({ wouldDeny }) => wouldDeny), right: true },
        ]
      : []),
    { title: at === undefined ? 'LAST HIT (UTC)' : 'LAST HIT', cells: uses.map(when) },
    { title: 'REMARK', cells: cells(({ remark }) => remark, ''), optional: true },
  ]);
  return [
    style.bold(title),
    ...lines.map((line, i) => (rules[i] !== undefined && isUnused(rules[i]) ? style.yellow(line) : line)),
  ];
};
