import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { kernelObjectFile, topology } from '@cofferdam/datapath';
import { type RunGateway, startRunGateway, type UpstreamServer } from '@cofferdam/gateway';
import type { PolicySet } from '@cofferdam/policy';
import {
  type ContainedUser,
  forwardSignals,
  invokingUser,
  prepareSandbox,
  type RunningSandbox,
  reclaimTerminal,
  startSandbox,
  writableBy,
} from '@cofferdam/sandbox';
import { createRunDirectory, flowsFile, isLiveRun, pruneRuns, startTicksOf } from '../run-directory.ts';
import { type FlowSink, openFlowSink, openRotatingSink } from './flow-sink.ts';
import { RunError, type RunOptions } from './options.ts';
import { prepareRun } from './prepare-run.ts';
import { createReporter } from './reporter.ts';
import { upstreamResolvers } from './resolvers.ts';
import { failedRun, onUncaught } from './uncaught.ts';

export interface Console {
  /** One line of ours on stderr. */
  readonly say: (line: string) => void;
  readonly warn: (line: string) => void;
}

/** The SmartGroup that hints name as `from`. */
const groupOf = (policy: PolicySet, agent: string): string => {
  for (const { name, any } of policy.smartGroups.values())
    if (any.some((selector) => selector.kind === 'workload' && selector.agent === agent)) return name;
  return agent;
};

const resolvConf = `# written by cofferdam: every query is answered by the gateway of this run\nnameserver ${topology.gateway4}\noptions edns0\n`;

/** Milliseconds in which the answer for the other address family may still make a denial moot. */
const holdFor = 300;

/** A mask over our own files: what tells the command how it is contained is none of its business. */
const hiddenFiles = (log: string | undefined): readonly string[] => [
  '/run/cofferdam',
  ...(log === undefined ? [] : [log]),
];

/** Of the log in /run, which is memory: an agent must not fill the machine's with its denials. */
const mostLogBytes = 64 * 1024 * 1024;

/** Of `--log FILE`, and of FILE.1 behind it: half a million records or more each, and 1 GiB together. */
const mostRotatedBytes = 512 * 1024 * 1024;

const openLog = (path: string): FlowSink => {
  try {
    return openRotatingSink(path, mostRotatedBytes);
  } catch (e) {
    throw new RunError(
      `--log: ${e instanceof Error ? e.message : String(e)}`,
      'name a file in a directory that exists and can be written',
    );
  }
};

/** What the operator opened by hand, since no rule and no record will say it. */
const openings = (options: RunOptions): readonly string[] => [
  ...options.hostPorts.map(
    (port) => `port ${port} of this machine is open to the command as its own localhost:${port}`,
  ),
  ...options.publish.map((port) => `port ${port} of the command is open on this machine’s 127.0.0.1:${port}`),
];

/** Runs the command contained and returns its exit code. Everything made is undone when it returns or throws. */
export const contain = async (
  policy: PolicySet,
  files: readonly string[],
  options: RunOptions,
  console: Console,
): Promise<number> => {
  const resolvers = upstreamResolvers(options.resolvers);
  const prepared = await prepareRun(policy, options, resolvers, 1);
  const errors = prepared.diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new RunError(errors[0]!.message, errors[0]!.help);
  if (!options.quiet) for (const { message } of prepared.diagnostics) console.warn(message);

  const user = invokingUser(process.env);
  if (!user.ok) throw new RunError(user.error.message, user.error.help);
  const log = options.log === undefined ? undefined : openLog(options.log);
  pruneRuns();
  const run = randomBytes(4).toString('hex');
  const agent = prepared.workload.name;
  createRunDirectory({
    run,
    pid: process.pid,
    startTicks: startTicksOf(process.pid) ?? '',
    agent,
    command: options.command,
    started: Date.now(),
  });
  const sinks = [openFlowSink(flowsFile(run), mostLogBytes), ...(log === undefined ? [] : [log])];
  const reporter = createReporter(groupOf(policy, agent), holdFor);
  const said = (text: string): void => {
    if (!options.quiet) for (const line of text.split('\n')) console.say(line);
  };
  const holding = setInterval(() => reporter.late(Date.now()).forEach(said), holdFor / 2);
  holding.unref();
  let gateway: RunGateway | undefined;
  let renewal: NodeJS.Timeout | undefined;
  let running: RunningSandbox | undefined;
  const uncaught = onUncaught((why) => {
    console.say(`an error of cofferdam itself ended the run; nothing was opened: ${why}`);
    gateway?.close();
    running?.signal('SIGKILL');
  });
  const early = undoOnSignal(() => gateway?.close());
  try {
    gateway = startRunGateway({
      run,
      objectFile: kernelObjectFile,
      plan: prepared.plan,
      resolvers,
      hostPorts: options.hostPorts,
      publish: options.publish,
      emit: (record) => {
        for (const sink of sinks) sink.write(record);
        const line = reporter.line(record);
        if (line !== undefined) said(line);
      },
      warn: console.warn,
      isAlive: isLiveRun,
    });
    if (!options.quiet) for (const line of openings(options)) console.say(line);
    renewal = renewPlan(gateway, policy, options, resolvers, console);
    const code = await command(gateway, user.value, files, options, console, (sandbox) => {
      early.stop();
      running = sandbox;
      if (uncaught.happened()) sandbox.signal('SIGKILL');
    });
    return uncaught.happened() ? failedRun : code;
  } finally {
    clearInterval(renewal);
    early.stop();
    gateway?.close();
    clearInterval(holding);
    reporter.late(Number.POSITIVE_INFINITY).forEach(said);
    if (!options.quiet && gateway !== undefined) for (const line of reporter.table()) console.say(line);
    for (const sink of sinks) {
      const { count, because } = sink.lost();
      if (count > 0) console.warn(`${count} records could not be written: ${because}`);
      sink.close();
    }
    uncaught.stop();
  }
};

/** Plans carry the hours of schedules 48 hours ahead; a run that lasts longer needs them written on. */
const renewEvery = 12 * 60 * 60 * 1000;

const renewPlan = (
  gateway: RunGateway,
  policy: PolicySet,
  options: RunOptions,
  resolvers: readonly UpstreamServer[],
  console: Console,
): NodeJS.Timeout => {
  let revision = 1;
  return setInterval(() => {
    prepareRun(policy, options, resolvers, ++revision)
      .then(({ plan }) => gateway.renew(plan))
      // The plan in force stays, and closes what is scheduled when its hours run out.
      .catch((e: unknown) =>
        console.warn(`the plan could not be renewed: ${e instanceof Error ? e.message : String(e)}`),
      );
  }, renewEvery);
};

const endingSignals = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;

/** Until the command runs and takes our signals, one of them ends the run: what was made is undone first. */
const undoOnSignal = (undo: () => void): { readonly stop: () => void } => {
  const handler = (signal: (typeof endingSignals)[number]): void => {
    undo();
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of endingSignals) process.on(signal, handler);
  return {
    stop() {
      for (const signal of endingSignals) process.off(signal, handler);
    },
  };
};

const command = async (
  gateway: RunGateway,
  user: ContainedUser,
  files: readonly string[],
  options: RunOptions,
  console: Console,
  started: (running: RunningSandbox) => void,
): Promise<number> => {
  const spec = prepareSandbox({
    networkNamespace: gateway.agentNamespace.path,
    user,
    cwd: process.cwd(),
    env: process.env,
    shares: options.shares,
    resolvConf,
    hidden: hiddenFiles(options.log),
    command: options.command,
  });
  if (!spec.ok) {
    const code = spec.error.code === 'command-not-found' ? 127 : 125;
    throw new RunError(spec.error.message, spec.error.help, code);
  }
  if (!options.quiet) for (const warning of spec.value.warnings) console.warn(warning);
  for (const file of files) {
    const how = file === '<stdin>' ? undefined : writableBy(user, resolve(file), spec.value.writable);
    if (how !== undefined) console.warn(`the command can change its own policy for the next run: ${how}`);
  }
  let stop = (): void => undefined;
  try {
    const sandbox = await startSandbox(spec.value, (running) => {
      started(running);
      stop = forwardSignals(running);
    });
    if (!sandbox.ok) throw new RunError(sandbox.error.message, sandbox.error.help);
    const end = await sandbox.value.wait();
    return end.kind === 'exited' ? end.code : 137;
  } finally {
    stop();
    reclaimTerminal();
  }
};
