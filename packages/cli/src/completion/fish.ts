import type { Completes } from '../command.ts';
import type { Completion } from './completion.ts';

const text = (words: string): string => `'${words.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

const argument = (completes: Completes): string =>
  completes === 'path' ? '-r -F' : completes === 'none' ? '-x' : `-x -a ${text(completes.join(' '))}`;

const commandLines = ({ name, options, operands }: Completion): readonly string[] => {
  const when = `complete -c cofferdam -n '__fish_seen_subcommand_from ${name}'`;
  return [
    ...options.map(({ name: option, short, summary, takes }) =>
      [
        when,
        `-l ${option}`,
        short === undefined ? '' : `-s ${short}`,
        takes === undefined ? '' : argument(takes),
        `-d ${text(summary)}`,
      ]
        .filter((part) => part !== '')
        .join(' '),
    ),
    ...(operands === 'path' ? [`${when} -F`] : operands === 'none' ? [] : [`${when} -a ${text(operands.join(' '))}`]),
  ];
};

export const fishScript = (commands: readonly Completion[]): string =>
  [
    '# fish completion for cofferdam',
    'complete -c cofferdam -f',
    ...commands.map(
      ({ name, summary }) => `complete -c cofferdam -n __fish_use_subcommand -a ${name} -d ${text(summary)}`,
    ),
    ...commands.flatMap(commandLines),
    '',
  ].join('\n');
