import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Context, defineCommand, type OptionTable } from '../command.ts';
import { defaultGroup } from '../helper/protocol.ts';
import { describeStep, doStep, installSteps, lookAtPlace, type Step } from './steps.ts';
import { openPlace } from './trusted-program.ts';

/** Shared with `uninstall`. */
export const placeOptions = {
  root: {
    kind: 'value',
    value: 'DIR',
    completes: 'path',
    summary: 'below this directory, for a package or an image: no service is started or stopped',
  },
  'dry-run': { kind: 'flag', summary: 'only show what would be done' },
} as const satisfies OptionTable;

/** The checkout, which is what systemd starts. */
const checkout = fileURLToPath(new URL('../../../..', import.meta.url)).replace(/\/$/, '');
const main = `${checkout}/packages/cli/src/main.ts`;

/** Does the steps and says each; the exit code. */
export const doSteps = (
  { out, fail }: Pick<Context, 'out' | 'fail'>,
  steps: readonly Step[],
  root: string,
  dryRun: boolean,
): number => {
  for (const step of steps) {
    out.line(describeStep(step));
    if (dryRun && step.kind === 'write') out.line(step.text.replaceAll(/^(?=.)/gm, '  | '));
    if (dryRun) continue;
    const problem = doStep(step, root);
    if (problem !== undefined) return fail(problem, 'mend that and do it again: what is done already does no harm', 1);
  }
  return 0;
};

/** Why the steps cannot be done on this machine, or undefined. */
export const withoutSystemd = (root: string): string | undefined =>
  root === '/' && !existsSync('/run/systemd/system') ? 'systemd does not run here' : undefined;

/** `cofferdam install`: runs without sudo. */
export const installCommand = defineCommand({
  name: 'install',
  summary: 'let members of a group use `run` without sudo, once and for all',
  description: [
    `Makes the group \`${defaultGroup}\` and a socket of systemd that only its members can use. Behind it root makes the network of each run, and nothing else for them: the command runs as the one who calls, with their variables, HOME and PATH. Nothing of ours is there while nobody runs anything.`,
    'Members choose the policy of their runs, so they can reach what this machine can reach; a host firewall that tells users apart does not tell runs apart. They do not become root by it.',
  ],
  operands: { usage: '', least: 0, most: 0 },
  options: {
    member: { kind: 'list', value: 'USER', summary: 'put this user into the group; counts from their next login' },
    ...placeOptions,
  },
  examples: [
    { line: 'sudo cofferdam install --member alice', what: 'let alice use `cofferdam run`' },
    { line: 'cofferdam install --dry-run', what: 'see what it does' },
  ],
  async run(context) {
    const { values, out, fail } = context;
    const root = resolve(values.root ?? '/');
    const dryRun = values['dry-run'];
    if (!dryRun && process.getuid?.() !== 0) return fail('`install` needs root', 'run it with sudo', 1);
    const wrong = values.member.find((name) => name.startsWith('-'));
    if (wrong !== undefined) return fail(`\`${wrong}\` is no user`, 'give a name');
    const missing = dryRun ? undefined : withoutSystemd(root);
    if (missing !== undefined)
      return fail(missing, 'start the helper by hand, and leave it running: `sudo cofferdam helper`', 1);
    // Below another root owners say nothing yet.
    const open =
      root === '/'
        ? openPlace([
            dirname(process.execPath),
            ...['build', 'node_modules', 'package.json', 'packages'].map((name) => `${checkout}/${name}`),
          ])
        : undefined;
    if (open !== undefined && !dryRun)
      return fail(
        `\`${open}\` can be changed by others than root, who would then act as root`,
        `install from a copy that is root’s: \`sudo cp -r ${checkout} /opt/cofferdam\`, then \`sudo /opt/cofferdam/cofferdam install\``,
        1,
      );
    const program = [process.execPath, ...process.execArgv, main];
    const place = lookAtPlace(root);
    const code = doSteps(context, installSteps(place, program, values.member), root, dryRun);
    if (code !== 0 || dryRun) return code;
    if (!place.hasDatabase) out.line(`next: the group, where this is installed: groupadd --system ${defaultGroup}`);
    else if (values.member.length === 0)
      out.line(`next: put users into the group: sudo usermod -aG ${defaultGroup} NAME`);
    return code;
  },
});
