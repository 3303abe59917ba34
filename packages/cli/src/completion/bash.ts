import type { Completes } from '../command.ts';
import type { Completion } from './completion.ts';

const fill = (completes: Completes, indent: string): string =>
  completes === 'path'
    ? `${indent}compopt -o filenames 2>/dev/null\n${indent}COMPREPLY=( $(compgen -f -- "$word") )`
    : completes === 'none'
      ? `${indent}COMPREPLY=()`
      : `${indent}COMPREPLY=( $(compgen -W '${completes.join(' ')}' -- "$word") )`;

const commandCase = ({ name, options, operands, startsProgram }: Completion): string => {
  const valued = options.flatMap(({ name: option, short, takes }) =>
    takes === undefined
      ? []
      : [
          `        --${option}${short === undefined ? '' : `|-${short}`})\n${fill(takes, '          ')}\n          return ;;`,
        ],
  );
  const words = options.map((option) => `--${option.name}`).join(' ');
  return [
    `    ${name})`,
    ...(valued.length > 0 ? ['      case "$before" in', ...valued, '      esac'] : []),
    '      if [[ $word == -* ]]; then',
    `        COMPREPLY=( $(compgen -W '${words}' -- "$word") )`,
    '        return',
    '      fi',
    fill(startsProgram ? 'none' : operands, '      '),
    '      return ;;',
  ].join('\n');
};

/** Only builtins of bash: the package `bash-completion` need not be there. */
export const bashScript = (commands: readonly Completion[]): string => `# bash completion for cofferdam
_cofferdam() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} i
  COMPREPLY=()
  # \`--name=value\` arrives as three words.
  if [[ $word == = ]]; then word=; fi
  if [[ $before == = ]]; then before=\${COMP_WORDS[COMP_CWORD-2]}; fi
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=( $(compgen -W '${commands.map(({ name }) => name).join(' ')} --help --version' -- "$word") )
    return
  fi
  case "\${COMP_WORDS[1]}" in
${commands
  .filter(({ startsProgram }) => startsProgram)
  .map(
    ({ name }) => `    ${name})
      for (( i = 2; i < COMP_CWORD; i++ )); do
        if [[ \${COMP_WORDS[i]} == -- ]]; then
          if (( i + 1 == COMP_CWORD )); then COMPREPLY=( $(compgen -c -- "$word") ); else
            compopt -o filenames 2>/dev/null
            COMPREPLY=( $(compgen -f -- "$word") )
          fi
          return
        fi
      done ;;`,
  )
  .join('\n')}
  esac
  case "\${COMP_WORDS[1]}" in
${commands.map(commandCase).join('\n')}
  esac
}
complete -F _cofferdam cofferdam
`;
