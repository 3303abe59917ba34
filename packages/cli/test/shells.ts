import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cofferdam } from './cofferdam.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** Why a shell cannot be tested here, or `false`. */
export const shellUnavailable = (shell: Shell): string | false =>
  spawnSync(shell, ['--version']).status === 0 ? false : `no ${shell} here; \`make setup\` installs it`;

/** Bash gives a completion function the words, with `=` as a word of its own. */
const bash = (script: string): string => `
source '${script}'
read -r -a COMP_WORDS <<<"\${1//=/ = }"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
_cofferdam 2>/dev/null
printf '%s\\n' "\${COMPREPLY[@]}"
`;

/** Completion of zsh runs in its line editor only: an interactive zsh on a terminal of its own, whose \`compadd\` also tells. */
const zsh = (script: string): string => `
zmodload zsh/zpty
zpty shell zsh -f -i
say() { zpty -w shell "$1" }
say "unset PS1; stty -echo; fpath=('${dirname(script)}' \\$fpath); autoload -Uz compinit; compinit -u -D"
say 'compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
  local -a fit; builtin compadd -A fit "$@"
  local each; for each in $fit; do print -r -- "OFFER:$each:"; done
  builtin compadd "$@"
}'
say 'tell-end() { print -r -- "<<""END>>"; BUFFER=; zle .accept-line }; zle -N tell-end; bindkey "^B" tell-end; bindkey "^I" complete-word'
say 'print -r -- "<<""READY>>"'
zpty -r shell out '*<<READY>>*'
zpty -n -w shell "$1"$'\\t\\x02'
zpty -r shell out '*<<END>>*'
zpty -d shell
print -r -- "$out" | sed -n 's/.*OFFER:\\(.*\\):.*/\\1/p'
`;

const fish = (script: string): string => `
source '${script}'
complete -C $argv[1]
`;

const drivers: Readonly<Record<Shell, (script: string) => string>> = { bash, zsh, fish };
const plain: Readonly<Record<Shell, readonly string[]>> = { bash: ['--norc'], zsh: ['-f'], fish: ['--no-config'] };

/** What a shell offers for a line that is being typed, with its cursor at the end. */
export type Offers = (line: string) => readonly string[];

/** A shell that knows the command's completion and nothing else of the user's. `env`: as where the line is typed. */
export const shellIn = (shell: Shell, directory: string, env: Readonly<Record<string, string>>): Offers => {
  // In zsh the file has the name of its function.
  const script = join(directory, '_cofferdam');
  const driver = join(directory, `drive.${shell}`);
  writeFileSync(script, cofferdam(['completion', shell]).out);
  writeFileSync(driver, drivers[shell](script));
  return (line) => {
    const { status, signal, stdout, stderr } = spawnSync(shell, [...plain[shell], driver, line], {
      encoding: 'utf8',
      cwd: directory,
      env: { ...process.env, TERM: 'dumb', HOME: directory, ...env },
      timeout: 10_000,
    });
    if (signal !== null || stderr !== '') throw new Error(`${shell} ended with ${signal ?? status}: ${stderr}`);
    return stdout.split('\n').flatMap((offer) => offer.split('\t')[0]!.replace(/^--[^=]*=/, '') || []);
  };
};
