import { defineCommand, jsonOption } from '../command.ts';
import { dnsOption } from '../dns-mode.ts';

export const replayCommand = defineCommand({
  name: 'replay',
  summary: 'say what a changed policy would have done with traffic that was recorded',
  description: [
    'Reads flow records, one JSON object on a line, and asks the policy about each: which connections, requests and DNS questions that passed it would deny, and which that were denied it would permit. Nothing is sent. A monitored rule counts as enforced with `--promote`, so that what promoting it does is seen before it is done.',
    'What a record does not tell is not guessed: where the policy asks for something that was never read, the answer is `unknown`. Each record is judged with its own agent, at its own time. A connection that began without its end in the log is judged by its start; what a rule with `log: none` decided is not in it.',
  ],
  operands: { usage: 'LOG…', least: 1, completes: 'path' },
  options: {
    policy: { kind: 'list', short: 'p', value: 'FILE|DIR', completes: 'path', summary: 'the changed policy' },
    promote: {
      kind: 'list',
      value: 'RULE',
      summary: 'treat this monitored rule as enforced: its name, its id or RULESET/NAME; may be given again',
    },
    'promote-containment': {
      kind: 'list',
      value: 'GROUP',
      summary: 'treat the monitored containment of this SmartGroup as enforced; may be given again',
    },
    'promote-all': { kind: 'flag', summary: 'treat every monitored rule and containment as enforced' },
    dns: dnsOption('the mode of the gateway that recorded; synthetic where nothing is said'),
    top: { kind: 'value', value: 'NUMBER', summary: 'show so many lines of changes; 50 where nothing is said' },
    json: jsonOption,
  },
  examples: [
    { line: 'cofferdam replay --policy policies/ flows.jsonl', what: 'what would the changed files do to that day?' },
    {
      line: 'cofferdam replay -p policies/ --promote coding-agent/code flows.jsonl',
      what: 'what would enforcing this rule do?',
    },
    {
      line: 'cofferdam replay -p policies/ --promote-all --json flows.jsonl | jq .counts',
      what: 'and enforcing everything, for a program',
    },
    {
      line: 'cofferdam replay -p policies/ --dns track flows.jsonl',
      what: 'of a gateway that ran with `--dns track`',
    },
  ],
  exitCodes: { 0: 'replayed, whatever would change', 1: 'the policy has errors, or a log cannot be read' },
  run: async (context): Promise<number> => (await import('./replay.ts')).replay(context),
});
