import { quote } from '@cofferdam/net';
import type { Context } from './command.ts';
import { commandHelp, overview } from './command-help.ts';
import { commandNames, loadCommand, loadCommands } from './command-table.ts';
import { didYouMean } from './nearest.ts';
import { checkOperands, parseOptions } from './options.ts';
import type { Output } from './output.ts';
import { version } from './version.ts';

/** `cofferdam: what is wrong`, then `help: what would be right`. */
const failTo =
  (err: Output): Context['fail'] =>
  (message, help, exitCode = 2) => {
    err.line(`${err.style.bold(err.style.red('cofferdam'))}: ${message}`);
    if (help !== undefined && help !== '') err.line(`${err.style.bold('help')}: ${help}`);
    return exitCode;
  };

/** Runs one command line (without the program's name) and gives its exit code. */
export const runCommandLine = async (words: readonly string[], out: Output, err: Output): Promise<number> => {
  const fail = failTo(err);
  const [first, ...others] = words;
  if (first === undefined) {
    err.write(overview(await loadCommands(), version, err.width, err.style));
    return 2;
  }
  if (first === '--version' || first === '-V') {
    out.line(`cofferdam ${version}`);
    return 0;
  }
  if (first === '--help' || first === '-h') {
    out.write(overview(await loadCommands(), version, out.width, out.style));
    return 0;
  }
  if (first.startsWith('-')) {
    const known = ['--help', '--version'];
    return fail(`no option ${quote(first)} before a command`, didYouMean(first, known, 'see `cofferdam --help`'));
  }
  const command = await loadCommand(first);
  if (command === undefined) {
    return fail(
      `no command ${quote(first)}`,
      didYouMean(first, [...commandNames, '--version'], `commands: ${commandNames.join(', ')}`),
    );
  }
  const parsed = parseOptions(command, others);
  // Somebody who asks for help gets it, whatever else is on the line.
  if (asksForHelp(others)) {
    out.write(commandHelp(command, out.width, out.style));
    return 0;
  }
  if (!parsed.ok) return fail(parsed.error.message, parsed.error.help);
  const checked = checkOperands(command, parsed.value);
  if (!checked.ok) return fail(checked.error.message, checked.error.help);
  return await command.run({ ...parsed.value, values: parsed.value.values as never, out, err, fail });
};

const asksForHelp = (words: readonly string[]): boolean => {
  const end = words.indexOf('--');
  return words.slice(0, end === -1 ? undefined : end).some((word) => word === '--help' || word === '-h');
};
