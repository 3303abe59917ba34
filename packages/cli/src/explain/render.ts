import type { Hint } from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import { type ExplainStep, nextChanges, type PolicySet, type Prepared, type Rule } from '@cofferdam/policy';
import { type RuleIndex, reasonEntry } from '@cofferdam/verdict';
import type { Output } from '../output.ts';
import type { Style } from '../style.ts';
import { counted, indent, wrap } from '../text.ts';
import { wallClock } from '../time.ts';
import { addressWords, type LookUp } from './look-up.ts';
import type { Question } from './question.ts';
import type { Outcome, StageName, StageResult } from './stages.ts';

export interface Explained {
  readonly policy: PolicySet;
  readonly prepared: Prepared;
  readonly question: Question;
  readonly agent: string;
  /** Groups that hold the agent; rules about none of them are left out of the text. Undefined: all rules are shown. */
  readonly groups: ReadonlySet<string> | undefined;
  readonly outcome: Outcome;
  readonly found?: LookUp;
  readonly hint: Hint | undefined;
  /** A rule that is outside its hours now and would permit it: when they begin. */
  readonly later?: { readonly rule: RuleIndex; readonly at: number };
}

const ruleName = ({ prepared }: Explained, index: RuleIndex): string => {
  const rule = index === 'default' ? undefined : prepared.rules[index];
  return rule === undefined ? 'default' : `${rule.ruleset.name}/${rule.rule.name}`;
};

const destinationText = ({ question, outcome }: Explained & { question: { receiver?: string } }): string => {
  const { target, port } = question;
  const host = target.name ?? question.receiver ?? formatAddress(outcome.facts.destination);
  if (port === undefined) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
};

/** An address that was only assumed is not shown as if it were one of the name's. */
const sayAddress = ({ found, policy }: Explained, text: string): string =>
  found?.assumed === true ? text.replaceAll(formatAddress(found.address), addressWords(policy, found.address)) : text;

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

const stageTitles: Readonly<Record<StageName, string>> = {
  'look-up': 'DNS look-up',
  'first packet': 'first packet',
  ClientHello: 'TLS ClientHello',
  'first bytes': 'first bytes',
  'HTTP request': 'HTTP request',
};

/** What became known at a stage. */
const learnt = (explained: Explained, stage: StageName): string => {
  const { question, outcome } = explained;
  const { speech, request, mcp } = question;
  switch (stage) {
    case 'look-up':
      return `the agent asks for \`${question.target.name}\``;
    case 'first packet':
      return question.target.name === undefined
        ? 'addresses, protocol and port are known'
        : 'name, protocol and port are known';
    case 'ClientHello':
      if (speech.kind !== 'tls' || speech.claimed.state === 'absent')
        return 'the client speaks TLS and names no server';
      return speech.claimed.state === 'known'
        ? `the client asks for \`${speech.claimed.value}\``
        : 'the client asks for something that is no name';
    case 'first bytes':
      return speech.kind === 'http' ? 'the client sends plain HTTP, which nobody reads here' : 'neither TLS nor HTTP';
    case 'HTTP request': {
      if (outcome.reason === 'would-need-opening') return 'it stays inside TLS';
      const call = mcp === undefined ? '' : `, MCP ${mcp.method}${mcp.tool === undefined ? '' : ` ${mcp.tool}`}`;
      return request === undefined ? 'it is read' : `${request.method} ${request.path}${call}`;
    }
  }
};

const saidAt = (explained: Explained, result: StageResult): string => {
  const { kind, stage, rule, reason } = result;
  const name = ruleName(explained, rule);
  switch (kind) {
    case 'answered': {
      const enforced = explained.found?.enforced;
      return enforced === undefined
        ? 'answered: a permit covers the name'
        : `answered, since monitoring answers every name; enforced it is refused: \`${enforced}\``;
    }
    case 'refused':
      return `refused: ${reasonEntry(reason!).summary}`;
    case 'undecided': {
      const holds =
        explained.outcome.path === 'proxy'
          ? 'the proxy holds the connection'
          : stage === 'first packet'
            ? 'the connection opens, but no data passes'
            : 'no data passes';
      return `undecided: \`${name}\` has to see more; ${holds}`;
    }
    default: {
      const verdict = kind === 'permit' ? 'permitted' : 'denied';
      if (reason === 'rule' || reason === 'rule-denies') return `${verdict} by \`${name}\``;
      const at = rule === 'default' ? '' : ` (at \`${name}\`)`;
      return `${verdict}: ${reasonEntry(reason!).summary}${at}`;
    }
  }
};

/** Columns for text behind a margin. Lines in a pipe are for grep, so they are not broken. */
const roomBehind = (margin: number, { isTerminal, width }: Output): number =>
  isTerminal ? Math.max(40, Math.min(width, 140) - margin) : Number.POSITIVE_INFINITY;

const stagesText = (explained: Explained, out: Output): string => {
  const { stages } = explained.outcome;
  const widest = Math.max(...stages.map(({ stage }) => stageTitles[stage].length));
  const margin = ' '.repeat(widest + 7);
  return stages
    .map((result, i) => {
      const title = stageTitles[result.stage].padEnd(widest);
      const said = `${learnt(explained, result.stage)} → ${saidAt(explained, result)}`;
      const [first = '', ...more] = wrap(said, roomBehind(margin.length, out));
      return `  ${i + 1}. ${title}  ${first}\n${more.map((text) => `${margin}${text}\n`).join('')}`;
    })
    .join('');
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
  const { question, found, policy, outcome } = explained;
  const reachedBytes = outcome.stages.some(({ stage }) => stage !== 'look-up' && stage !== 'first packet');
  const known = question.assumed.filter((text) => reachedBytes || !text.startsWith('the client'));
  if (found?.assumed !== true || outcome.reason === 'dns-not-permitted') return known;
  return [
    ...known,
    `\`${question.target.name}\` resolves to ${addressWords(policy, found.address)} (\`--address IP\`)`,
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

export const explanationText = (explained: Explained, out: Output): string => {
  const { style } = out;
  const { outcome, hint } = explained;
  const paint = outcome.verdict === 'permit' ? style.green : style.red;
  const assumed = assumptions(explained);
  const notes = [wouldBeText(explained), laterText(explained)].filter((text) => text !== undefined);
  return [
    `${style.bold(paint(headline(explained)))}\n`,
    `${style.bold('What happens')}\n${stagesText(explained, out)}`,
    `${style.bold('The rules, in order')}\n${walkText(explained, out)}`,
    ...notes.map((text) => `${text}\n`),
    ...(assumed.length === 0 ? [] : [`${style.bold('Assumed')}\n${assumed.map((text) => `  ${text}\n`).join('')}`]),
    ...(hint === undefined ? [] : [hintText(hint, style, outcome.verdict === 'permit')]),
  ].join('\n');
};

export const explanationData = (explained: Explained): object => {
  const { outcome, question, agent, found, hint } = explained;
  const { verdict, reason, rule, path, stages, steps, wouldBe } = outcome;
  return {
    verdict,
    reason,
    rule: ruleName(explained, rule),
    path,
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
