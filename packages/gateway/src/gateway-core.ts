import { randomInt } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import {
  bootTime,
  gatewayRuleset,
  hasDefaultRoute,
  type Kernel,
  type NetworkNamespace,
  openKernel,
  openListener,
  openNftables,
  openResets,
  type Quotas,
  standingTables,
  topology,
} from '@cofferdam/datapath';
import type { AnyRecord } from '@cofferdam/flows';
import { type Address, formatAddress, literalPrefix, type Prefix, parseAddress } from '@cofferdam/net';
import { isReservedDestination, type LoadedPlan } from '@cofferdam/plan';
import { createCounters } from './counters.ts';
import { createCutFlows } from './cut-flows.ts';
import { createDnsFilter } from './dns-filter.ts';
import { assertSameMode, openDnsMode } from './dns-modes.ts';
import { createDnsServer, dnsServerDefaults } from './dns-server.ts';
import { gatewayDial } from './gateway-dial.ts';
import { createKernelFlowLog } from './kernel-flow-log.ts';
import { listenOn } from './listen.ts';
import { planGate } from './plan-gate.ts';
import { createProxy, proxyDefaults } from './proxy.ts';
import { createRateLimiter } from './rate-limiter.ts';
import { createRecordBudget, defaultRecordBudget } from './record-budget.ts';
import { createRecordWriter } from './record-writer.ts';
import { seldom } from './seldom.ts';
import { createStatus, type GatewayStatus } from './status.ts';
import { type MetricsAddress, type StatusSocket, serveMetrics, serveStatus } from './status-server.ts';
import { capacityOf } from './status-tables.ts';
import { defaultPool } from './synthetic-pool.ts';
import type { TlsOpener } from './tls-opening.ts';
import { createTunnelBudget, defaultTunnelBudget } from './tunnel-budget.ts';
import { createUntoldDenials } from './untold-denials.ts';
import type { UpstreamServer } from './upstream-exchange.ts';
import { createUpstreamResolver, type UpstreamOptions, upstreamDefaults } from './upstream-resolver.ts';
import { createWallClock } from './wall-clock.ts';

/**
 * What every gateway is, whatever network it stands in: kernel program, netfilter, DNS filter, proxy, flow log, and one plan for all of
 * them. This process stays in the host's namespace, so that what it dials and asks leaves as the host's own; only its listening sockets
 * live inside the gateway's.
 */
export interface GatewayCoreOptions {
  /** Names the gateway in records. */
  readonly gateway: string;
  readonly place: GatewayPlace;
  /** The compiled eBPF object. */
  readonly objectFile: string;
  readonly plan: LoadedPlan;
  readonly quotas: Quotas;
  readonly resolvers: readonly UpstreamServer[];
  /** Zones that have resolvers of their own. */
  readonly forward?: UpstreamOptions['forward'];
  /** The only interface of the host by which agents' traffic leaves. Absent: those that its routes say. */
  readonly upstream?: string;
  /** Opens TLS where a rule says so. Absent: none is. */
  readonly opener?: TlsOpener;
  readonly emit: (record: AnyRecord) => void;
  /** Where the status is told. Absent: nowhere. */
  readonly statusSocket?: StatusSocket;
  readonly metrics?: MetricsAddress;
  /** Something failed that the gateway can go on without. */
  readonly warn: (text: string) => void;
}

/** Where a gateway stands. Its links and routes are there; its interfaces are up. */
export interface GatewayPlace {
  readonly host: NetworkNamespace;
  readonly gateway: NetworkNamespace;
  readonly interfaces: readonly AgentInterface[];
  /** Whether an earlier process may have left programs and tables there, which then go on. */
  readonly standing: boolean;
  /** Whether flows go on when this process ends, so that their records must not. */
  readonly outlives: boolean;
}

/** An interface behind which agents live. */
export interface AgentInterface {
  readonly name: string;
  /** The gateway's own addresses on it, which agents may use as their resolver. */
  readonly own: readonly Address[];
  /** Where agents may be that the proxy connects to: the gateway's own addresses are not dialled, whatever is here. */
  readonly behind: readonly Prefix[];
}

export interface GatewayCore {
  readonly kernel: Kernel;
  readonly status: GatewayStatus;
  /**
   * Puts another plan in force in one step; live flows are judged by it. Throws, and changes nothing, where it does not fit. Returns the
   * milliseconds that the step took.
   */
  readonly renew: (plan: LoadedPlan) => number;
}

const pollMilliseconds = 10;
const sweepMilliseconds = 1000;
/** Between two looks whether an hour has begun or ended. */
const hourMilliseconds = 100;
/** For an agent to answer. */
const probeMilliseconds = 100;

const anyAddress: readonly Address[] = [parseAddress('0.0.0.0')!, parseAddress('::')!];

/** `undo`: takes the steps that undo what was done, to be run from the last to the first. */
export const startGatewayCore = (options: GatewayCoreOptions, undo: (step: () => void) => void): GatewayCore => {
  const { host, gateway, interfaces } = options.place;
  let { plan } = options;
  const nft = openNftables(gateway);
  undo(nft.close);
  nft.run(
    gatewayRuleset({
      agentInterfaces: interfaces.map(({ name }) => name),
      uplinkInterface: topology.uplinkInterface,
      proxyPort: topology.proxyPort,
      own4: topology.own4,
      own6: topology.own6,
      standing: options.place.standing,
    }),
  );

  let gate = planGate(plan);
  const current = () => gate;
  const clock = (): number => performance.now();
  const now = (): number => Date.now();
  const warn = seldom(options.warn, clock);
  let counter = 0;
  // Records of an earlier process have ids too.
  const session = options.place.outlives ? `${options.gateway}-${now().toString(36)}` : options.gateway;
  const nextId = (): string => `${session}-${(++counter).toString(36)}`;
  const recordBudget = createRecordBudget(defaultRecordBudget);
  const records = createRecordWriter({
    gateway: options.gateway,
    budget: recordBudget,
    now,
    nextId,
    revision: () => gate.revision,
    write: (record) => {
      counters.written(record);
      options.emit(record);
    },
  });

  let receive: Parameters<typeof openKernel>[1] = () => undefined;
  const standing = options.place.standing ? gateway.run(() => standingTables(interfaces[0]!.name)) : undefined;
  const kernel = openKernel(options.objectFile, (event) => receive(event), {}, standing);
  undo(kernel.close);
  const began = bootTime();
  const counters = createCounters({ now, began });
  kernel.setQuotas(options.quotas);
  const indexOf = new Map(interfaces.map(({ name }) => [name, gateway.run(() => kernel.attach(name))]));
  gateway.run(() => kernel.attachUplink(topology.uplinkInterface));
  const nameOfIndex = new Map([...indexOf].map(([name, index]) => [index, name]));
  const placement = {
    ifindexes: (name: string | undefined): readonly number[] =>
      name === undefined || name === '' ? [...indexOf.values()] : indexOf.has(name) ? [indexOf.get(name)!] : [],
    pools: [topology.pool4, topology.pool6],
    own: [topology.own4, topology.own6],
  };
  const resolver = createUpstreamResolver({
    ...upstreamDefaults,
    servers: options.resolvers,
    forward: options.forward ?? [],
    sockets: {
      openUdp: (family) => createSocket(family === 4 ? 'udp4' : 'udp6'),
      connectTcp: (address, port) => connect({ host: formatAddress(address), port }),
    },
    randomId: () => randomInt(65536),
    now: clock,
  });
  const budget = createTunnelBudget(defaultTunnelBudget);
  const ipv6 = hasDefaultRoute(host, 6);
  const agentAt = (address: Address, ifindex: number): string | undefined =>
    gate.agentAt(address, nameOfIndex.get(ifindex) ?? '')?.name;
  const { dnsMode } = plan.plan;
  const dnsNames = openDnsMode({
    kernel,
    nft,
    pool: { ...defaultPool, v4: literalPrefix(topology.pool4), v6: literalPrefix(topology.pool6) },
    plan: () => plan,
    agentAt,
    resolver,
    budget,
    ipv6,
    now,
  });
  const { names } = dnsNames;
  kernel.apply(plan, placement, names.classified(plan));
  const wallClock = createWallClock(now, bootTime);
  const { wallTime } = wallClock;
  const status = createStatus({
    gateway: options.gateway,
    plan: plan.plan,
    quotas: options.quotas,
    kernel,
    capacity: (table) => capacityOf(kernel, table),
    counters,
    standing: standing !== undefined && standing.size > 0,
    names: names.size,
    tracked: dnsNames.tracked,
    held: () => proxy.held(),
    agentAt,
    now,
    wallTime,
  });

  const flowLog = createKernelFlowLog({
    gateway: options.gateway,
    interfaceOf: (index) => nameOfIndex.get(index) ?? '',
    gate: current,
    namesOf: names.namesOf,
    began,
    isPooled: dnsNames.isPooled,
    wallTime,
    now,
    nextId,
    flowId: ({ ifindex, sourcePort }, start) =>
      `${options.gateway}-${start.toString(36)}.${ifindex.toString(36)}.${sourcePort.toString(36)}`,
    emit: records.emit,
    observe: counters.kernelFlow,
    forget: kernel.forget,
    deny: kernel.deny,
    classify: names.claim,
  });
  receive = flowLog.receive;
  const untold = createUntoldDenials(kernel.uses());
  const resets = openResets(gateway);
  undo(resets.close);
  const probes = new Set<NodeJS.Timeout>();
  const cutFlows = createCutFlows({
    kernel,
    resets,
    later(step) {
      const timer = setTimeout(() => {
        probes.delete(timer);
        step();
      }, probeMilliseconds);
      probes.add(timer);
    },
  });
  // Nothing between these and what ends them may fail: a process goes on for its timers.
  const poll = setInterval(() => {
    wallClock.look();
    kernel.poll();
  }, pollMilliseconds);
  const hours = setInterval(cutFlows.look, hourMilliseconds);
  const sweep = setInterval(() => {
    // There, since what connection tracking has of a flow is forgotten with it.
    gateway.run(() => flowLog.sweep(kernel.flows(), bootTime()));
    for (const { use, count } of untold.since(kernel.uses())) {
      const agent = use.address && gate.agentAt(use.address, nameOfIndex.get(use.ifindex) ?? '');
      recordBudget.suppress(agent?.identity ?? { labels: {} }, 'untold', now(), count);
    }
    records.report(now());
    names.tidy();
  }, sweepMilliseconds);
  // After all that still writes denials: what is registered later is undone earlier.
  undo(() => records.report(Number.POSITIVE_INFINITY));
  undo(() => {
    clearInterval(poll);
    clearInterval(sweep);
    clearInterval(hours);
    for (const timer of probes) clearTimeout(timer);
    kernel.poll();
    if (!options.place.outlives) flowLog.finish(kernel.flows());
    const lost = kernel.eventsLost();
    if (lost > 0n) options.warn(`${lost} events came faster than they were read: their flow records are missing`);
  });

  const filter = createDnsFilter({
    gateway: options.gateway,
    gate: current,
    resolver,
    answers: dnsNames.answers,
    budget,
    limiter: createRateLimiter({ rate: 100, burst: 300, keys: 1024 }),
    ipv6,
    now,
    nextId,
    emit: (record) => {
      counters.question(record);
      records.emit(record);
    },
    suppress: (agent, reason, at) => {
      counters.droppedQuestion(reason);
      recordBudget.suppress(agent, reason, at);
    },
  });
  const dns = createDnsServer({
    ...dnsServerDefaults,
    filter,
    addressed: ({ interface: on, source: { address, port = 0 }, transport }) => {
      const server = kernel.dnsServer({ ifindex: indexOf.get(on) ?? 0, protocol: transport, address, port });
      return server && { address: server, port: 53 };
    },
  });
  undo(dns.close);
  const proxy = createProxy({
    ...proxyDefaults,
    gateway: options.gateway,
    gate: current,
    ways: dnsNames.ways,
    dial: gatewayDial({
      host,
      gateway,
      interfaces,
      isReserved: (address) => isReservedDestination(plan, address),
      ...(options.upstream === undefined ? {} : { upstream: options.upstream }),
    }),
    now,
    nextId,
    emit: records.emit,
    decided: counters.proxyDecision,
    fault: (e) =>
      warn(
        `a connection was cut for an error of this program, please report it: ${e instanceof Error ? e.stack : String(e)}`,
      ),
    ...(options.opener === undefined ? {} : { opener: options.opener }),
  });
  undo(proxy.close);

  const listen = ({ name, own }: AgentInterface, address: Address): void => {
    const open = (kind: 'tcp' | 'udp', port: number, transparent = false): number =>
      openListener(gateway, { address, port, kind, transparent, device: name });
    const udp: UdpSocket = createSocket(address.family === 4 ? 'udp4' : 'udp6');
    udp.on('error', (e) => warn(`DNS: ${e.message}`));
    udp.bind({ fd: open('udp', 53) });
    dns.serveUdp(udp, name, { address: own.find(({ family }) => family === address.family) ?? address, port: 53 });
    const tcp = listenOn(open('tcp', 53), warn);
    dns.serveTcp(tcp, name);
    const held = listenOn(open('tcp', topology.proxyPort, true), warn);
    held.on('connection', (socket) => void proxy.handle(socket, name));
    undo(() => {
      udp.close();
      tcp.close();
      held.close();
    });
  };
  for (const one of interfaces) for (const address of anyAddress) listen(one, address);

  const tell = (
    what: string,
    serve: () => { readonly listening: Promise<unknown>; readonly close: () => void },
  ): void => {
    try {
      const server = serve();
      undo(server.close);
      server.listening.catch((e: Error) => options.warn(`${what}: ${e.message}`));
    } catch (e) {
      options.warn(`${what}: ${e instanceof Error ? e.message : String(e)}`);
    }
  };
  const { statusSocket, metrics } = options;
  if (statusSocket !== undefined)
    tell('the status cannot be asked for', () => serveStatus(status, statusSocket, { now: clock, warn }));
  if (metrics !== undefined)
    tell('the metrics cannot be asked for', () => serveMetrics(status, metrics, { now: clock, warn }));

  return {
    kernel,
    status,
    renew(next) {
      assertSameMode(dnsMode, next);
      const taken = kernel.apply(next, placement, names.classified(next));
      plan = next;
      gate = planGate(next);
      proxy.rejudge();
      cutFlows.look();
      // Behind all that enforces, though counts of the milliseconds until here may be the wrong rule's: nothing may keep a plan from its place.
      try {
        status.renewed(next.plan);
      } catch (e) {
        warn(`hits of rules are counted wrong from now on: ${e instanceof Error ? e.message : String(e)}`);
      }
      return taken;
    },
  };
};
