import { err, ok, quote, type Result } from '@cofferdam/net';
import { type Command, commonOptions, type Option, type OptionTable } from './command.ts';
import { didYouMean, listed } from './nearest.ts';

/** A command line, read against a command's table. */
export interface Parsed {
  readonly values: Readonly<Record<string, boolean | string | readonly string[] | undefined>>;
  readonly operands: readonly string[];
  readonly rest: readonly string[];
}

export const allOptions = (command: Command): OptionTable => ({ ...command.options, ...commonOptions });

/**
 * Reads `--name`, `--name VALUE`, `--name=VALUE`, `-n`, `-n VALUE`, `-nVALUE` and clusters of one-letter flags; `-` alone is an operand.
 * Options may stand after operands. `--` ends them.
 */
export const parseOptions = (command: Command, words: readonly string[]): Result<Parsed> => {
  const table = allOptions(command);
  const values: Record<string, boolean | string | string[] | undefined> = {};
  for (const [name, { kind }] of Object.entries(table)) {
    values[name] = kind === 'flag' ? false : kind === 'list' ? [] : undefined;
  }
  const shorts = new Map(Object.entries(table).flatMap(([name, { short }]) => (short ? [[short, name] as const] : [])));
  const operands: string[] = [];
  let rest: readonly string[] = [];

  const take = (name: string, shown: string, value: string): Result<undefined> => {
    const option = table[name]!;
    // What an unset variable of a shell leaves behind is never meant: `--agent "$AGENT"`.
    if (value === '')
      return err('option-value', `\`${shown}\` is given an empty value`, `write \`${shown} ${option.value}\``);
    if (option.choices !== undefined && !option.choices.includes(value)) {
      return err('option-value', `\`${shown}\` does not take ${quote(value)}`, acceptedHelp(value, option.choices));
    }
    if (option.kind === 'value' && values[name] !== undefined) {
      return err('option-twice', `\`${shown}\` is given twice`, 'give it once');
    }
    if (option.kind === 'list') values[name] = [...(values[name] as readonly string[]), value];
    else values[name] = value;
    return ok(undefined);
  };

  const needsValue = (shown: string, { value = 'VALUE', choices }: Option): Result<never> =>
    err(
      'option-without-value',
      `\`${shown}\` needs a value`,
      choices === undefined ? `write \`${shown} ${value}\`` : `write \`${shown}\` and one of ${listed(choices)}`,
    );

  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === '--') {
      const after = words.slice(i + 1);
      if (command.operands.rest === undefined) operands.push(...after);
      else rest = after;
      break;
    }
    if (word === '-' || !word.startsWith('-')) {
      // What follows is likely the command itself, whose options are none of ours.
      if (command.operands.rest !== undefined && !words.slice(i).includes('--'))
        return missingDashes(command, words.slice(i));
      operands.push(word);
      continue;
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const name = word.slice(2, equals === -1 ? undefined : equals);
      const option = Object.hasOwn(table, name) ? table[name] : undefined;
      if (option === undefined) return unknownOption(command, `--${name}`, table);
      if (option.kind === 'flag') {
        if (equals !== -1) return err('option-with-value', `\`--${name}\` takes no value`, `write \`--${name}\` alone`);
        values[name] = true;
        continue;
      }
      const value = equals === -1 ? words[++i] : word.slice(equals + 1);
      if (value === undefined || (equals === -1 && value === '--')) return needsValue(`--${name}`, option);
      const taken = take(name, `--${name}`, value);
      if (!taken.ok) return taken;
      continue;
    }
    for (let at = 1; at < word.length; at++) {
      const letter = word[at]!;
      const name = shorts.get(letter);
      if (name === undefined) return unknownOption(command, `-${letter}`, table);
      const option = table[name]!;
      if (option.kind === 'flag') {
        values[name] = true;
        continue;
      }
      const value = at + 1 < word.length ? word.slice(at + 1) : words[++i];
      if (value === undefined) return needsValue(`-${letter}`, option);
      const taken = take(name, `-${letter}`, value);
      if (!taken.ok) return taken;
      break;
    }
  }
  return ok({ values, operands, rest });
};

/** Up to so many choices are all named, also where one of them was nearly written. */
const mostNamed = 5;

const acceptedHelp = (value: string, choices: readonly string[]): string => {
  const help = didYouMean(value, choices);
  const all = listed(choices);
  return choices.length > mostNamed || help.includes(all) ? help : `${help} accepted: ${all}`;
};

const unknownOption = (command: Command, written: string, table: OptionTable): Result<never> => {
  const names = Object.entries(table).flatMap(([name, { short }]) => [`--${name}`, ...(short ? [`-${short}`] : [])]);
  const help = written.length > 2 ? didYouMean(written, names, seeHelp(command)) : seeHelp(command);
  return err('unknown-option', `\`${command.name}\` has no option ${quote(written)}`, help);
};

const missingDashes = (command: Command, words: readonly string[]): Result<never> =>
  err(
    'missing-dashes',
    `${quote(words[0]!)} is no option of \`${command.name}\``,
    `put \`--\` before the command: \`cofferdam ${command.name} … -- ${words.join(' ')}\``,
  );

const seeHelp = (command: Command): string => `see \`cofferdam ${command.name} --help\``;

/** Whether the number of operands is one that the command takes. */
export const checkOperands = (command: Command, { operands }: Parsed): Result<undefined> => {
  const { usage, least, most } = command.operands;
  if (operands.length < least) {
    return err('missing-operand', `\`${command.name}\` needs ${usage}`, seeHelp(command));
  }
  if (operands.includes('')) {
    return err('empty-operand', `\`${command.name}\` is given an empty word`, `write \`${usage}\`, or nothing`);
  }
  if (most !== undefined && operands.length > most) {
    return err('unexpected-operand', `${quote(operands[most]!)} is one word too many`, seeHelp(command));
  }
  return ok(undefined);
};
