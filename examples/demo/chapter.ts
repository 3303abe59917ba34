/**
 * A part of the demo: commands contained by one policy. Those that attack are first made without containment, where they must do harm.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Lab } from '@cofferdam/testkit/lab';
import { bold, dim, indent, right, wrong } from './stage.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Step {
  readonly title: string;
  /** What is behind it, for someone who sees it for the first time. */
  readonly why: string;
  readonly command: string;
  readonly expect: 'works' | 'contained';
  /** Reason that the gateway must have given for a denial; absent: the command never got as far as the network. */
  readonly reason?: string;
  /** The end of its answer is worth seeing. */
  readonly shows?: true;
  /** How the same command shows that it does harm without containment: something of it arrives, or it just succeeds. */
  readonly outside?: 'arrives' | 'succeeds';
}

export interface Chapter {
  readonly number: number;
  readonly title: string;
  /** A file of examples/. */
  readonly policy: string;
  readonly steps: readonly Step[];
  /** Of the arrivals at the other end, as JSON, those that must not be. */
  readonly forbidden: RegExp;
  /** Said at its end, with the number of attacks. */
  readonly moral: (attacks: number) => string;
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly reasons: readonly string[];
}

const run = async (lab: Lab, directory: string, policy: string, step: Step, index: number): Promise<Outcome> => {
  const log = join(directory, `${index}.jsonl`);
  writeFileSync(log, '');
  const words = [
    join(root, 'cofferdam'),
    'run',
    '--policy',
    join(root, policy),
    '--log',
    log,
    '--',
    'sh',
    '-c',
    step.command,
  ];
  const env = { ...lab.ca.environment, SUDO_UID: '61234', SUDO_GID: '61234', NO_COLOR: '1' };
  const { code, stdout, stderr } = await lab.exec('host', words, { cwd: '/tmp', timeout: 60_000, env });
  const records = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  const reasons = records.flatMap((line) => {
    const { verdict, reason } = JSON.parse(line) as { verdict: string; reason: string };
    return verdict === 'deny' ? [reason] : [];
  });
  return { code, stdout, stderr, reasons };
};

const leaks = async (lab: Lab, since: number, forbidden: RegExp): Promise<readonly string[]> => {
  const arrived = await lab.arrivals({ since });
  return arrived.map((one) => JSON.stringify(one)).filter((text) => forbidden.test(text));
};

/** The same attack without containment: it must do harm, or its failure under containment would mean nothing. */
const harmsOutside = async (lab: Lab, step: Step, forbidden: RegExp): Promise<boolean> => {
  const since = await lab.mark();
  const { code } = await lab.exec('host', ['sh', '-c', step.command], {
    cwd: '/tmp',
    timeout: 30_000,
    env: lab.ca.environment,
  });
  const traces = (await leaks(lab, since, forbidden)).length;
  const harms = step.outside === 'succeeds' ? code === 0 : traces > 0;
  if (harms)
    console.log(
      `   without Cofferdam: it gets through${traces > 0 ? ` (${traces} ${traces === 1 ? 'trace' : 'traces'} at the other end)` : ''}`,
    );
  return harms;
};

/** Returns how many steps went wrong. */
export const playChapter = async (lab: Lab, { number, title, policy, steps, ...chapter }: Chapter): Promise<number> => {
  const directory = mkdtempSync(join(tmpdir(), 'cofferdam-demo-'));
  console.log(bold(`${number}. ${title}\n`));
  let failures = 0;
  try {
    for (const [index, step] of steps.entries()) {
      const heading = step.expect === 'works' ? 'The agent works' : 'The attacker tries';
      console.log(`${bold(`${number}.${index + 1} ${heading}: ${step.title}`)}`);
      console.log(`   ${dim(step.why)}`);
      console.log(indent(step.command.split('\n')[0]!, '   $ '));
      if (step.expect === 'contained' && !(await harmsOutside(lab, step, chapter.forbidden))) {
        failures += 1;
        console.log(`   ${wrong('this attack does nothing even without containment, so it proves nothing')}`);
      }
      const since = await lab.mark();
      const outcome = await run(lab, directory, policy, step, index);
      const arrived = await leaks(lab, since, chapter.forbidden);
      const said = outcome.stderr.split('\n').filter((line) => line.includes('cofferdam: denied'));
      for (const line of said.slice(0, 2)) console.log(indent(line, '   '));
      if (step.shows === true) console.log(indent(outcome.stdout.split('\n').at(-1) ?? '', '   answer: '));
      const asExpected =
        step.expect === 'works'
          ? outcome.code === 0
          : outcome.code !== 0 &&
            arrived.length === 0 &&
            (step.reason === undefined || outcome.reasons.includes(step.reason));
      if (asExpected) {
        const word = step.expect === 'works' ? 'works' : 'with Cofferdam: denied, and nothing arrived';
        console.log(`   ${right(word)}\n`);
      } else {
        failures += 1;
        console.log(`   ${wrong(`expected: ${step.expect}${step.reason === undefined ? '' : ` (${step.reason})`}`)}`);
        console.log(
          `     exit code ${outcome.code}, denials: ${outcome.reasons.join(', ') || 'none'}, arrived: ${arrived.length}`,
        );
        for (const line of arrived.slice(0, 5)) console.log(indent(line, '     arrived: '));
        console.log(indent(outcome.stderr, '     '));
        console.log('');
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const attacks = steps.filter(({ expect }) => expect === 'contained').length;
  console.log(
    failures === 0 ? right(`${chapter.moral(attacks)}\n`) : wrong(`${failures} of ${steps.length} steps went wrong\n`),
  );
  return failures;
};
