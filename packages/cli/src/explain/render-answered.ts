import { formatAddress } from '@cofferdam/net';
import type { DnsMode } from '@cofferdam/plan';
import type { Output } from '../output.ts';
import { paragraph } from '../text.ts';
import type { AnsweredHere } from './answered-here.ts';
import type { Question } from './question.ts';

interface Answered {
  readonly question: Question;
  readonly agent: string;
  readonly here: AnsweredHere;
  readonly dnsMode: DnsMode;
}

const destinationText = ({ target: { name, address }, port }: Question): string => {
  const host = name ?? (address === undefined ? '' : formatAddress(address));
  if (port === undefined) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
};

export const answeredText = ({ question, agent, here }: Answered, { style, isTerminal, width }: Output): string => {
  const { verdict, because, note, reason } = here;
  const code = reason === undefined ? '' : `  [${reason}]`;
  const head = `${verdict.toUpperCase()}  ${agent} → ${question.protocol} ${destinationText(question)}: ${because}${code}`;
  const wide = isTerminal ? Math.min(width, 140) : Number.POSITIVE_INFINITY;
  const paint = verdict === 'deny' ? style.red : style.yellow;
  return `${style.bold(paint(head))}\n\n${paragraph(note, wide)}`;
};

/** The keys of an explanation that make sense without a walk. */
export const answeredData = ({ question, agent, here, dnsMode }: Answered): object => ({
  verdict: here.verdict,
  ...(here.reason !== undefined && { reason: here.reason }),
  because: here.because,
  note: here.note,
  ...(dnsMode !== 'synthetic' && { dns: dnsMode }),
  agent,
  protocol: question.protocol,
  destination: destinationText(question),
  at: new Date(question.at).toISOString(),
  stages: [],
  steps: [],
});
