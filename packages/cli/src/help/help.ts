import { quote } from '@cofferdam/net';
import type { Context } from '../command.ts';
import { commandData, commandHelp, overview } from '../command-help.ts';
import { commandNames, loadCommand, loadCommands } from '../command-table.ts';
import { didYouMean } from '../nearest.ts';
import type { Output } from '../output.ts';
import { definitions, indent, paragraph } from '../text.ts';
import { version } from '../version.ts';
import type { helpCommand } from './command.ts';
import { type Topic, topics } from './topics.ts';

export const help = async (context: Context<typeof helpCommand.options>): Promise<number> => {
  const { operands, out, fail, values } = context;
  const asked = operands[0];
  if (asked === undefined) {
    if (values.json) out.line(JSON.stringify((await loadCommands()).map(commandData), null, 2));
    else out.write(overview(await loadCommands(), version, out.width, out.style));
    return 0;
  }
  if (asked === 'codes') {
    if (values.json) out.line(JSON.stringify(topics, null, 2));
    else listCodes(out);
    return 0;
  }
  const topic = topics.find(({ code }) => code === asked.toLowerCase());
  if (topic !== undefined) {
    if (values.json) out.line(JSON.stringify(topic, null, 2));
    else out.write(topicText(topic, out));
    return 0;
  }
  const command = await loadCommand(asked);
  if (command !== undefined) {
    if (values.json) out.line(JSON.stringify(commandData(command), null, 2));
    else out.write(commandHelp(command, out.width, out.style));
    return 0;
  }
  const words = [...commandNames, 'codes', ...topics.map(({ code }) => code)];
  return fail(
    `neither a code nor a command: ${quote(asked)}`,
    didYouMean(asked, words, '`cofferdam help codes` lists all codes'),
  );
};

const kindOf = ({ what, verdict }: Topic): string =>
  what === 'reason' ? `reason, ${verdict}` : what === 'error' ? 'error in policy files' : 'warning about policy files';

const topicText = (topic: Topic, { width, style }: Output): string => {
  const wide = Math.min(width, 100);
  const { code, title, explanation, todo, example, what, verdict } = topic;
  const look =
    what === 'reason'
      ? `cofferdam flows --reason ${code}${verdict === 'deny' ? '    # where it happened' : ''}`
      : 'cofferdam validate PATH    # where it is';
  return [
    `${style.bold(code)} (${kindOf(topic)}): ${title}\n`,
    `${style.bold('What happened')}\n${paragraph(explanation, wide, '  ')}`,
    ...(todo === '' ? [] : [`${style.bold('What to do')}\n${paragraph(todo, wide, '  ')}`]),
    ...(example === '' ? [] : [`${style.bold('Example')}\n${indent(example, '  ')}\n`]),
    `${style.bold('See')}\n  ${look}\n`,
  ].join('\n');
};

const listCodes = ({ write, width, style }: Output): void => {
  const wide = Math.min(width, 100);
  const group = (title: string, some: readonly Topic[]): string =>
    `${style.bold(title)}\n${definitions(
      some.map((topic) => [topic.code, topic.title]),
      wide,
    )}`;
  const of = (what: Topic['what'], verdict?: 'permit' | 'deny'): readonly Topic[] =>
    topics.filter((topic) => topic.what === what && topic.verdict === verdict);
  write(
    [
      group('Reasons for a denial', of('reason', 'deny')),
      group('Reasons for a permit', of('reason', 'permit')),
      group('Errors in policy files', of('error')),
      group('Warnings about policy files', of('warning')),
    ].join('\n'),
  );
};
