import { defineCommand, jsonOption } from '../command.ts';

export const rulesCommand = defineCommand({
  name: 'rules',
  summary: 'show how often each rule decides, and which are never used',
  description: [
    'Asks a live run or gateway for its rules, in the order in which they are tried, and how often each of them decided since the gateway began to count; or counts in a log. HITS are connections and requests that the rule decided; a program that tries again is counted again. WOULD HIT and WOULD DENY are those that it would decide, or deny, with everything enforced, where that is something else than what was done.',
    'DNS questions that no permit names count for the default. Counts follow a rule when its place changes, and its `id`, where it has one, when it is renamed.',
  ],
  operands: { usage: '', least: 0, most: 0 },
  options: {
    run: { kind: 'value', value: 'ID', summary: 'ask this run; needed where several runs and gateways are live' },
    gateway: { kind: 'value', value: 'NAME', summary: 'ask this gateway' },
    log: {
      kind: 'value',
      value: 'FILE',
      completes: 'path',
      summary: 'count in this log instead, which `--log` wrote; `-` is standard input',
    },
    policy: {
      kind: 'list',
      short: 'p',
      value: 'FILE|DIR',
      completes: 'path',
      summary: 'show the rules of this policy: with a log, those too that are not in it',
    },
    json: jsonOption,
    runs: { kind: 'value', value: 'DIRECTORY', completes: 'path', summary: 'look for runs here' },
  },
  examples: [
    { line: 'sudo cofferdam rules', what: 'of the run or gateway that is live' },
    { line: 'sudo cofferdam rules --gateway gateway --json', what: 'for a program' },
    { line: 'cofferdam rules --log flows.jsonl --policy policies/', what: 'which rules were not needed' },
  ],
  run: async (context): Promise<number> => (await import('./rules.ts')).rules(context),
});
