/**
 * A process of its own for each gateway of ours, so that its memory is its own. It is started in the namespace that is its host, makes
 * the gateway's, and does what its parent asks.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createNetworkNamespace, currentNetworkNamespace, kernelObjectFile, type Quotas } from '@cofferdam/datapath';
import { defaultQuotas, type GatewayCore, openRotatingSink, startGatewayCore } from '@cofferdam/gateway';
import { type Prefix, parseAddress, parsePrefix } from '@cofferdam/net';
import { bigPolicy } from './big-policy.ts';
import type { GatewayAnswer, GatewayMemory, GatewayRequest } from './gateway-messages.ts';
import { place } from './place.ts';
import { planOf, policyOf } from './rule-set.ts';

const off: Quotas = { flows: 0, hellos: 0, flowRate: 0, flowBurst: 0, eventRate: 0, eventBurst: 0 };

const agentNetwork = (): Prefix => {
  const parsed = parsePrefix(place.agentNetwork);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
};

const host = currentNetworkNamespace();
const gateway = createNetworkNamespace();
let core: GatewayCore | undefined;
let revision = 0;

/** Bytes of a log, as `cofferdam gateway` has it. */
const mostLog = 256 * 2 ** 20;

const start = (rules: number, log: string): void => {
  const sink = openRotatingSink(log, mostLog);
  core = startGatewayCore(
    {
      gateway: 'bench',
      place: {
        host,
        gateway,
        interfaces: [{ name: place.agentInterface, own: [parseAddress(place.gateway)!], behind: [agentNetwork()] }],
        standing: false,
        outlives: false,
      },
      // Another one, to be compared with what is here.
      objectFile: process.env.COFFERDAM_BPF_OBJECT ?? kernelObjectFile,
      plan: planOf(policyOf(rules), ++revision),
      quotas: off,
      resolvers: [{ address: parseAddress(place.resolver)!, port: 53 }],
      emit: sink.write,
      warn: (text) => process.stderr.write(`gateway: ${text}\n`),
    },
    // The process ends with what it holds: nothing has to be undone.
    () => undefined,
  );
};

const fdinfo = (): readonly string[] =>
  readdirSync('/proc/self/fdinfo').flatMap((fd) => {
    try {
      return [readFileSync(`/proc/self/fdinfo/${fd}`, 'ascii')];
    } catch {
      // The one that was opened for this listing.
      return [];
    }
  });
const fieldOf = (text: string, name: string): number | undefined => {
  const found = new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text);
  return found === null ? undefined : Number(found[1]);
};

/** Every map that this process holds, inner ones too, once each. */
const bytesOfMaps = (): number => {
  const seen = new Map<number, number>();
  for (const text of fdinfo()) {
    const [id, bytes] = ['map_id', 'memlock'].map((name) => fieldOf(text, name));
    if (id !== undefined && bytes !== undefined) seen.set(id, bytes);
  }
  return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0);
};

const memory = ({ kernel }: GatewayCore): GatewayMemory => {
  globalThis.gc?.();
  const flows = readFileSync(`/proc/self/fdinfo/${kernel.object.map('flows').fd}`, 'ascii');
  return {
    resident: process.memoryUsage.rss(),
    heap: process.memoryUsage().heapUsed,
    maps: bytesOfMaps(),
    flowTable: fieldOf(flows, 'memlock') ?? 0,
    flowRoom: fieldOf(flows, 'max_entries') ?? 0,
  };
};

const programStatistics = (fd: number) => {
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'ascii');
  return { nanoseconds: fieldOf(text, 'run_time_ns') ?? 0, runs: fieldOf(text, 'run_cnt') ?? 0 };
};

/** Milliseconds. */
const timed = <T>(work: () => T): readonly [T, number] => {
  const from = performance.now();
  const value = work();
  return [value, performance.now() - from];
};

const answer = (request: GatewayRequest): GatewayAnswer => {
  if (request.ask === 'start') {
    start(request.rules, request.log);
    return { kind: 'done' };
  }
  if (core === undefined) throw new Error('the gateway was not started');
  if (request.ask === 'statistics') {
    const { fromAgent, toAgent, fromUplink } = core.kernel.programs;
    // What comes back goes through two of them.
    const [uplink, agent] = [programStatistics(fromUplink), programStatistics(toAgent)];
    return {
      kind: 'statistics',
      fromAgent: programStatistics(fromAgent),
      toAgent: { nanoseconds: uplink.nanoseconds + agent.nanoseconds, runs: agent.runs },
    };
  }
  if (request.ask === 'memory') return { kind: 'memory', memory: memory(core) };
  if (request.ask === 'flows') return { kind: 'flows', count: [...core.kernel.flows()].length };
  if (request.ask === 'quotas') {
    core.kernel.setQuotas(request.on ? defaultQuotas : off);
    return { kind: 'done' };
  }
  const { rules, groups } = request;
  const policy = groups === undefined ? policyOf(rules) : bigPolicy(rules, groups);
  const [plan, compiled] = timed(() => planOf(policy, ++revision));
  const [switched, renewed] = timed(() => core!.renew(plan));
  return { kind: 'renewed', compiled, renewed, switched };
};

process.on('message', (request: GatewayRequest) => {
  try {
    process.send!(answer(request));
  } catch (e) {
    process.send!({ kind: 'failed', because: e instanceof Error ? (e.stack ?? e.message) : String(e) });
  }
});
process.on('disconnect', () => process.exit());
process.send!({ kind: 'ready', namespace: gateway.path });
