import type { Hint } from '@cofferdam/flows';
import { formatAddress } from '@cofferdam/net';
import type { PolicySet, Prepared } from '@cofferdam/policy';
import type { RuleIndex } from '@cofferdam/verdict';
import type { Output } from '../output.ts';
import { addressWords } from './look-up.ts';
import type { Names } from './names.ts';
import type { Question } from './question.ts';
import type { Outcome } from './stages.ts';

/** One connection, explained. */
export interface Explained extends Names {
  readonly policy: PolicySet;
  readonly prepared: Prepared;
  readonly question: Question;
  readonly agent: string;
  /** Groups that hold the agent; rules about none of them are left out of the text. Undefined: all rules are shown. */
  readonly groups: ReadonlySet<string> | undefined;
  readonly outcome: Outcome;
  readonly hint: Hint | undefined;
  /** A rule that is outside its hours now and would permit it: when they begin. */
  readonly later?: { readonly rule: RuleIndex; readonly at: number };
}

export const ruleName = ({ prepared }: Explained, index: RuleIndex): string => {
  const rule = index === 'default' ? undefined : prepared.rules[index];
  return rule === undefined ? 'default' : `${rule.ruleset.name}/${rule.rule.name}`;
};

export const destinationText = ({ question, outcome }: Explained & { question: { receiver?: string } }): string => {
  const { target, port } = question;
  const host = target.name ?? question.receiver ?? formatAddress(target.address ?? outcome.facts.destination);
  if (port === undefined) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
};

/** An address that was only assumed is not shown as if it were one of the name's. */
export const sayAddress = ({ found, claimed, policy }: Explained, text: string): string =>
  [found, claimed].reduce(
    (said, each) =>
      each?.assumed === true ? said.replaceAll(formatAddress(each.address), addressWords(policy, each.address)) : said,
    text,
  );

/** Columns for text behind a margin. Lines in a pipe are for grep, so they are not broken. */
export const roomBehind = (margin: number, { isTerminal, width }: Output): number =>
  isTerminal ? Math.max(40, Math.min(width, 140) - margin) : Number.POSITIVE_INFINITY;
