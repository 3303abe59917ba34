/** Writes docs/cli.md from the command table. `--check` only compares. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  allOptions,
  type Command,
  exitCodesOf,
  loadCommands,
  optionMeaning,
  optionTerm,
  usageLine,
} from '@cofferdam/cli';

const file = fileURLToPath(new URL('../docs/cli.md', import.meta.url));

/** A bar would end the cell. */
const cell = (text: string): string => text.replaceAll('|', '\\|');

const section = (command: Command): string =>
  [
    `## cofferdam ${command.name}`,
    '',
    `${command.summary[0]!.toUpperCase()}${command.summary.slice(1)}.`,
    '',
    '```',
    usageLine(command),
    '```',
    '',
    ...(command.description ?? []).flatMap((text) => [text, '']),
    '| option | meaning |',
    '|---|---|',
    ...Object.entries(allOptions(command)).map(
      ([name, option]) => `| \`${cell(optionTerm(name, option).trim())}\` | ${cell(optionMeaning(option))} |`,
    ),
    '',
    ...(command.examples.length === 0
      ? []
      : ['```sh', ...command.examples.flatMap(({ line, what }) => [`# ${what}`, line]), '```', '']),
    '| exit code | meaning |',
    '|---|---|',
    ...Object.entries(exitCodesOf(command)).map(([code, meaning]) => `| ${code} | ${cell(meaning)} |`),
    '',
  ].join('\n');

export const cliDocument = async (): Promise<string> => {
  const commands = await loadCommands();
  return [
    '# The command line',
    '',
    'Written by `tools/generate-cli-doc.ts` from the command table: do not edit. `cofferdam COMMAND --help` says the same.',
    '',
    'Results go to stdout, everything else to stderr. Colours are used on a terminal only; `NO_COLOR` turns them off there and',
    '`FORCE_COLOR` on elsewhere. `--json` on every command that prints a result is for programs.',
    '',
    ...commands.map(({ name, summary }) => `- [\`${name}\`](#cofferdam-${name}): ${summary}`),
    '',
    ...commands.map(section),
  ].join('\n');
};

if (import.meta.main) {
  const text = await cliDocument();
  if (!process.argv.includes('--check')) writeFileSync(file, text);
  else if (readFileSync(file, 'utf8') !== text) {
    console.error('docs/cli.md is stale: run `node tools/generate-cli-doc.ts`');
    process.exitCode = 1;
  }
}
