import { quote } from '@cofferdam/net';
import type { Command, Completes, Context, Option, OptionTable } from '../command.ts';
import { commandNames, loadCommands } from '../command-table.ts';
import { topics } from '../help/topics.ts';
import { didYouMean } from '../nearest.ts';
import { allOptions } from '../options.ts';
import { bashScript } from './bash.ts';
import { fishScript } from './fish.ts';
import { zshScript } from './zsh.ts';

/** What a shell needs to know of one command. */
export interface Completion {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly {
    readonly name: string;
    readonly short?: string;
    readonly summary: string;
    readonly takes?: Completes;
  }[];
  readonly operands: Completes;
  /** What follows `--` is another program. */
  readonly startsProgram: boolean;
}

const takesOf = ({ kind, choices, completes }: Option): Completes | undefined =>
  kind === 'flag' ? undefined : (choices ?? completes ?? 'none');

const completionOf = (command: Command): Completion => ({
  name: command.name,
  summary: command.summary,
  options: Object.entries(allOptions(command)).map(([name, option]) => {
    const takes = takesOf(option);
    return {
      name,
      summary: option.summary,
      ...(option.short !== undefined && { short: option.short }),
      ...(takes !== undefined && { takes }),
    };
  }),
  operands:
    command.name === 'help'
      ? [...commandNames, 'codes', ...topics.map(({ code }) => code)]
      : (command.operands.completes ?? 'none'),
  startsProgram: command.operands.rest !== undefined,
});

const scripts: Readonly<Record<string, (commands: readonly Completion[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export const completion = async (
  { operands, out, fail }: Context<OptionTable>,
  shells: readonly string[],
): Promise<number> => {
  const [shell = ''] = operands;
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
  if (script === undefined) return fail(`no completion for ${quote(shell)}`, didYouMean(shell, shells));
  out.write(script((await loadCommands()).map(completionOf)));
  return 0;
};
