/**
 * cli: the `cofferdam` command. Each command is a folder; `main.ts` is the program. It has no rules of its own: what policy means,
 * what a record is and how packets are carried is said by the packages below.
 */
export {
  type Command,
  type Context,
  defineCommand,
  type Example,
  jsonOption,
  type Operands,
  type Option,
  type OptionTable,
} from './command.ts';
export { exitCodesOf, optionMeaning, optionTerm, usageLine } from './command-help.ts';
export { runCommandLine } from './command-line.ts';
export { loadCommand, loadCommands } from './command-table.ts';
export { allOptions } from './options.ts';
export { type Environment, type Output, outputOf } from './output.ts';
export { createRunDirectory, flowsFile, isLiveRun, listRuns, type RunState, runsDirectory } from './run-directory.ts';
