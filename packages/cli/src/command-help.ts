import { type Command, commonOptions, type Option } from './command.ts';
import type { Style } from './style.ts';
import { definitions, paragraph } from './text.ts';

/** How an option is written, with its value: `-f, --follow`, `--since TIME`. */
export const optionTerm = (name: string, { short, value }: Option): string =>
  `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;

export const optionMeaning = ({ kind, choices, summary }: Option): string =>
  [
    summary,
    ...(choices === undefined ? [] : [`(${choices.join(', ')})`]),
    ...(kind === 'list' ? ['(may be repeated)'] : []),
  ].join(' ');

/** `cofferdam validate [OPTIONS] PATH…` */
export const usageLine = ({ name, operands }: Command): string => {
  const parts = [
    'cofferdam',
    name,
    '[OPTIONS]',
    operands.usage,
    operands.rest === undefined || operands.usage.includes('--') ? '' : `-- ${operands.rest}`,
  ];
  return parts.filter((part) => part !== '').join(' ');
};

export const commandHelp = (command: Command, width: number, style: Style): string => {
  const wide = Math.min(width, 100);
  const options = Object.entries({ ...command.options, ...commonOptions });
  return [
    `${style.bold(`cofferdam ${command.name}`)}: ${command.summary}\n`,
    `${style.bold('Usage')}\n  ${usageLine(command)}\n`,
    ...(command.description ?? []).map((text) => paragraph(text, wide)),
    `${style.bold('Options')}\n${definitions(
      options.map(([name, option]) => [optionTerm(name, option), optionMeaning(option)]),
      wide,
    )}`,
    `${style.bold('Examples')}\n${command.examples
      .map(({ line, what }) => `${paragraph(`# ${what}`, wide, '  ')}  ${line}\n`)
      .join('\n')}`,
    `${style.bold('Exit codes')}\n${definitions(Object.entries(exitCodesOf(command)), wide)}`,
  ].join('\n');
};

export const exitCodesOf = (command: Command): Readonly<Record<string, string>> => ({
  0: 'done',
  1: 'it could not be done',
  2: 'the command line is wrong',
  ...command.exitCodes,
});

/** The same for programs. */
export const commandData = (command: Command): object => ({
  name: command.name,
  summary: command.summary,
  usage: usageLine(command),
  description: command.description ?? [],
  options: Object.entries({ ...command.options, ...commonOptions }).map(([name, option]: [string, Option]) => ({
    name: `--${name}`,
    ...(option.short !== undefined && { short: `-${option.short}` }),
    ...(option.value !== undefined && { value: option.value }),
    ...(option.choices !== undefined && { choices: option.choices }),
    repeatable: option.kind === 'list',
    summary: option.summary,
  })),
  examples: command.examples,
  exitCodes: exitCodesOf(command),
});

export const overview = (commands: readonly Command[], version: string, width: number, style: Style): string => {
  const wide = Math.min(width, 100);
  return [
    `${style.bold(`cofferdam ${version}`)}: network containment for AI agents. What the policy does not name is unreachable.\n`,
    `${style.bold('Usage')}\n  cofferdam COMMAND [OPTIONS] …\n`,
    `${style.bold('Commands')}\n${definitions(
      commands.map(({ name, summary }) => [name, summary]),
      wide,
    )}`,
    `${style.bold('Begin with')}\n${definitions(
      [
        ['sudo cofferdam doctor', 'can this machine contain a process?'],
        ['cofferdam validate POLICY', 'is the policy right?'],
        ['cofferdam explain --policy POLICY --to github.com', 'what would become of a connection?'],
        ['sudo cofferdam run --policy POLICY -- COMMAND', 'run a command contained'],
      ],
      wide,
    )}`,
    `\`cofferdam COMMAND --help\` shows options and examples; \`cofferdam help CODE\` explains any reason or error code.\n`,
  ].join('\n');
};
