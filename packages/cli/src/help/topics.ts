import { diagnosticTable } from '@cofferdam/policy';
import { reasonTable } from '@cofferdam/verdict';
import { fileProblemTable } from '../file-problem.ts';
import { reasonExamples } from './reason-examples.ts';

/** One code of any table, in the same words. Empty text: nothing to say. */
export interface Topic {
  readonly code: string;
  readonly what: 'reason' | 'error' | 'warning';
  /** `permit` or `deny`, for reasons. */
  readonly verdict?: 'permit' | 'deny';
  readonly number?: number;
  readonly title: string;
  readonly explanation: string;
  readonly todo: string;
  readonly example: string;
}

const looksLikeYaml = (text: string): boolean => /^[\w-]+:/.test(text) || text.includes('\n');

const diagnosticTopics = (
  entries: readonly { code: string; title: string; explanation: string; fix: string; severity?: 'error' | 'warning' }[],
): readonly Topic[] =>
  entries.map(({ code, title, explanation, fix, severity = 'error' }) => ({
    code,
    what: severity,
    title,
    explanation,
    todo: looksLikeYaml(fix) ? '' : fix,
    example: looksLikeYaml(fix) ? fix : '',
  }));

const stages = {
  packet: 'at the first packet',
  name: 'once the name the client asks for is read',
  request: 'once a request is read',
  any: 'at any stage',
} as const;

const capital = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;

/** Every code that a record, a denial or a diagnostic can carry. */
export const topics: readonly Topic[] = [
  ...reasonTable.map(
    ({ code, number, verdict, stage, summary, help }): Topic => ({
      code,
      what: 'reason',
      verdict,
      number,
      title: summary,
      explanation: `${capital(summary)}. Decided ${stages[stage]}; the verdict is ${verdict}.`,
      todo: help === '' ? '' : `${capital(help)}.`,
      example: reasonExamples[code] ?? '',
    }),
  ),
  ...diagnosticTopics(diagnosticTable),
  ...diagnosticTopics(fileProblemTable),
];
