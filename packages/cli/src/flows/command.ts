import { groupings } from '@cofferdam/flows';
import { reasonTable } from '@cofferdam/verdict';
import { defineCommand, jsonOption } from '../command.ts';

export const flowsCommand = defineCommand({
  name: 'flows',
  summary: 'show what agents reached and what was denied',
  description: [
    'Reads flow records, one JSON object on a line, from FILE (`-` is standard input), else from the logs of all live and recent runs. All filters must hold.',
    '`--by` sums up instead, in a bounded amount of memory whatever the length of the log: up to 20,000 rules, destinations or agents are told apart, and what is beyond `--top` is one row.',
    'The table and the compact lines show a connection once, as it ended. Times are in UTC. The records of several runs are sorted by time.',
  ],
  operands: { usage: '[FILE]', least: 0, most: 1, completes: 'path' },
  options: {
    follow: { kind: 'flag', short: 'f', summary: 'go on as records are written, also of runs that begin later' },
    agent: { kind: 'value', value: 'NAME', summary: 'only this agent' },
    verdict: {
      kind: 'value',
      value: 'VERDICT',
      choices: ['permit', 'deny', 'would-deny'],
      summary: 'only these; would-deny is what passed only because it is monitored, and is among permit too',
    },
    rule: { kind: 'value', value: 'RULE', summary: 'only this rule: its name, its id, RULESET/NAME, or `default`' },
    name: { kind: 'value', value: 'NAME', summary: 'only this name or address; `*.example.com` is every name below' },
    reason: {
      kind: 'value',
      value: 'REASON',
      completes: reasonTable.map(({ code }) => code),
      summary: 'only this reason, such as no-rule; also of what would have been denied',
    },
    since: { kind: 'value', value: 'TIME', summary: 'only from then on: `10m`, `2h`, `1d`, or an instant' },
    last: { kind: 'value', short: 'n', value: 'NUMBER', summary: 'only the last so many' },
    by: {
      kind: 'value',
      value: 'WHAT',
      choices: groupings,
      summary: 'a summary: how often, how much, and what was denied, by rule, destination or agent',
    },
    top: {
      kind: 'value',
      value: 'NUMBER',
      summary: 'rows of a summary, the most frequent first; 50 where nothing is said',
    },
    format: {
      kind: 'value',
      value: 'FORMAT',
      choices: ['table', 'json', 'compact'],
      summary: 'table for reading, compact for one line each (with `-f` where nothing is said), json for programs',
    },
    json: { ...jsonOption, summary: 'the same as `--format json`: one record on a line' },
    runs: { kind: 'value', value: 'DIRECTORY', completes: 'path', summary: 'look for runs here' },
  },
  examples: [
    { line: 'cofferdam flows', what: 'everything of the live and recent runs' },
    { line: 'cofferdam flows -f --verdict deny', what: 'watch denials as they happen' },
    { line: 'cofferdam flows --by destination --verdict deny', what: 'what is denied most' },
    { line: 'cofferdam flows --name "*.github.com" --since 1h', what: 'one domain, in the last hour' },
    {
      line: 'cofferdam flows flows.jsonl --json | jq .addressNames',
      what: 'a log that `run --log` wrote, for a program',
    },
  ],
  run: async (context): Promise<number> => (await import('./flows.ts')).flows(context),
});
