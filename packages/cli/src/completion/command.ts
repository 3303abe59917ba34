import { defineCommand } from '../command.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

export const completionCommand = defineCommand({
  name: 'completion',
  summary: 'print completion for a shell',
  operands: { usage: 'SHELL', least: 1, most: 1, completes: shells },
  options: {},
  examples: [
    { line: 'source <(cofferdam completion bash)', what: 'in this shell; put it in ~/.bashrc for every one' },
    { line: 'cofferdam completion zsh > ~/.zfunc/_cofferdam', what: 'for zsh, where ~/.zfunc is in fpath' },
    { line: 'cofferdam completion fish > ~/.config/fish/completions/cofferdam.fish', what: 'for fish' },
  ],
  run: async (context): Promise<number> => (await import('./completion.ts')).completion(context, shells),
});
