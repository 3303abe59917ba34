import { randomInt } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Server, Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { performance } from 'node:perf_hooks';
import {
  bootTime,
  connectFrom,
  createNameTranslation,
  createRunNetwork,
  currentNetworkNamespace,
  gatewayRuleset,
  type HostLink,
  hasDefaultRoute,
  type Kernel,
  linkToHost,
  marks,
  type NetworkNamespace,
  openKernel,
  openListener,
  openNftables,
  routeGateway,
  topology,
} from '@cofferdam/datapath';
import type { AnyRecord } from '@cofferdam/flows';
import {
  type Address,
  type DomainName,
  formatAddress,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixContains,
} from '@cofferdam/net';
import { classifyName, type LoadedPlan } from '@cofferdam/plan';
import { createDnsFilter } from './dns-filter.ts';
import { createDnsServer, dnsServerDefaults } from './dns-server.ts';
import { createKernelFlowLog } from './kernel-flow-log.ts';
import { createNameBook } from './name-book.ts';
import { planGate } from './plan-gate.ts';
import { createProxy, proxyDefaults } from './proxy.ts';
import { createRateLimiter } from './rate-limiter.ts';
import { createRelay } from './relay.ts';
import { defaultPool } from './synthetic-pool.ts';
import { createTunnelBudget, defaultTunnelBudget } from './tunnel-budget.ts';
import type { UpstreamServer } from './upstream-exchange.ts';
import { createUpstreamResolver, upstreamDefaults } from './upstream-resolver.ts';

/**
 * The gateway of one run, whole: namespaces, kernel program, netfilter, DNS filter, proxy, flow log. This process stays in the host's
 * namespace, so that what it dials and asks leaves as the host's own; only its listening sockets live inside the gateway's.
 */
export interface RunGatewayOptions {
  /** Hexadecimal, unique on this host. */
  readonly run: string;
  /** The compiled eBPF object. */
  readonly objectFile: string;
  readonly plan: LoadedPlan;
  readonly resolvers: readonly UpstreamServer[];
  /** Host ports that the command reaches as its own localhost, and ports of the command that the host reaches as its own. */
  readonly hostPorts: readonly number[];
  readonly publish: readonly number[];
  readonly emit: (record: AnyRecord) => void;
  /** Something of the gateway failed that the run can go on without. */
  readonly warn: (text: string) => void;
  readonly isAlive: (run: string) => boolean;
}

export interface RunGateway {
  readonly agentNamespace: NetworkNamespace;
  readonly gatewayNamespace: NetworkNamespace;
  readonly kernel: Kernel;
  /** Puts another plan in force in one step; live flows are judged by it. Throws, and changes nothing, where it does not fit. */
  readonly renew: (plan: LoadedPlan) => void;
  /** Undoes everything, and ends the records of live flows. Safe to call twice. */
  close(): void;
}

/** Addresses the gateway has whatever the host: reached by no rule that does not name them. */
export const gatewayAddresses: readonly Address[] = [
  topology.gateway4,
  topology.gateway6,
  topology.nowhere4,
  topology.nowhere6,
].map((text) => parseAddress(text)!);

/** Where the command lives; the inventory of a run gives it to its one workload. */
export const commandAddresses: readonly Address[] = [topology.agent4, topology.agent6].map(
  (text) => parseAddress(text)!,
);

const prefixOf = (text: string): Prefix => {
  const parsed = parsePrefix(text);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
};

/** To the kernel, 0 is no name. */
const kernelId = (slot: number): number => slot + 1;
const slotOf = (id: number): number => id - 1;

/** Ids of claimed names that stand for no address begin here; below are those of the pool's slots. */
const firstClaimedId = 0x40000000;
const claimedNames = 16_384;
const pollMilliseconds = 10;
const sweepMilliseconds = 1000;

const anyAddress: readonly Address[] = [parseAddress('0.0.0.0')!, parseAddress('::')!];
const loopback = parseAddress('127.0.0.1')!;

/** An error of a listening socket (too many open files, say) costs a connection, not the gateway. */
const localAddresses = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).flatMap(({ address }) => {
      const parsed = parseAddress(address.replace(/%.*$/, ''));
      return parsed === undefined ? [] : [formatAddress(parsed)];
    }),
  );

const listenOn = (fd: number, warn: (text: string) => void): Server => {
  const server = createServer({ allowHalfOpen: true });
  server.on('error', (e) => warn(`listening: ${e.message}`));
  server.listen({ fd });
  return server;
};

export const startRunGateway = (options: RunGatewayOptions): RunGateway => {
  const undo: (() => void)[] = [];
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    for (const step of undo.reverse()) {
      try {
        step();
      } catch (e) {
        options.warn(`clean-up: ${e instanceof Error ? e.message : String(e)}`);
      }
    }
  };
  try {
    return { ...assemble(options, (step) => undo.push(step)), close };
  } catch (e) {
    close();
    throw e;
  }
};

const assemble = (options: RunGatewayOptions, undo: (step: () => void) => void): Omit<RunGateway, 'close'> => {
  let { plan } = options;
  const host = currentNetworkNamespace();
  undo(host.close);
  const network = createRunNetwork();
  undo(network.close);
  const hostNft = openNftables(host);
  undo(hostNft.close);
  const link: HostLink = linkToHost({
    host,
    nft: hostNft,
    gateway: network.gateway,
    run: options.run,
    isAlive: options.isAlive,
  });
  undo(link.close);
  routeGateway(network.gateway, { via4: link.uplink.host4, via6: link.uplink.host6, proxyMark: marks.proxy });
  const nft = openNftables(network.gateway);
  undo(nft.close);
  nft.run(
    gatewayRuleset({
      agentInterface: topology.agentInterface,
      uplinkInterface: topology.uplinkInterface,
      proxyPort: topology.proxyPort,
      own4: topology.own4,
      own6: topology.own6,
    }),
  );

  let gate = planGate(plan);
  const current = () => gate;
  const clock = (): number => performance.now();
  const now = (): number => Date.now();
  const wallTime = (boot: bigint): number => now() - Number((bootTime() - boot) / 1_000_000n);
  let counter = 0;
  const nextId = (): string => `${options.run}-${(++counter).toString(36)}`;
  const nameOfId = new Map<number, DomainName>();
  const claimedIds = new Map<DomainName, number>();
  const boundNames = new Set<DomainName>();

  let receive: Parameters<typeof openKernel>[1] = () => undefined;
  const kernel = openKernel(options.objectFile, (event) => receive(event));
  undo(kernel.close);
  const ifindex = network.gateway.run(() => kernel.attach(topology.agentInterface));
  const placement = {
    ifindexes: () => [ifindex],
    pools: [topology.pool4, topology.pool6],
    own: [topology.own4, topology.own6],
  };
  kernel.apply(plan, placement);

  const translation = createNameTranslation(nft);
  const book = createNameBook({
    pool: {
      ...defaultPool,
      v4: prefixOf(topology.pool4),
      v6: prefixOf(topology.pool6),
    },
    classesOf: (name) => gate.classesOf(name),
    installer: {
      install: async (binding) => {
        const { v4, v6 } = binding.synthetic;
        const id = kernelId(binding.id);
        const ofFamily = (family: 4 | 6) => binding.addresses.filter((one) => one.family === family);
        nameOfId.set(id, binding.name);
        boundNames.add(binding.name);
        // Where another address takes a place, the name stands for nothing until both tables have it: a flow must not be judged
        // by the one and sent to the other.
        if (translation.replaces(v4, ofFamily(4)) || translation.replaces(v6, ofFamily(6)))
          kernel.install({ id, name: binding.name, synthetic: [v4, v6], addresses: [] }, binding.classes);
        translation.set(v4, ofFamily(4));
        translation.set(v6, ofFamily(6));
        const { name, addresses } = binding;
        if (!kernel.install({ id, name, synthetic: [v4, v6], addresses }, binding.classes))
          throw new Error('the kernel takes no more names');
      },
    },
  });
  if (!book.ok) throw new Error(book.error.message);
  const names = book.value;

  const classify = (name: DomainName): void => {
    if (boundNames.has(name)) return;
    const id = claimedIds.get(name) ?? firstClaimedId + claimedIds.size;
    if (claimedIds.size >= claimedNames && !claimedIds.has(name)) return;
    claimedIds.set(name, id);
    kernel.classify(id, name, classifyName(plan, name));
  };

  const flowLog = createKernelFlowLog({
    gateway: options.run,
    interface: topology.agentInterface,
    gate: current,
    nameOf: (id) => nameOfId.get(id),
    isPooled: names.contains,
    wallTime,
    now,
    nextId,
    emit: options.emit,
    hold: (id) => names.hold(slotOf(id)),
    forget: kernel.forget,
    deny: kernel.deny,
    classify,
  });
  receive = flowLog.receive;
  const poll = setInterval(kernel.poll, pollMilliseconds);
  const sweep = setInterval(() => flowLog.sweep(kernel.flows(), bootTime()), sweepMilliseconds);
  undo(() => {
    clearInterval(poll);
    clearInterval(sweep);
    kernel.poll();
    flowLog.finish(kernel.flows());
    const lost = kernel.eventsLost();
    if (lost > 0n) options.warn(`${lost} events came faster than they were read: their flow records are missing`);
  });

  const resolver = createUpstreamResolver({
    ...upstreamDefaults,
    servers: options.resolvers,
    sockets: {
      openUdp: (family) => createSocket(family === 4 ? 'udp4' : 'udp6'),
      connectTcp: (address, port) => connect({ host: formatAddress(address), port }),
    },
    randomId: () => randomInt(65536),
    now: clock,
  });
  const filter = createDnsFilter({
    gateway: options.run,
    gate: current,
    resolver,
    names,
    budget: createTunnelBudget(defaultTunnelBudget),
    limiter: createRateLimiter({ rate: 100, burst: 300, keys: 1024 }),
    ipv6: hasDefaultRoute(host, 6),
    now,
    nextId,
    emit: options.emit,
  });
  const dns = createDnsServer({ ...dnsServerDefaults, filter });
  undo(dns.close);
  // The proxy dials as the host itself, past the rules that keep the kernel path from what is the host's own: links of runs, and
  // addresses that it did not have when the plan was made.
  const ownPrefixes = [prefixOf(topology.own4), prefixOf(topology.own6)];
  const known = new Set(localAddresses());
  const mayDial = (address: Address): boolean => {
    const text = formatAddress(address);
    return (
      !ownPrefixes.some((own) => prefixContains(own, address)) && (known.has(text) || !localAddresses().includes(text))
    );
  };
  const proxy = createProxy({
    ...proxyDefaults,
    gateway: options.run,
    gate: current,
    names,
    dial: (address, port) =>
      mayDial(address)
        ? connect({ host: formatAddress(address), port, allowHalfOpen: true, noDelay: true })
        : new Socket().destroy(new Error('an address of this machine')),
    now,
    nextId,
    emit: options.emit,
  });
  undo(proxy.close);
  const on = topology.agentInterface;
  for (const address of anyAddress) {
    const udp: UdpSocket = createSocket(address.family === 4 ? 'udp4' : 'udp6');
    udp.on('error', (e) => options.warn(`DNS: ${e.message}`));
    udp.bind({ fd: openListener(network.gateway, { address, port: 53, kind: 'udp' }) });
    const gatewayAddress = address.family === 4 ? topology.gateway4 : topology.gateway6;
    dns.serveUdp(udp, on, { address: parseAddress(gatewayAddress)!, port: 53 });
    const tcp = listenOn(openListener(network.gateway, { address, port: 53, kind: 'tcp' }), options.warn);
    dns.serveTcp(tcp, on);
    const held = listenOn(
      openListener(network.gateway, { address, port: topology.proxyPort, kind: 'tcp', transparent: true }),
      options.warn,
    );
    held.on('connection', (socket) => void proxy.handle(socket, on));
    undo(() => {
      udp.close();
      tcp.close();
      held.close();
    });
  }
  openRelays(options, host, network.agent, undo);
  const renew = (next: LoadedPlan): void => {
    const held = [...nameOfId, ...[...claimedIds].map(([name, id]) => [id, name] as const)];
    kernel.apply(
      next,
      placement,
      held.map(([id, name]) => ({ id, classes: classifyName(next, name) })),
    );
    plan = next;
    gate = planGate(next);
    proxy.rejudge();
  };
  return { agentNamespace: network.agent, gatewayNamespace: network.gateway, kernel, renew };
};

const bindHere = (host: NetworkNamespace, port: number): number => {
  try {
    return openListener(host, { address: loopback, port, kind: 'tcp' });
  } catch (e) {
    throw new Error(
      `--publish: port ${port} cannot be opened on this machine: ${e instanceof Error ? e.message : String(e)}`,
    );
  }
};

/** Ports joined between the command's loopback and the host's, by sockets of this process in both. */
const openRelays = (
  options: RunGatewayOptions,
  host: NetworkNamespace,
  agent: NetworkNamespace,
  undo: (step: () => void) => void,
): void => {
  const limits = { connections: 256, idle: 3_600_000 } as const;
  for (const port of options.hostPorts) {
    const listener = listenOn(openListener(agent, { address: loopback, port, kind: 'tcp' }), options.warn);
    const relay = createRelay({
      ...limits,
      listener,
      dial: () => connect({ host: '127.0.0.1', port, allowHalfOpen: true }),
    });
    undo(() => {
      listener.close();
      relay.close();
    });
  }
  for (const port of options.publish) {
    // Bound at once, so that a port that is taken is an error before the command starts.
    const listener = listenOn(bindHere(host, port), options.warn);
    const relay = createRelay({ ...limits, listener, dial: () => connectFrom(agent, loopback, port) });
    undo(() => {
      listener.close();
      relay.close();
    });
  }
};
