import type { Completes } from '../command.ts';
import type { Completion } from './completion.ts';

/** In single quotes, and with the characters escaped that separate the parts of a specification. */
const text = (words: string): string =>
  words.replaceAll("'", '’').replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', '\\:');

const action = (completes: Completes): string =>
  completes === 'path' ? '_files' : completes === 'none' ? ' ' : `(${completes.join(' ')})`;

const commandCase = ({ name, options, operands, startsProgram }: Completion): string => {
  const specs = options.flatMap(({ name: option, short, summary, takes }) => {
    const value = takes === undefined ? '' : `:value:${action(takes)}`;
    const names = [`--${option}`, ...(short === undefined ? [] : [`-${short}`])];
    return names.map((each) => `'*${each}[${text(summary)}]${value}'`);
  });
  const rest = startsProgram ? "'*::command:_normal'" : `'*:operand:${action(operands)}'`;
  return `    ${name})\n      _arguments ${[...specs, rest].join(' \\\n        ')} ;;`;
};

export const zshScript = (commands: readonly Completion[]): string => `#compdef cofferdam
# zsh completion for cofferdam
_cofferdam() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${commands.map(({ name, summary }) => `      '${name}:${text(summary)}'`).join('\n')}
    )
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${commands.map(commandCase).join('\n')}
  esac
}
if [ "$funcstack[1]" = _cofferdam ]; then _cofferdam "$@"; else compdef _cofferdam cofferdam; fi
`;
