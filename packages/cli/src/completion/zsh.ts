import type { Completes } from '../command.ts';
import type { Completion } from './completion.ts';

/** In single quotes, and with the characters escaped that separate the parts of a specification. */
const text = (words: string): string =>
  words.replaceAll("'", '’').replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', '\\:');

const action = (completes: Completes): string =>
  completes === 'path' ? '_files' : completes === 'none' ? ' ' : `(${completes.join(' ')})`;

const commandCase = ({ name, options, operands, startsProgram }: Completion): string => {
  const specs = options.flatMap(({ name: option, short, summary, takes }) => {
    const about = `[${text(summary)}]${takes === undefined ? '' : `:value:${action(takes)}`}`;
    // `=` and `+`: the value may stand behind the name, or be the next word.
    const long = `'*--${option}${takes === undefined ? '' : '='}${about}'`;
    return short === undefined ? [long] : [long, `'*-${short}${takes === undefined ? '' : '+'}${about}'`];
  });
  const all = [...specs, `'*:operand:${action(operands)}'`].join(' \\\n        ');
  return [`    ${name})`, ...(startsProgram ? [programCase] : []), `      _arguments ${all} ;;`].join('\n');
};

/** Behind `--`, what the other program would be offered by itself. */
const programCase = `      local -i dashes=\${words[(i)--]}
      if (( dashes < CURRENT )); then
        shift dashes words
        (( CURRENT -= dashes ))
        _normal
        return
      fi`;

export const zshScript = (commands: readonly Completion[]): string => `#compdef cofferdam
# zsh completion for cofferdam
_cofferdam() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${commands.map(({ name, summary }) => `      '${name}:${text(summary)}'`).join('\n')}
    )
    local -a options=('--help:show the commands' '--version:show the version')
    _describe command commands
    [[ $PREFIX == -* ]] && _describe -o option options
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
