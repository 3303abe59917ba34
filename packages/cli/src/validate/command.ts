import { defineCommand, jsonOption } from '../command.ts';
import { dnsOption } from '../dns-mode.ts';

export const validateCommand = defineCommand({
  name: 'validate',
  summary: 'check policy files, all errors at once',
  description: [
    'Reads every file as one set of policy, as `run` would, and reports what is wrong with file, line, column and a help line. A directory stands for every `*.yaml`, `*.yml` and `*.json` below it that is not hidden; `-` is standard input.',
    'Errors make a set invalid. Warnings are about what is valid and probably not meant: rules that can never decide, wildcards over shared hosting, rules about to expire. `cofferdam help CODE` explains any code.',
  ],
  operands: { usage: 'PATH…', least: 1, completes: 'path' },
  options: {
    format: {
      kind: 'value',
      value: 'FORMAT',
      choices: ['text', 'json', 'sarif'],
      summary: 'text for people, json for programs, sarif for code scanning',
    },
    json: { ...jsonOption, summary: 'the same as `--format json`' },
    dns: dnsOption('warn also of rules that can never match in this mode of `run` and `gateway`'),
    strict: { kind: 'flag', summary: 'let warnings count as errors' },
  },
  examples: [
    { line: 'cofferdam validate policy.yaml', what: 'check one file' },
    { line: 'cofferdam validate policies/ --strict', what: 'check a directory in continuous integration' },
    { line: 'cofferdam validate policies/ --format sarif > cofferdam.sarif', what: 'annotate pull requests' },
    { line: 'cofferdam validate policies/ --dns track', what: 'before a gateway is started with `--dns track`' },
    { line: 'cofferdam help unknown-key', what: 'learn more about a code' },
  ],
  exitCodes: { 0: 'the set is valid', 1: 'it has errors, or warnings with `--strict`' },
  run: async (context): Promise<number> => (await import('./validate.ts')).validate(context),
});
