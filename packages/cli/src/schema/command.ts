import { defineCommand } from '../command.ts';

const topics = ['SmartGroup', 'WebGroup', 'Ruleset', 'Inventory', 'policy'] as const;

/** `SmartGroup` is in `smart-group.schema.json`. */
const fileOf = (topic: string): string => `${topic.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()}.schema.json`;

export const schemaCommand = defineCommand({
  name: 'schema',
  summary: 'print the JSON Schema of a kind of policy document',
  description: ['For editors that complete and check YAML. `policy` takes a document of any kind.'],
  operands: { usage: 'KIND', least: 1, most: 1, completes: topics },
  options: {},
  examples: [
    { line: 'cofferdam schema policy > policy.schema.json', what: 'one schema for all documents' },
    { line: 'cofferdam schema Ruleset', what: 'the keys of a ruleset' },
  ],
  run: async ({ operands, out, fail }) => {
    const { schemaFiles } = await import('@cofferdam/policy');
    const { didYouMean } = await import('../nearest.ts');
    const asked = operands[0] ?? '';
    const topic = topics.find((each) => each.toLowerCase() === asked.toLowerCase().replaceAll('-', ''));
    const text = topic === undefined ? undefined : schemaFiles().get(fileOf(topic));
    if (text === undefined) return fail(`no schema for \`${asked}\``, didYouMean(asked, topics));
    out.write(text);
    return 0;
  },
});
