import type { Hint } from '@cofferdam/flows';
import { type Address, type DomainName, formatAddress } from '@cofferdam/net';
import { type ExplainStep, nextChanges, type Rule } from '@cofferdam/policy';
import { reasonEntry } from '@cofferdam/verdict';
import type { Output } from '../output.ts';
import type { Style } from '../style.ts';
import { counted, indent, wrap } from '../text.ts';
import { wallClock } from '../time.ts';
import { destinationText, type Explained, roomBehind, ruleName, sayAddress } from './explained.ts';
import { addressWords } from './look-up.ts';
import { stagesText } from './render-stages.ts';

const dayMs = 86_400_000;

/** Why a rule is out of the walk, with what the clocks of its zone show. */
const inactiveText = (step: ExplainStep, rule: Rule | undefined, at: number): string => {
  if (rule?.expires !== undefined && at >= rule.expires)
    return `${step.because} (${new Date(rule.expires).toISOString()})`;
  if (rule?.schedule === undefined || rule.mode === 'disabled') return step.because;
  const { timezone } = rule.schedule;
  const opens = nextChanges(rule.schedule, at, at + 8 * dayMs)[0];
  const next = opens === undefined ? '' : `; it opens ${wallClock(opens, timezone)} there`;
  return `${step.because}: in ${timezone} it is ${wallClock(at, timezone)}${next}`;
};

const because = (explained: Explained, step: ExplainStep): string => {
  const { prepared, outcome } = explained;
  const rule = step.index === 'default' ? undefined : prepared.rules[step.index]?.rule;
  return sayAddress(explained, step.outcome === 'inactive' ? inactiveText(step, rule, outcome.facts.at) : step.because);
};

const headline = (explained: Explained): string => {
  const { outcome, agent, question } = explained;
  const { verdict, reason, rule } = outcome;
  const by =
    reason === 'rule' || reason === 'rule-denies'
      ? `, by rule \`${ruleName(explained, rule)}\``
      : rule === 'default'
        ? `: ${reasonEntry(reason).summary}`
        : `: ${reasonEntry(reason).summary}, at rule \`${ruleName(explained, rule)}\``;
  const what = `${agent} → ${question.protocol} ${destinationText(explained)}`;
  return `${verdict.toUpperCase()}  ${what}${by}  [${reason}]`;
};

const outcomeWords: Readonly<Record<ExplainStep['outcome'], string>> = {
  'no-match': 'no match',
  waits: 'waits',
  monitored: 'monitored',
  inactive: 'inactive',
  decides: 'DECIDES',
};

const paintOutcome = (style: Style, explained: Explained, { outcome }: ExplainStep): string => {
  const word = outcomeWords[outcome].padEnd(9);
  if (outcome === 'decides') return explained.outcome.verdict === 'permit' ? style.green(word) : style.red(word);
  return outcome === 'waits' || outcome === 'monitored' ? style.yellow(word) : style.dim(word);
};

const stepName = (step: ExplainStep): string =>
  step.ruleset === undefined ? step.rule : `${step.ruleset}/${step.rule}`;

const walkText = (explained: Explained, out: Output): string => {
  const isAbout = ({ index }: ExplainStep): boolean => {
    const from = index === 'default' ? undefined : explained.prepared.rules[index]?.rule.from;
    return explained.groups === undefined || from === undefined || from.some((name) => explained.groups?.has(name));
  };
  const steps = explained.outcome.steps.filter(isAbout);
  const others = explained.outcome.steps.length - steps.length;
  const widest = Math.min(40, Math.max(0, ...steps.map((step) => stepName(step).length)));
  const margin = ' '.repeat(2 + 11 + widest + 2);
  const room = roomBehind(margin.length, out);
  const left = `${counted(others, 'rule')} about other agents left out (\`--all\` shows them)`;
  const tail = others === 0 ? '' : `  ${out.style.dim(left)}\n`;
  const lines = steps
    .map((step) => {
      const [first = '', ...more] = wrap(because(explained, step), room);
      const line = `  ${paintOutcome(out.style, explained, step)}  ${stepName(step).padEnd(widest)}  ${first}\n`;
      return line + more.map((text) => `${margin}${text}\n`).join('');
    })
    .join('');
  return lines + tail;
};

const assumptions = (explained: Explained): readonly string[] => {
  const { question, found, claimed, policy, outcome } = explained;
  const reachedBytes = outcome.stages.some(({ stage }) => stage !== 'look-up' && stage !== 'first packet');
  const known = question.assumed.filter((text) => reachedBytes || !text.startsWith('the client'));
  const resolves = (name: DomainName | undefined, address: Address): string =>
    `\`${name}\` resolves to ${addressWords(policy, address)}${name === question.target.name ? ' (`--address IP`)' : ''}`;
  const isOther = claimed?.resolved === true && claimed.name !== question.target.name && reachedBytes;
  return [
    ...known,
    ...(found?.assumed === true && outcome.reason !== 'dns-not-permitted'
      ? [resolves(question.target.name, found.address)]
      : []),
    ...(isOther && claimed.assumed ? [resolves(claimed.name, claimed.address)] : []),
  ];
};

const hintText = (hint: Hint, style: Style, lifted: boolean): string => {
  const title = lifted ? 'To permit it when containment is enforced' : 'To permit it';
  if (hint.kind === 'advice') return `${style.bold('What to do')}\n  ${hint.note}\n`;
  const documents = hint.documents === '' ? '' : `${indent(hint.documents.trimEnd(), '  ')}\n`;
  return [
    `${style.bold(title)}, ${documents === '' ? 'add to the rules of a ruleset' : 'add'}\n`,
    documents,
    documents === '' ? '' : 'and to the rules of a ruleset\n',
    `${indent(hint.rule.trimEnd(), '  ')}\n`,
    hint.note === '' ? '' : `  # ${hint.note}\n`,
  ].join('');
};

/** A rule outside its hours would permit it: then waiting is an answer too. */
const laterText = (explained: Explained): string | undefined => {
  const { later, prepared } = explained;
  const rule = later === undefined || later.rule === 'default' ? undefined : prepared.rules[later.rule]?.rule;
  if (later === undefined || rule?.schedule === undefined) return undefined;
  const { timezone } = rule.schedule;
  return `\`${ruleName(explained, later.rule)}\` permits it from ${wallClock(later.at, timezone)} (${timezone}) on.`;
};

/** What promoting everything would change; nothing where it would change nothing. */
const wouldBeText = (explained: Explained): string | undefined => {
  const { wouldBe, verdict, rule, reason } = explained.outcome;
  if (wouldBe === undefined) return undefined;
  const refused = explained.found?.enforced;
  if (refused !== undefined) {
    return `With every monitored rule and the containment enforced its look-up would be refused, by the default [${refused}].`;
  }
  if (wouldBe === 'unknown') {
    return reason === 'would-need-opening'
      ? undefined
      : 'What it would be with every monitored rule and the containment enforced depends on facts that are not read now.';
  }
  if (wouldBe.verdict === verdict && wouldBe.rule === rule) return undefined;
  const by = wouldBe.rule === 'default' ? 'the default' : `\`${ruleName(explained, wouldBe.rule)}\``;
  const still = wouldBe.verdict === verdict ? 'still be' : 'be';
  const word = wouldBe.verdict === 'permit' ? 'permitted' : 'denied';
  return `With every monitored rule and the containment enforced it would ${still} ${word}, by ${by} [${wouldBe.reason}].`;
};

/** The DNS mode, where it is not the usual one. */
const otherMode = ({ prepared }: Explained): string | undefined =>
  prepared.context.dnsMode === 'synthetic' ? undefined : prepared.context.dnsMode;

export const explanationText = (explained: Explained, out: Output): string => {
  const { style } = out;
  const { outcome, hint } = explained;
  const paint = outcome.verdict === 'permit' ? style.green : style.red;
  const assumed = assumptions(explained);
  const mode = otherMode(explained);
  const notes = [wouldBeText(explained), laterText(explained)].filter((text) => text !== undefined);
  return [
    `${style.bold(paint(headline(explained)))}\n`,
    `${style.bold(mode === undefined ? 'What happens' : `What happens with \`--dns ${mode}\``)}\n${stagesText(explained, out)}`,
    `${style.bold('The rules, in order')}\n${walkText(explained, out)}`,
    ...notes.map((text) => `${text}\n`),
    ...(assumed.length === 0 ? [] : [`${style.bold('Assumed')}\n${assumed.map((text) => `  ${text}\n`).join('')}`]),
    ...(hint === undefined ? [] : [hintText(hint, style, outcome.verdict === 'permit')]),
  ].join('\n');
};

export const explanationData = (explained: Explained): object => {
  const { outcome, question, agent, found, hint } = explained;
  const { verdict, reason, rule, path, stages, steps, wouldBe } = outcome;
  const dns = otherMode(explained);
  return {
    verdict,
    reason,
    rule: ruleName(explained, rule),
    path,
    ...(dns !== undefined && { dns }),
    agent,
    protocol: question.protocol,
    destination: destinationText(explained),
    at: new Date(question.at).toISOString(),
    ...(found !== undefined && { address: found.assumed ? null : formatAddress(found.address) }),
    assumed: assumptions(explained),
    stages: stages.map((result) => ({
      stage: result.stage,
      result: result.kind,
      rule: ruleName(explained, result.rule),
      ...(result.reason !== undefined && { reason: result.reason }),
    })),
    steps: steps.map((step) => ({
      rule: stepName(step),
      outcome: step.outcome,
      because: because(explained, step),
    })),
    ...(wouldBe !== undefined && {
      wouldBe:
        found?.enforced !== undefined
          ? { verdict: 'deny', rule: 'default', reason: found.enforced }
          : wouldBe === 'unknown'
            ? wouldBe
            : { verdict: wouldBe.verdict, rule: ruleName(explained, wouldBe.rule), reason: wouldBe.reason },
    }),
    ...(explained.later !== undefined && {
      later: { rule: ruleName(explained, explained.later.rule), at: new Date(explained.later.at).toISOString() },
    }),
    ...(hint !== undefined && { hint }),
  };
};
