import type { Context } from '../command.ts';
import { listRuns } from '../run-directory.ts';
import { counted, paragraph } from '../text.ts';
import { type Check, ok, warning } from './check.ts';
import type { doctorCommand } from './command.ts';
import { firewallChecks } from './firewalls.ts';
import { kernelChecks } from './kernel.ts';
import { type Machine, thisMachine } from './machine.ts';
import { askRoot, resolverCheck } from './resolvers.ts';
import { settingChecks } from './settings.ts';
import { toolChecks } from './tools.ts';
import { type Trial, tryEverything, trySandbox } from './trial.ts';

const areas = ['privileges', 'kernel', 'tools', 'network', 'runs'] as const;

const titles: Readonly<Record<Check['area'], string>> = {
  privileges: 'Privileges',
  kernel: 'Kernel',
  tools: 'Tools',
  network: 'Network',
  runs: 'Runs',
};

/** Links of runs on the host: `cfd` and the run. */
const linkedRuns = (machine: Machine): readonly string[] =>
  machine.list('/sys/class/net').flatMap((name) => /^cfd([0-9a-f]+)$/.exec(name)?.[1] ?? []);

const runCheck = (machine: Machine, { runsInHost }: Pick<Trial, 'runsInHost'>): Check => {
  const listing = listRuns();
  const live = new Set(listing.kind === 'runs' ? listing.runs.filter((run) => run.live).map(({ run }) => run) : []);
  const left = [...new Set([...runsInHost, ...linkedRuns(machine)])].filter((run) => !live.has(run));
  if (left.length > 0 && listing.kind !== 'forbidden') {
    const found = `${counted(left.length, 'run')} died and left links or rules behind: ${left.join(', ')}`;
    return warning('runs', 'leftovers', found, 'the next `cofferdam run` takes them away');
  }
  return ok('runs', 'leftovers', live.size === 0 ? 'none' : `none; ${counted(live.size, 'run')} alive`);
};

const privilegeCheck = ({ uid }: Machine): Check =>
  uid === 0
    ? ok('privileges', 'root', 'yes; contained commands run as the user who calls')
    : warning('privileges', 'root', 'no: some checks are left out, and `run` needs it', 'run `sudo cofferdam doctor`');

export const examine = async (machine: Machine): Promise<readonly Check[]> => {
  const untried: Trial = { checks: [], dropping: undefined, runsInHost: [] };
  const trial = machine.uid === 0 ? await tryEverything() : untried;
  const tools = toolChecks(machine);
  const hasSandbox = machine.uid === 0 && machine.program('bwrap') !== undefined;
  return [
    privilegeCheck(machine),
    ...kernelChecks(machine),
    ...trial.checks,
    ...tools,
    ...(hasSandbox ? [trySandbox(machine.output)] : []),
    ...settingChecks(machine),
    ...firewallChecks(machine, trial.dropping),
    await resolverCheck(machine, askRoot),
    runCheck(machine, trial),
  ];
};

export const doctor = async ({ values, out }: Context<typeof doctorCommand.options>): Promise<number> => {
  const checks = await examine(thisMachine());
  const count = (status: Check['status']): number => checks.filter((check) => check.status === status).length;
  const problems = count('problem');
  const warnings = count('warning');
  if (values.json) {
    out.line(JSON.stringify({ ready: problems === 0, problems, warnings, checks }, null, 2));
    return problems > 0 ? 1 : 0;
  }
  const { style } = out;
  const paint = { ok: style.green, warning: style.yellow, problem: style.red };
  const widest = Math.max(...checks.map(({ name }) => name.length));
  const margin = ' '.repeat(2 + 9 + widest + 2);
  const wide = out.isTerminal ? Math.min(out.width, 130) : 130;
  for (const area of areas) {
    out.line(style.bold(titles[area]));
    for (const { name, status, found, fix } of checks.filter((check) => check.area === area)) {
      const head = `  ${paint[status](status.padEnd(7))}  ${name.padEnd(widest)}  `;
      out.write(`${head}${paragraph(found, wide, margin).slice(margin.length)}`);
      if (fix !== undefined) out.write(paragraph(`fix: ${fix}`, wide, margin));
    }
    out.line();
  }
  const found = [problems > 0 ? counted(problems, 'problem') : '', warnings > 0 ? counted(warnings, 'warning') : ''];
  const sum = found.filter((part) => part !== '').join(', ');
  const verdict = problems > 0 ? 'this machine cannot contain a process yet' : 'this machine can contain a process';
  out.line(`${style.bold(problems > 0 ? style.red(verdict) : style.green(verdict))}${sum === '' ? '' : `: ${sum}`}`);
  return problems > 0 ? 1 : 0;
};
