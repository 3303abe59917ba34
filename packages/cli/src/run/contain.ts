import { randomBytes, createHash } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { type CompileDiagnostic, compile } from '@cofferdam/compiler';
import { kernelObjectFile, topology } from '@cofferdam/datapath';
import { gatewayAddresses, type RunGateway, startRunGateway, type UpstreamServer } from '@cofferdam/gateway';
import { type Address, type DomainName, formatAddress, parseAddress } from '@cofferdam/net';
import { loadPlan, type LoadedPlan } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet, Workload } from '@cofferdam/policy';
import { type ContainedUser, forwardSignals, invokingUser, prepareSandbox, reclaimTerminal, startSandbox, writableBy } from '@cofferdam/sandbox';
import { createRunDirectory, flowsFile, isLiveRun, pruneRuns, startTicksOf } from '../run-directory.ts';
import { commandWorkload } from './agent.ts';
import { openFlowSink } from './flow-sink.ts';
import { RunError, type RunOptions } from './options.ts';
import { createReporter } from './reporter.ts';
import { upstreamResolvers } from './resolvers.ts';

export interface Console {
  /** One line of ours on stderr. */
  readonly say: (line: string) => void;
  readonly warn: (line: string) => void;
}

/** A plan for one run of one command. */
export interface PreparedRun {
  readonly plan: LoadedPlan;
  readonly workload: Workload;
  readonly diagnostics: readonly CompileDiagnostic[];
}

/** Addresses of this machine in the namespace we are in: they are the gateway's, and no name reaches them. */
const hostAddresses = (): readonly Address[] =>
  Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).flatMap(({ address }) => parseAddress(address.replace(/%.*$/, '')) ?? []),
  );

const hostnamesOf = (policy: PolicySet): readonly DomainName[] => [
  ...new Set(
    [...policy.smartGroups.values()].flatMap(({ any }) =>
      any.flatMap((selector) => (selector.kind === 'hostname' ? [selector.name] : [])),
    ),
  ),
];

/** What hostnames of the policy stand for now, for connections by address; by name they are resolved as they are asked. */
const resolveHostnames = async (
  names: readonly DomainName[],
  servers: readonly UpstreamServer[],
): Promise<ReadonlyMap<DomainName, readonly Address[]>> => {
  if (names.length === 0) return new Map();
  const resolver = new Resolver({ timeout: 1500, tries: 2 });
  resolver.setServers(
    servers.map(({ address, port }) =>
      address.family === 6 ? `[${formatAddress(address)}]:${port}` : `${formatAddress(address)}:${port}`,
    ),
  );
  const one = async (name: DomainName): Promise<readonly [DomainName, readonly Address[]]> => {
    const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const texts = found.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
    return [name, texts.flatMap((text) => parseAddress(text) ?? [])];
  };
  return new Map(await Promise.all(names.map(one)));
};

export const prepareRun = async (
  policy: PolicySet,
  options: Pick<RunOptions, 'agent' | 'labels' | 'monitor'>,
  resolvers: readonly UpstreamServer[],
): Promise<PreparedRun> => {
  const workload = commandWorkload(policy, options.agent, options.labels, topology.agentInterface);
  const context: EvaluationContext = {
    workloads: [workload],
    resolved: await resolveHostnames(hostnamesOf(policy), resolvers),
    dnsMode: 'synthetic',
    gatewayAddresses: [...gatewayAddresses, ...hostAddresses()],
    monitor: options.monitor,
  };
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
  const { plan, diagnostics } = compile(policy, { ...context, at: Date.now(), revision: 1, digest });
  return { plan: loadPlan(plan), workload, diagnostics };
};

/** The SmartGroup that hints name as `from`. */
const groupOf = (policy: PolicySet, agent: string): string => {
  for (const { name, any } of policy.smartGroups.values())
    if (any.some((selector) => selector.kind === 'workload' && selector.agent === agent)) return name;
  return agent;
};

const resolvConf = `# written by cofferdam: every query is answered by the gateway of this run\nnameserver ${topology.gateway4}\noptions edns0\n`;

/** A mask over our own files: what tells the command how it is contained is none of its business. */
const hiddenFiles = (log: string | undefined): readonly string[] => ['/run/cofferdam', ...(log === undefined ? [] : [log])];

/** Runs the command contained and returns its exit code. Everything made is undone when it returns or throws. */
export const contain = async (
  policy: PolicySet,
  files: readonly string[],
  options: RunOptions,
  console: Console,
): Promise<number> => {
  const resolvers = upstreamResolvers(options.resolvers);
  const prepared = await prepareRun(policy, options, resolvers);
  const errors = prepared.diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new RunError(errors[0]!.message, errors[0]!.help);
  if (!options.quiet) for (const { message } of prepared.diagnostics) console.warn(message);

  const user = invokingUser(process.env);
  if (!user.ok) throw new RunError(user.error.message, user.error.help);
  reportWritable(user.value, files, console);
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
  const sinks = [openFlowSink(flowsFile(run)), ...(options.log === undefined ? [] : [openFlowSink(options.log)])];
  const reporter = createReporter(groupOf(policy, agent), options.monitor);
  let gateway: RunGateway | undefined;
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
        if (line !== undefined && !options.quiet) console.say(line);
      },
      warn: console.warn,
      isAlive: isLiveRun,
    });
    return await command(gateway, user.value, options, console);
  } finally {
    gateway?.close();
    if (!options.quiet) for (const line of reporter.table()) console.say(line);
    for (const sink of sinks) {
      const { count, because } = sink.lost();
      if (count > 0) console.warn(`${count} records could not be written: ${because}`);
      sink.close();
    }
  }
};

const reportWritable = (user: ContainedUser, files: readonly string[], console: Console): void => {
  for (const file of files) {
    const how = writableBy(user, file);
    if (how !== undefined) console.warn(`the command can change its own policy for the next run: ${how}`);
  }
};

const command = async (
  gateway: RunGateway,
  user: ContainedUser,
  options: RunOptions,
  console: Console,
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
  if (!spec.ok) throw new RunError(spec.error.message, spec.error.help);
  if (!options.quiet) for (const warning of spec.value.warnings) console.warn(warning);
  let stop = (): void => undefined;
  try {
    const started = await startSandbox(spec.value, (running) => {
      stop = forwardSignals(running);
    });
    if (!started.ok) throw new RunError(started.error.message, started.error.help);
    const end = await started.value.wait();
    return end.kind === 'exited' ? end.code : 137;
  } finally {
    stop();
    reclaimTerminal();
  }
};

