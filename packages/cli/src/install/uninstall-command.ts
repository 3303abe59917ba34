import { resolve } from 'node:path';
import { defineCommand } from '../command.ts';
import { doSteps, placeOptions, withoutSystemd } from './command.ts';
import { lookAtPlace, uninstallSteps } from './steps.ts';

/** `cofferdam uninstall`: takes away what `install` made. */
export const uninstallCommand = defineCommand({
  name: 'uninstall',
  summary: 'take away what `install` made; runs by the helper end',
  operands: { usage: '', least: 0, most: 0 },
  options: placeOptions,
  examples: [{ line: 'sudo cofferdam uninstall', what: 'only root can use `cofferdam run` then' }],
  async run(context) {
    const { values, out, fail } = context;
    const root = resolve(values.root ?? '/');
    const dryRun = values['dry-run'];
    if (!dryRun && process.getuid?.() !== 0) return fail('`uninstall` needs root', 'run it with sudo', 1);
    const steps = uninstallSteps(lookAtPlace(root));
    if (steps.length === 0) {
      out.line('nothing is installed');
      return 0;
    }
    const missing = dryRun ? undefined : withoutSystemd(root);
    if (missing !== undefined)
      return fail(missing, 'remove the units by hand: `cofferdam uninstall --dry-run` shows them', 1);
    return doSteps(context, steps, root, dryRun);
  },
});
