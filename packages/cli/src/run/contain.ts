import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { bootTime, kernelObjectFile, topology } from '@cofferdam/datapath';
import {
  createClockJump,
  type FlowSink,
  openFlowSink,
  type RunGateway,
  startRunGateway,
  type UpstreamServer,
} from '@cofferdam/gateway';
import type { PolicySet } from '@cofferdam/policy';
import {
  type ContainedUser,
  type OnBehalf,
  prepareSandbox,
  type RunningSandbox,
  type StandardStream,
  startSandbox,
} from '@cofferdam/sandbox';
import { dnsRisk } from '../dns-mode.ts';
import type { Environment } from '../output.ts';
import {
  createRunDirectory,
  flowsFile,
  isLiveRun,
  pruneRuns,
  runStatusSocket,
  startTicksOf,
} from '../run-directory.ts';
import { openingOfRun } from '../tls-opening.ts';
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

/** Who asked for the run, and where its command is to live: what differs between a run that root starts and one on behalf of a user. */
export interface Caller {
  readonly user: ContainedUser;
  readonly cwd: string;
  readonly env: Environment;
  /** Absent: our own standard streams. */
  readonly stdio?: readonly [StandardStream, StandardStream, StandardStream];
  readonly onBehalf?: OnBehalf;
  /** The group that may read the records of the run. */
  readonly reader?: number;
  /** Where the records go beside /run; undefined where nowhere. Throws where that cannot be opened. */
  readonly openLog: () => FlowSink | undefined;
  /** The command is about to start, and its signals can be sent. Returns what ends that. */
  readonly attach: (running: RunningSandbox) => () => void;
  /** Aborted where nobody waits for the run any more: it ends then. */
  readonly gone?: AbortSignal;
  /** What the command could do to what contains it, in words. `writable`: the trees that it can write; undefined: all. */
  readonly risks: (writable: readonly string[] | undefined) => readonly string[];
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
  caller: Caller,
  options: RunOptions,
  console: Console,
): Promise<number> => {
  const resolvers = upstreamResolvers(options.resolvers);
  const prepared = await prepareRun(policy, options, resolvers, 1);
  const errors = prepared.diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new RunError(errors[0]!.message, errors[0]!.help);
  if (!options.quiet) for (const { message } of prepared.diagnostics) console.warn(message);

  const log = caller.openLog();
  pruneRuns();
  const run = randomBytes(4).toString('hex');
  const agent = prepared.workload.name;
  const startTicks = startTicksOf(process.pid) ?? '';
  const { command: words } = options;
  createRunDirectory(
    { run, pid: process.pid, startTicks, agent, command: words, started: Date.now() },
    undefined,
    caller.reader,
  );
  const sinks = [openFlowSink(flowsFile(run), mostLogBytes), ...(log === undefined ? [] : [log])];
  const reporter = createReporter(groupOf(policy, agent), holdFor, options.dnsMode);
  const said = (text: string): void => {
    if (!options.quiet) for (const line of text.split('\n')) console.say(line);
  };
  const holding = setInterval(() => reporter.late(Date.now()).forEach(said), holdFor / 2);
  holding.unref();
  const opening = await openingOfRun(prepared.plan.plan);
  let gateway: RunGateway | undefined;
  let renewal: NodeJS.Timeout | undefined;
  let running: RunningSandbox | undefined;
  const uncaught = onUncaught((why) => {
    console.say(`an error of cofferdam itself ended the run; nothing was opened: ${why}`);
    gateway?.close();
    running?.signal('SIGKILL');
  });
  const early = undoOnSignal(() => gateway?.close());
  const leave = (): void => {
    if (running === undefined) early.leave('SIGHUP');
    else running.signal('SIGKILL');
  };
  caller.gone?.addEventListener('abort', leave);
  try {
    gateway = startRunGateway({
      run,
      objectFile: kernelObjectFile,
      plan: prepared.plan,
      resolvers,
      hostPorts: options.hostPorts,
      publish: options.publish,
      ...(opening === undefined ? {} : { opener: opening.opener }),
      emit: (record) => {
        for (const sink of sinks) sink.write(record);
        const line = reporter.line(record);
        if (line !== undefined) said(line);
      },
      warn: console.warn,
      statusSocket: { path: runStatusSocket(run), owner: caller.user.uid },
      isAlive: isLiveRun,
    });
    if (!options.quiet) for (const line of openings(options)) console.say(line);
    const risk = dnsRisk(options.dnsMode);
    if (risk !== undefined) console.warn(risk);
    renewal = renewPlan(gateway, policy, options, resolvers, console);
    if (caller.gone?.aborted === true) throw new RunError('nobody waits for the run any more', '');
    const code = await command(gateway, opening?.authority, caller, options, console, (sandbox) => {
      early.stop();
      running = sandbox;
      if (uncaught.happened() || caller.gone?.aborted === true) sandbox.signal('SIGKILL');
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
  let renewed = Date.now();
  const clockJumped = createClockJump(Date.now, () => Number(bootTime() / 1_000_000n));
  return setInterval(() => {
    // Hours of schedules are in boot time: who sets the clock moves them.
    if (!clockJumped() && Date.now() - renewed < renewEvery) return;
    renewed = Date.now();
    prepareRun(policy, options, resolvers, ++revision)
      .then(({ plan }) => gateway.renew(plan))
      // The plan in force stays, and closes what is scheduled when its hours run out.
      .catch((e: unknown) =>
        console.warn(`the plan could not be renewed: ${e instanceof Error ? e.message : String(e)}`),
      );
  }, 1000);
};

const endingSignals = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;

/** Until the command runs and takes our signals, one of them ends the run: what was made is undone first. */
const undoOnSignal = (undo: () => void) => {
  const handler = (signal: (typeof endingSignals)[number]): void => {
    undo();
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of endingSignals) process.on(signal, handler);
  return {
    leave: handler,
    stop() {
      for (const signal of endingSignals) process.off(signal, handler);
    },
  };
};

const command = async (
  gateway: RunGateway,
  authority: string | undefined,
  caller: Caller,
  options: RunOptions,
  console: Console,
  started: (running: RunningSandbox) => void,
): Promise<number> => {
  const spec = prepareSandbox({
    networkNamespace: gateway.agentNamespace.path,
    user: caller.user,
    cwd: caller.cwd,
    env: caller.env,
    shares: options.shares,
    resolvConf,
    ...(authority === undefined ? {} : { authority }),
    hidden: hiddenFiles(options.log),
    command: options.command,
    ...(caller.stdio === undefined ? {} : { stdio: caller.stdio }),
    onBehalf: caller.onBehalf,
  });
  if (!spec.ok) {
    const code = spec.error.code === 'command-not-found' ? 127 : 125;
    throw new RunError(spec.error.message, spec.error.help, code);
  }
  if (!options.quiet) for (const warning of spec.value.warnings) console.warn(warning);
  for (const risk of caller.risks(spec.value.writable)) console.warn(risk);
  let stop = (): void => undefined;
  try {
    const sandbox = await startSandbox(spec.value, (running) => {
      started(running);
      stop = caller.attach(running);
    });
    if (!sandbox.ok) throw new RunError(sandbox.error.message, sandbox.error.help);
    const end = await sandbox.value.wait();
    return end.kind === 'exited' ? end.code : 137;
  } finally {
    stop();
  }
};
