import type { Output } from './output.ts';

/** How many times an option is given and what follows it: nothing, one value, or one value each of several times. */
export type OptionKind = 'flag' | 'value' | 'list';

/** What an operand or a value stands for, so that a shell can complete it. `none`: nothing it could know. */
export type Completes = 'path' | 'none' | readonly string[];

export interface Option {
  readonly kind: OptionKind;
  /** One letter. */
  readonly short?: string;
  /** What the help calls the value, in capitals; absent on a flag. */
  readonly value?: string;
  /** The only values that are accepted. */
  readonly choices?: readonly string[];
  readonly completes?: Completes;
  /** One line, lower case, no full stop. */
  readonly summary: string;
}

export type OptionTable = Readonly<Record<string, Option>>;

export type OptionValue<O extends Option> = O['kind'] extends 'flag'
  ? boolean
  : O['kind'] extends 'list'
    ? readonly string[]
    : string | undefined;

/** A flag that is not given is false, a list empty, a value undefined. */
export type OptionValues<T extends OptionTable> = { readonly [K in keyof T]: OptionValue<T[K]> };

/** The words of a command line that are no options. */
export interface Operands {
  /** As the usage line shows them, such as `PATH…`; empty where there are none. */
  readonly usage: string;
  readonly least: number;
  /** Absent: any number. */
  readonly most?: number;
  readonly completes?: Completes;
  /** What follows `--` is not for this command: it goes to `rest`, untouched. Absent: `--` only ends the options. */
  readonly rest?: string;
}

export interface Example {
  /** A whole command line. */
  readonly line: string;
  /** What it is for; lower case, no full stop. */
  readonly what: string;
}

/** What a command is run with. Nothing here is global: a test gives its own. */
export interface Context<T extends OptionTable = OptionTable> {
  readonly values: OptionValues<T>;
  readonly operands: readonly string[];
  /** What followed `--`, where the command asked for it. */
  readonly rest: readonly string[];
  readonly out: Output;
  readonly err: Output;
  /**
   * Says on stderr what is wrong and what would be right, and gives the exit code back:
   *
   *     return context.fail('the policy has errors', 'run `cofferdam validate`', 1);
   *
   * 2, the default, means that the command line was wrong; 1 that the work could not be done.
   */
  readonly fail: (message: string, help?: string, exitCode?: number) => number;
}

export interface Command<T extends OptionTable = OptionTable> {
  readonly name: string;
  /** One line, lower case, no full stop. */
  readonly summary: string;
  /** Paragraphs below the usage line; absent where the summary says it all. */
  readonly description?: readonly string[];
  readonly operands: Operands;
  readonly options: T;
  readonly examples: readonly Example[];
  /** Exit codes with a meaning of their own, beside those that all commands share. */
  readonly exitCodes?: Readonly<Record<number, string>>;
  // A method, so that a command over its own table is a command.
  run(context: Context<T>): Promise<number>;
}

/** Only gives `run` the types of the options. */
export const defineCommand = <const T extends OptionTable>(command: Command<T>): Command<T> => command;

/** Shared by every command that prints a result. */
export const jsonOption = { kind: 'flag', summary: 'print the result as JSON' } as const satisfies Option;

/** Understood by every command. */
export const commonOptions = {
  help: { kind: 'flag', short: 'h', summary: 'show this help' },
} as const satisfies OptionTable;
