import { defineCommand, jsonOption } from '../command.ts';

export const helpCommand = defineCommand({
  name: 'help',
  summary: 'explain a command, a reason or an error code',
  description: [
    'Every denial and every diagnostic carries a short code, such as `no-rule` or `unknown-key`. `cofferdam help CODE` says what happened, what to do, and shows an example; `cofferdam help codes` lists them all.',
  ],
  operands: { usage: '[CODE|COMMAND]', least: 0, most: 1 },
  options: { json: jsonOption },
  examples: [
    { line: 'cofferdam help dns-not-permitted', what: 'a reason from a denial' },
    { line: 'cofferdam help unknown-key', what: 'an error code from `validate`' },
    { line: 'cofferdam help codes', what: 'all of them' },
  ],
  run: async (context): Promise<number> => (await import('./help.ts')).help(context),
});
