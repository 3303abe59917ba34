import { type Command, defineCommand } from './command.ts';

/**
 * Every command, in the order in which help shows them. A command is loaded when it is asked for, so that `validate` does not wait for
 * what `run` needs, and works where that cannot be loaded.
 */
const loaders: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => await loadEnforcer('run', './run/command.ts', 'runCommand'),
  gateway: async () => await loadEnforcer('gateway', './gateway/command.ts', 'gatewayCommand'),
  validate: async () => (await import('./validate/command.ts')).validateCommand,
  explain: async () => (await import('./explain/command.ts')).explainCommand,
  flows: async () => (await import('./flows/command.ts')).flowsCommand,
  rules: async () => (await import('./rules/command.ts')).rulesCommand,
  replay: async () => (await import('./replay/command.ts')).replayCommand,
  ca: async () => (await import('./ca/command.ts')).caCommand,
  helper: async () => await loadEnforcer('helper', './helper/command.ts', 'helperCommand'),
  install: async () => (await import('./install/command.ts')).installCommand,
  uninstall: async () => (await import('./install/uninstall-command.ts')).uninstallCommand,
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

/** The specifier is not a literal, so that the rest is checked and works without the libraries that enforcing is made of. */
const loadEnforcer = async (name: string, module: string, exported: string): Promise<Command> => {
  try {
    return ((await import(module)) as Readonly<Record<string, Command>>)[exported]!;
  } catch (error) {
    return unavailable(name, error instanceof Error ? error.message : String(error));
  }
};

/** Stands for a command where this machine lacks a library it is made of. */
const unavailable = (name: string, cause: string): Command =>
  defineCommand({
    name,
    summary: 'not available on this machine: `cofferdam doctor` says why',
    operands: { usage: '', least: 0, rest: 'COMMAND' },
    options: {},
    examples: [{ line: 'sudo cofferdam doctor', what: 'find out what is missing' }],
    run: async (context) =>
      context.fail(`\`${name}\` cannot be loaded here: ${cause}`, 'run `cofferdam doctor`: it says what is missing', 1),
  });
