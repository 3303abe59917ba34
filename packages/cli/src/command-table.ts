import { type Command, defineCommand } from './command.ts';

/**
 * Every command, in the order in which help shows them. A command is loaded when it is asked for, so that `validate` does not wait for
 * what `run` needs, and works where that cannot be loaded.
 */
const loaders: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => await loadRun(),
  validate: async () => (await import('./validate/command.ts')).validateCommand,
  explain: async () => (await import('./explain/command.ts')).explainCommand,
  flows: async () => (await import('./flows/command.ts')).flowsCommand,
  doctor: async () => (await import('./doctor/command.ts')).doctorCommand,
  help: async () => (await import('./help/command.ts')).helpCommand,
  schema: async () => (await import('./schema/command.ts')).schemaCommand,
  completion: async () => (await import('./completion/command.ts')).completionCommand,
};

export const commandNames: readonly string[] = Object.keys(loaders);

export const loadCommand = async (name: string): Promise<Command | undefined> =>
  Object.hasOwn(loaders, name) ? await loaders[name]!() : undefined;

export const loadCommands = async (): Promise<readonly Command[]> =>
  await Promise.all(Object.values(loaders).map((load) => load()));

/** The specifier is not a literal, so that the rest is checked and works without what `run` is made of. */
const runModule = './run/command.ts';

const loadRun = async (): Promise<Command> => {
  try {
    return ((await import(runModule)) as { readonly runCommand: Command }).runCommand;
  } catch (error) {
    return unavailable(error instanceof Error ? error.message : String(error));
  }
};

/** Stands for `run` where this machine lacks a library it is made of. */
const unavailable = (cause: string): Command =>
  defineCommand({
    name: 'run',
    summary: 'run a command whose only way out is what the policy names',
    operands: { usage: '', least: 0, rest: 'COMMAND' },
    options: {},
    examples: [{ line: 'sudo cofferdam doctor', what: 'find out what is missing' }],
    run: async (context) =>
      context.fail(`\`run\` cannot be loaded here: ${cause}`, 'run `cofferdam doctor`: it says what is missing', 1),
  });
