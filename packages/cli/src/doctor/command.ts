import { defineCommand, jsonOption } from '../command.ts';

export const doctorCommand = defineCommand({
  name: 'doctor',
  summary: 'check whether this machine can contain a process',
  description: [
    'Looks at kernel, tools, privileges and settings, tries what can be tried in a network namespace that is thrown away, and says for everything that is not right how to mend it. Nothing on the machine is changed. As root it can look at more.',
  ],
  operands: { usage: '', least: 0, most: 0 },
  options: {
    json: jsonOption,
  },
  examples: [
    { line: 'sudo cofferdam doctor', what: 'check everything' },
    {
      line: 'sudo cofferdam doctor --json | jq \'.checks[] | select(.status != "ok")\'',
      what: 'only what is not right',
    },
  ],
  exitCodes: { 0: 'no problem; there may be warnings', 1: 'something would keep `run` from working' },
  run: async (context): Promise<number> => (await import('./doctor.ts')).doctor(context),
});
