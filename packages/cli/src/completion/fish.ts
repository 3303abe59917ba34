import type { Completes } from '../command.ts';
import type { Completion } from './completion.ts';

const text = (words: string): string => `'${words.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

const argument = (completes: Completes): string =>
  completes === 'path' ? '-r -F' : completes === 'none' ? '-x' : `-x -a ${text(completes.join(' '))}`;

const commandLines = ({ name, options, operands, startsProgram }: Completion): readonly string[] => {
  const within = `__cofferdam_in ${name}`;
  const when = `complete -c cofferdam -n '${within}${startsProgram ? '; and not __cofferdam_program' : ''}'`;
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
    ...(startsProgram
      ? [`complete -c cofferdam -n '${within}; and __cofferdam_program' -x -a '(__cofferdam_rest)'`]
      : []),
  ];
};

/** `__fish_seen_subcommand_from` would take any word for the command: `help run`, `explain --from run`. */
const functions = [
  'function __cofferdam_in',
  '  set -l words (commandline -opc)',
  '  test (count $words) -ge 2; and test "$words[2]" = $argv[1]',
  'end',
  'function __cofferdam_program',
  '  contains -- -- (commandline -opc)',
  'end',
  'function __cofferdam_rest',
  '  set -l words (commandline -opc)',
  '  set -l current (commandline -ct)',
  '  set -e words[1..(contains -i -- -- $words)]',
  '  complete -C (string join " " -- (string escape -- $words) "$current")',
  'end',
];

export const fishScript = (commands: readonly Completion[]): string =>
  [
    '# fish completion for cofferdam',
    ...functions,
    'complete -c cofferdam -f',
    "complete -c cofferdam -n __fish_use_subcommand -l help -s h -d 'show the commands'",
    "complete -c cofferdam -n __fish_use_subcommand -l version -s V -d 'show the version'",
    ...commands.map(
      ({ name, summary }) => `complete -c cofferdam -n __fish_use_subcommand -a ${name} -d ${text(summary)}`,
    ),
    ...commands.flatMap(commandLines),
    '',
  ].join('\n');
