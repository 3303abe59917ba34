import { bootTime, kernelObjectFile } from '@cofferdam/datapath';
import {
  createClockJump,
  gatewayId,
  type MetricsAddress,
  type NetworkGateway,
  startNetworkGateway,
  type TlsOpener,
  type UpstreamServer,
} from '@cofferdam/gateway';
import { formatAddress, formatPrefix } from '@cofferdam/net';
import type { DnsMode } from '@cofferdam/plan';
import type { PolicySet } from '@cofferdam/policy';
import { dnsRisk } from '../dns-mode.ts';
import { resolveHostnames } from '../hostnames.ts';
import { type RunState, runStatusSocket, startTicksOf } from '../run-directory.ts';
import { counted } from '../text.ts';
import { openingRules } from '../tls-opening.ts';
import type { ForwardedZone } from './forwarded-zones.ts';
import { type GatewayLog, openGatewayLog } from './gateway-log.ts';
import { gatewayDirectory, isAlive } from './places.ts';
import { watchPolicy } from './policy-watch.ts';
import { type PreparedPlan, preparePlan } from './prepare-plan.ts';

export interface ServeOptions {
  readonly name: string;
  readonly agents: readonly string[];
  /** Files and directories, the inventory's among them. */
  readonly policies: readonly string[];
  readonly monitor: boolean;
  readonly dnsMode: DnsMode;
  readonly resolvers: readonly UpstreamServer[];
  readonly forward: readonly ForwardedZone[];
  readonly upstream: string | undefined;
  readonly metrics: MetricsAddress | undefined;
  readonly log: string | undefined;
  /** Opens TLS where a rule says so. Undefined: there is no authority to do it with. */
  readonly opener: TlsOpener | undefined;
}

export interface ServeConsole {
  readonly say: (line: string) => void;
  readonly warn: (line: string) => void;
}

/** Reads the policy anew. Undefined: it has errors, which were said. */
export type ReadPolicy = () => PolicySet | undefined;

/** Plans carry the hours of schedules 48 hours ahead; a gateway that lives longer needs them written on. */
const renewEvery = 12 * 60 * 60 * 1000;

/** Milliseconds between two looks at the clocks, and at what is kept under /run. */
const lookEvery = 1000;

/** Grows with every plan, over restarts too where reloads are no more frequent than seconds: what records call a plan by. */
const nextRevision = (last: number): number => Math.max(last + 1, Math.floor(Date.now() / 1000));

const rulesIn = (policy: PolicySet): number => policy.rulesets.reduce((sum, { rules }) => sum + rules.length, 0);

/** What a start says of the gateway. */
export const announce = (
  gateway: Pick<NetworkGateway, 'interfaces' | 'standing'>,
  options: Pick<ServeOptions, 'name' | 'monitor' | 'dnsMode'>,
  policy: PolicySet,
  console: ServeConsole,
): void => {
  const { name: called, monitor, dnsMode } = options;
  const places = gateway.interfaces.map(
    ({ name, own, behind }) =>
      `${name} (${own.map(formatAddress).join(', ')}; agents in ${behind.map(formatPrefix).join(', ')})`,
  );
  console.say(
    `gateway ${called} ${gateway.standing ? 'goes on' : 'stands'}: ${places.join(', ')}; ` +
      `${counted(rulesIn(policy), 'rule')}, ${counted(policy.inventory.length, 'workload')}${monitor ? ', monitored' : ''}` +
      `${dnsMode === 'synthetic' ? '' : `; dns: ${dnsMode}`}`,
  );
  const risk = dnsRisk(dnsMode);
  if (risk !== undefined) console.warn(risk);
};

/** The policy with its hostnames resolved, ready to be compiled for the gateway's interfaces. */
const prepared = async (policy: PolicySet, options: ServeOptions, revision: number) => {
  const resolved = await resolveHostnames(policy, options.resolvers);
  return (interfaces: NetworkGateway['interfaces']): PreparedPlan =>
    preparePlan(policy, { interfaces, resolved, monitor: options.monitor, dnsMode: options.dnsMode, revision });
};

const tell = (
  { plan, diagnostics, warnings }: PreparedPlan,
  opener: TlsOpener | undefined,
  console: ServeConsole,
): void => {
  for (const text of [...diagnostics.map(({ message }) => message), ...warnings]) console.warn(text);
  const [first, ...others] = opener === undefined ? openingRules(plan.plan) : [];
  if (first === undefined) return;
  const more = others.length === 0 ? '' : ` and ${counted(others.length, 'other rule')}`;
  console.warn(
    `\`${first.name}\`${more} would open TLS, and there is no authority: such flows are denied, \`would-need-opening\`. Make one with \`cofferdam ca init\` and start again`,
  );
};

const endingSignals = ['SIGINT', 'SIGTERM'] as const;

const endSignal = (): Promise<void> =>
  new Promise((resolve) => {
    for (const signal of endingSignals) process.once(signal, () => resolve());
  });

/** Keeps a gateway until a signal ends this process; the gateway itself goes on. Returns the exit code. */
export const serve = async (
  first: PolicySet,
  readPolicy: ReadPolicy,
  options: ServeOptions,
  console: ServeConsole,
): Promise<number> => {
  const run = gatewayId(options.name);
  const state: RunState = {
    run,
    pid: process.pid,
    startTicks: startTicksOf(process.pid) ?? '',
    agent: options.name,
    command: ['gateway', ...options.agents],
    started: Date.now(),
  };
  let log: GatewayLog | undefined;
  let revision = nextRevision(0);
  let policy = first;
  const make = await prepared(policy, options, revision);
  const ending = endSignal();
  const gateway = startNetworkGateway({
    name: options.name,
    directory: gatewayDirectory(options.name),
    agents: options.agents,
    objectFile: kernelObjectFile,
    resolvers: options.resolvers,
    forward: options.forward,
    emit: (record) => log?.write(record),
    statusSocket: { path: runStatusSocket(gatewayId(options.name)) },
    ...(options.upstream === undefined ? {} : { upstream: options.upstream }),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
    ...(options.opener === undefined ? {} : { opener: options.opener }),
    warn: console.warn,
    isAlive,
    plan: (interfaces) => {
      // Not before: until here another process may be serving this gateway.
      log = openGatewayLog(state, options.log);
      const plan = make(interfaces);
      tell(plan, options.opener, console);
      return plan.plan;
    },
  });
  announce(gateway, options, policy, console);

  /** One after the other: the plan in force is the one of the policy that was read last. */
  let renewing: Promise<void> = Promise.resolve();
  const renew = (next: PolicySet, why: string): void => {
    renewing = renewing.then(async () => {
      try {
        revision = nextRevision(revision);
        const plan = (await prepared(next, options, revision))(gateway.interfaces);
        gateway.renew(plan.plan);
        policy = next;
        tell(plan, options.opener, console);
        console.say(`${why}: ${counted(rulesIn(next), 'rule')} in force as revision ${revision}`);
      } catch (e) {
        console.warn(`${why}: refused (${e instanceof Error ? e.message : String(e)}); the plan in force stays`);
      }
    });
  };
  const reload = (): void => {
    const next = readPolicy();
    if (next === undefined) console.warn('the policy was not reloaded; the plan in force stays');
    else renew(next, 'reloaded');
  };
  process.on('SIGHUP', reload);
  const watched = watchPolicy(options.policies, reload);
  const hours = setInterval(() => renew(policy, 'hours of schedules written on'), renewEvery);
  const clockJumped = createClockJump(Date.now, () => Number(bootTime() / 1_000_000n));
  const looks = setInterval(() => {
    if (clockJumped()) renew(policy, 'the clock was set, and the hours of schedules with it');
    try {
      log?.look();
    } catch (e) {
      console.warn(`records are not kept under /run: ${e instanceof Error ? e.message : String(e)}`);
    }
  }, lookEvery);

  await ending;
  process.off('SIGHUP', reload);
  watched.close();
  clearInterval(hours);
  clearInterval(looks);
  await renewing;
  gateway.close();
  for (const text of log?.lost() ?? []) console.warn(text);
  log?.close();
  console.say(
    `gateway ${options.name} goes on enforcing without this process, and answers no names; start it again, or give the interfaces back ` +
      `with \`cofferdam gateway remove${options.name === defaultName ? '' : ` --name ${options.name}`}\``,
  );
  return 0;
};

export const defaultName = 'gateway';
