import type { Socket } from 'node:net';
import type { FlowRecord } from '@cofferdam/flows';
import type { Address } from '@cofferdam/net';
import { absent, type Facts, known, unknown, unreadable } from '@cofferdam/verdict';
import { type ByteStream, createByteStream } from './byte-stream.ts';
import { type Dial, dialFirst } from './dialler.ts';
import { createOutOfTurnCheck, sniff } from './first-bytes.ts';
import { createFlowLog, type FlowLogOptions, type FlowSubject } from './flow-log.ts';
import type { CurrentGate, Gate, GateAgent } from './gate.ts';
import { createRetryChecks } from './hello-retry.ts';
import { answerDenied, runHttp } from './http-session.ts';
import { denial, judge, type Settled } from './judgement.ts';
import type { NameBook } from './name-book.ts';
import { createProxiedFlow, judgeOpaque, type ProxiedFlow } from './proxied-flow.ts';
import { socketAddress } from './socket-address.ts';
import { splice } from './splice.ts';

export interface ProxyOptions {
  readonly gateway: string;
  readonly gate: CurrentGate;
  readonly names: Pick<NameBook, 'at' | 'contains'>;
  readonly dial: Dial;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly nextId: () => string;
  readonly emit: (record: FlowRecord) => void;
  readonly decided?: NonNullable<FlowLogOptions['decided']>;
  /** Milliseconds for one address to answer. */
  readonly connectTimeout: number;
  /** Milliseconds from a client's first byte until what it speaks, or a request's head, must be read. */
  readonly undecidedTimeout: number;
  /** Milliseconds without a byte either way after which a connection is cut. */
  readonly idle: number;
  /** Milliseconds a denied or finished client may take to read its answer. */
  readonly linger: number;
  /** Connections one agent may hold at once. */
  readonly ofOneAgent: number;
}

export const proxyDefaults = {
  connectTimeout: 3000,
  undecidedTimeout: 10_000,
  idle: 3_600_000,
  linger: 1000,
  ofOneAgent: 1024,
} as const;

export interface FlowProxy {
  /** Takes an accepted socket, whose local address and port are the flow's original destination. Never rejects. */
  readonly handle: (socket: Socket, onInterface: string) => Promise<void>;
  /** Judges live flows by the plan now in force, and cuts those it no longer permits. */
  readonly rejudge: () => void;
  /** Held now, of all agents, and by agent. */
  readonly connections: () => number;
  readonly held: () => ReadonlyMap<string, number>;
  /** Cuts every flow. */
  readonly close: () => void;
}

/** Where an agent's connection goes, before anything is dialled. */
interface Arrival {
  readonly subject: FlowSubject;
  readonly facts: Facts;
  /** Real addresses the name stands for; the destination itself where it is no synthetic address. */
  readonly candidates: readonly Address[];
}

/** Of the family that the agent dialled first; the others are a way all the same, since the proxy makes a connection of its own. */
const inDialOrder = (addresses: readonly Address[], { family }: Address): readonly Address[] => [
  ...addresses.filter((one) => one.family === family),
  ...addresses.filter((one) => one.family !== family),
];

const nothing = { toDestination: 0n, toAgent: 0n };

export const createProxy = (options: ProxyOptions): FlowProxy => {
  const log = createFlowLog(options);
  const live = new Set<ProxiedFlow>();
  const sockets = new Set<Socket>();
  const held = new Map<string, number>();

  const arrivalOf = (socket: Socket, onInterface: string, gate: Gate | undefined): Arrival | undefined => {
    const [source, destination] = [socketAddress(socket.remoteAddress), socketAddress(socket.localAddress)];
    if (source === undefined || destination === undefined) return undefined;
    const binding = options.names.at(destination);
    const pooled = binding !== undefined || options.names.contains(destination);
    return {
      subject: {
        id: options.nextId(),
        start: options.now(),
        agent: gate?.agentAt(source, onInterface),
        source: { address: source, port: socket.remotePort ?? 0 },
        synthetic: pooled ? destination : undefined,
      },
      facts: {
        at: options.now(),
        source,
        interface: onInterface,
        protocol: 'tcp',
        destination,
        destinationPort: socket.localPort ?? 0,
        addressNames: binding === undefined ? [] : [binding.name],
        path: 'proxy',
        tls: unknown,
        claimedName: unknown,
        plainHttpSeen: false,
        request: unknown,
        mcp: unknown,
      },
      candidates: binding === undefined ? (pooled ? [] : [destination]) : inDialOrder(binding.addresses, destination),
    };
  };

  const refuse = (arrival: Arrival, gate: Gate | undefined, judgement: Settled, destination?: Address): void => {
    const facts = destination === undefined ? arrival.facts : { ...arrival.facts, destination };
    log.decided(gate, judgement, facts);
    log.write(arrival.subject, gate, facts, judgement, nothing, { kind: 'flow', end: options.now() });
  };

  /** The candidates that the packet-stage walk does not deny; with none, why the first was denied. */
  const permittedOf = (
    arrival: Arrival,
    gate: Gate,
  ): { addresses: readonly Address[]; denied: Settled | undefined } => {
    const addresses: Address[] = [];
    let denied: Settled | undefined;
    for (const destination of arrival.candidates) {
      const judgement = judge(gate, { ...arrival.facts, destination });
      if (judgement.kind === 'deny') denied ??= judgement;
      else addresses.push(destination);
    }
    return { addresses, denied };
  };

  /** The server spoke first: nothing of the client's will be TLS or HTTP any more, and the walk decides before it passes. */
  const serverFirst = async (flow: ProxiedFlow): Promise<void> => {
    const judgement = judgeOpaque(flow, 'absent');
    if (judgement.kind === 'deny') return flow.cut(judgement);
    flow.note(judgement);
    const check = createOutOfTurnCheck();
    const fromClient = (bytes: Uint8Array): boolean => {
      const seen = check.push(bytes);
      if (seen !== 'out-of-turn') return true;
      const out = denial(flow.agent, judgement.rule, 'name', 'spoke-out-of-turn');
      flow.note(out);
      return out.kind === 'permit';
    };
    await splice(flow.client, flow.upstream, { fromClient });
  };

  const clientFirst = async (flow: ProxiedFlow): Promise<void> => {
    const { client, upstream, agent } = flow;
    const first = await sniff(client, options.undecidedTimeout);
    switch (first.kind) {
      case 'http':
        return runHttp(flow, { log, headTimeout: options.undecidedTimeout, linger: options.linger });
      case 'closed':
      case 'timeout': {
        // Named after the rule that waits; a permit of the packet stage still had to see what it was.
        const waiting = flow.settleNow(first.kind === 'closed' ? 'undecided-closed' : 'undecided-timeout');
        const reason = first.kind === 'closed' ? 'undecided-closed' : 'undecided-timeout';
        const judgement = waiting.kind === 'deny' ? waiting : denial(agent, waiting.rule, 'name', reason);
        if (judgement.kind === 'deny') return flow.cut(judgement);
        flow.note(judgement);
        return splice(client, upstream);
      }
      case 'tls':
      case 'tls-unreadable': {
        const claimed = first.kind === 'tls' ? first.name : undefined;
        flow.learn({
          tls: first.kind === 'tls' ? known(true) : unreadable,
          claimedName:
            claimed?.kind === 'name' ? known(claimed.name) : claimed?.kind === 'absent' ? absent : unreadable,
        });
        const judgement = flow.settleNow('would-need-opening');
        if (judgement.kind === 'deny') return flow.cut(judgement);
        flow.note(judgement);
        return splice(client, upstream, first.kind === 'tls' ? createRetryChecks(first.name, first.length) : {});
      }
      case 'opaque':
      case 'http-unreadable': {
        const judgement = judgeOpaque(flow, first.kind === 'opaque' ? 'absent' : 'unreadable');
        if (judgement.kind === 'deny' && first.kind === 'http-unreadable') {
          // Whoever sent what looks like a request can read an answer, and so learns that this was policy and no bug.
          flow.note(judgement);
          return answerDenied(flow, judgement, 'GET', options.linger);
        }
        if (judgement.kind === 'deny') return flow.cut(judgement);
        flow.note(judgement);
        return splice(client, upstream);
      }
    }
  };

  const carry = async (flow: ProxiedFlow): Promise<void> => {
    await Promise.race([flow.client.readable(), flow.upstream.readable()]);
    if (flow.client.hasBytes()) return clientFirst(flow);
    // The server spoke, or one side ended without a word: either way the client's facts are absent for good.
    return serverFirst(flow);
  };

  const connect = async (
    socket: Socket,
    client: ByteStream,
    arrival: Arrival,
    gate: Gate,
    agent: GateAgent,
  ): Promise<void> => {
    const { addresses, denied } = permittedOf(arrival, gate);
    if (addresses.length === 0) {
      refuse(
        arrival,
        gate,
        denied ?? denial(undefined, 'default', 'packet', 'address-unmapped'),
        arrival.candidates[0],
      );
      client.reset();
      return;
    }
    const port = arrival.facts.destinationPort ?? 0;
    const dialled = await dialFirst(options.dial, addresses, port, options.connectTimeout, () => socket.destroyed);
    if (dialled.kind !== 'connected') {
      // What the plan could not know of is what it says of the gateway's own addresses: denied by the default.
      const unanswered = dialled.kind === 'given-up' ? 'undecided-closed' : 'upstream-unreachable';
      const to = dialled.kind === 'given-up' ? addresses[0]! : dialled.address;
      const judgement =
        dialled.kind === 'own'
          ? denial(undefined, 'default', 'packet', 'gateway-port')
          : denial(undefined, judge(gate, { ...arrival.facts, destination: to }).rule, 'packet', unanswered);
      refuse(arrival, gate, judgement, to);
      client.reset();
      return;
    }
    sockets.add(dialled.socket);
    dialled.socket.on('close', () => sockets.delete(dialled.socket));
    const upstream = createByteStream(dialled.socket);
    const facts = { ...arrival.facts, destination: dialled.address };
    const flow = createProxiedFlow({
      subject: arrival.subject,
      agent,
      facts,
      client,
      upstream,
      gate: options.gate,
      log,
    });
    socket.setTimeout(options.idle, () => {
      client.reset();
      upstream.reset();
    });
    live.add(flow);
    try {
      await carry(flow);
    } finally {
      live.delete(flow);
      client.reset();
      upstream.reset();
      flow.finish();
    }
  };

  const handle = async (socket: Socket, onInterface: string): Promise<void> => {
    const client = createByteStream(socket);
    const gate = options.gate();
    const arrival = arrivalOf(socket, onInterface, gate);
    const agent = arrival?.subject.agent;
    if (arrival === undefined || gate === undefined || agent === undefined) {
      const reason = gate === undefined ? 'no-plan' : 'unknown-agent';
      if (arrival !== undefined) refuse(arrival, gate, denial(undefined, 'default', 'packet', reason));
      return client.reset();
    }
    const count = held.get(agent.name) ?? 0;
    if (count >= options.ofOneAgent) {
      refuse(arrival, gate, denial(undefined, 'default', 'packet', 'flow-quota'));
      return client.reset();
    }
    held.set(agent.name, count + 1);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    try {
      await connect(socket, client, arrival, gate, agent);
    } finally {
      const left = (held.get(agent.name) ?? 1) - 1;
      if (left === 0) held.delete(agent.name);
      else held.set(agent.name, left);
    }
  };

  return {
    handle,
    rejudge: () => {
      for (const flow of [...live]) flow.rejudge();
    },
    connections: () => [...held.values()].reduce((sum, count) => sum + count, 0),
    held: () => held,
    close: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
};
