import type { Socket } from 'node:net';
import type { FlowRecord } from '@cofferdam/flows';
import { type Facts, type Reason, unreadable } from '@cofferdam/verdict';
import { type Arrival, arrivalOf, type Ways } from './arrival.ts';
import { type ByteStream, createByteStream, noPeer } from './byte-stream.ts';
import { openByClaim } from './claim-opening.ts';
import type { Dial } from './dialler.ts';
import { createOutOfTurnCheck, type FirstBytes, sniff } from './first-bytes.ts';
import { factsOfFirst, nothingClaimed, nothingRead } from './first-facts.ts';
import { createFlowLog, type FlowLogOptions } from './flow-log.ts';
import type { CurrentGate, Gate } from './gate.ts';
import { createHolds } from './held-bytes.ts';
import { createRetryChecks } from './hello-retry.ts';
import { answerDenied, runHttp } from './http-session.ts';
import { denial, judge, type Settled } from './judgement.ts';
import { type Caller, type Dialling, type Opened, openAtOnce } from './opening.ts';
import { createProxiedFlow, judgeOpaque, type ProxiedFlow } from './proxied-flow.ts';
import { splice } from './splice.ts';
import type { TlsOpener } from './tls-opening.ts';

export interface ProxyOptions {
  readonly gateway: string;
  readonly gate: CurrentGate;
  /** By DNS mode. */
  readonly ways: Ways;
  readonly dial: Dial;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly nextId: () => string;
  readonly emit: (record: FlowRecord) => void;
  readonly decided?: NonNullable<FlowLogOptions['decided']>;
  /** Told of what goes wrong here and in nobody's bytes. Its connection is cut, and no other. */
  readonly fault: (error: unknown) => void;
  /** Absent: no TLS is opened, and what a rule would have to read in it is denied. */
  readonly opener?: TlsOpener;
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
  /** Cuts every flow, and writes the records of their ends. */
  readonly close: () => void;
}

/** What an agent may hold, with its other end on the way. */
interface Admitted {
  readonly caller: Caller;
  readonly opening: Promise<Opened>;
}

/** Bytes of bodies that are held back to be read, over all agents and of each. */
const heldBytes = { ofAll: 64 * 1024 * 1024, ofOne: 16 * 1024 * 1024 } as const;

const nothing = { toDestination: 0n, toAgent: 0n };

export const createProxy = (options: ProxyOptions): FlowProxy => {
  const log = createFlowLog(options);
  const live = new Set<ProxiedFlow>();
  const sockets = new Set<Socket>();
  /** Connections by agent. */
  const connections = new Map<string, number>();

  const refuse = (arrival: Arrival, gate: Gate | undefined, judgement: Settled, facts: Facts = arrival.facts): void => {
    log.decided(gate, judgement, facts);
    log.write(arrival.subject, gate, facts, judgement, nothing, { kind: 'flow', end: options.now() });
  };

  /** Remembers a socket so that it can be cut. */
  const streamOf = (socket: Socket): ByteStream => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    return createByteStream(socket);
  };
  /** Other ends of connections that may turn out to lead elsewhere, while nobody has spoken. */
  const early = new Map<ByteStream, Facts>();
  const cutDenied = (upstream: ByteStream, facts: Facts): void => {
    const gate = options.gate();
    if (gate !== undefined && judge(gate, { ...facts, at: options.now() }).kind === 'deny') upstream.reset();
  };
  const dialling: Dialling = {
    gate: options.gate,
    dial: options.dial,
    streamOf,
    connectTimeout: options.connectTimeout,
    now: options.now,
    opens: options.opener !== undefined,
    async whileSilent(upstream, facts, spoken) {
      early.set(upstream, facts);
      cutDenied(upstream, facts);
      await spoken;
      early.delete(upstream);
    },
  };

  /** The server spoke first: nothing of the client's will be TLS or HTTP any more, and the walk decides before it passes. */
  const serverFirst = async (flow: ProxiedFlow): Promise<void> => {
    const judgement = judgeOpaque(flow, 'opaque');
    if (judgement.kind === 'deny') return flow.cut(judgement);
    flow.note(judgement);
    const check = createOutOfTurnCheck();
    const fromClient = (bytes: Uint8Array): boolean => {
      const seen = check.push(bytes);
      if (seen !== 'out-of-turn') return true;
      // By the plan in force: another may have come since.
      const now = judgeOpaque(flow, 'opaque');
      const out =
        now.kind === 'deny'
          ? now
          : flow.settleUnread(nothingRead, { ...now, stage: 'name', reason: 'spoke-out-of-turn' });
      flow.note(out);
      return out.kind === 'permit';
    };
    await splice(flow.client(), flow.upstream(), { fromClient });
  };

  const requests = {
    log,
    headTimeout: options.undecidedTimeout,
    linger: options.linger,
    hold: createHolds(heldBytes),
  };

  /** TLS above first, so that a destination that cannot be trusted is known before the client says a word of a request. */
  const inspect = async (flow: ProxiedFlow, opener: TlsOpener): Promise<void> => {
    flow.open();
    const { claimedName, destination } = flow.facts();
    const subject =
      claimedName.state === 'known' ? { name: claimedName.value } : { address: flow.subject.synthetic ?? destination };
    const beyond = await opener.toDestination(flow.upstream(), subject);
    const inside = await opener.toAgent(flow.client(), subject);
    const refuse = (reason: Reason): Settled => denial(flow.waiting(), 'name', reason);
    if (inside.kind === 'failed') return flow.cut(refuse(inside.reason));
    flow.goOnInside(inside.stream, beyond.kind === 'done' ? beyond.stream : noPeer);
    if (beyond.kind === 'failed') {
      const judgement = refuse(beyond.reason);
      flow.note(judgement);
      return answerDenied(flow, judgement, 'GET', options.linger);
    }
    await runHttp(flow, requests);
    const refusal = inside.refusal();
    if (refusal !== undefined) flow.note(refuse(refusal));
  };

  const clientFirst = async (flow: ProxiedFlow, first: FirstBytes): Promise<void> => {
    const [client, upstream] = [flow.client(), flow.upstream()];
    switch (first.kind) {
      case 'http':
        return runHttp(flow, requests);
      case 'closed':
      case 'timeout': {
        const reason = first.kind === 'closed' ? 'undecided-closed' : 'undecided-timeout';
        const isSilent = !client.hasBytes();
        // Named after the rule that waits; a permit of the packet stage still had to see what it was.
        const waiting = flow.settleNow(reason);
        const unread = isSilent ? nothingClaimed : nothingRead;
        const judgement =
          waiting.kind === 'deny' ? waiting : flow.settleUnread(unread, { ...waiting, stage: 'name', reason });
        if (judgement.kind === 'deny') return flow.cut(judgement);
        flow.note(judgement);
        // Who was only late to speak may do so yet.
        return isSilent && first.kind === 'timeout' ? carry(flow, undefined) : splice(client, upstream);
      }
      case 'tls':
      case 'tls-unreadable': {
        flow.learn(factsOfFirst(first));
        if (first.kind === 'tls' && first.encrypted) flow.learnEncrypted();
        if (first.kind === 'tls' && options.opener !== undefined && flow.isOpened())
          return inspect(flow, options.opener);
        const judgement = flow.settleNow('would-need-opening');
        if (judgement.kind === 'deny') return flow.cut(judgement);
        flow.note(judgement);
        if (first.kind !== 'tls') return splice(client, upstream);
        const checks = createRetryChecks({
          first: first.name,
          length: first.length,
          refusesEch() {
            flow.learnEncrypted();
            return flow.settleNow('would-need-opening').reason === 'ech-refused';
          },
          deny(reason) {
            // By the plan in force: another may have come since.
            const now = flow.settleNow('would-need-opening');
            const out =
              now.kind === 'deny'
                ? now
                : flow.settleUnread({ claimedName: unreadable }, { ...now, stage: 'name', reason });
            flow.note(out);
            return out.kind === 'permit';
          },
        });
        return splice(client, upstream, checks);
      }
      case 'opaque':
      case 'http-unreadable': {
        const judgement = judgeOpaque(flow, first.kind);
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

  const carry = async (flow: ProxiedFlow, first: FirstBytes | 'server' | undefined): Promise<void> => {
    if (first === 'server') return serverFirst(flow);
    if (first !== undefined) return clientFirst(flow, first);
    const [client, upstream] = [flow.client(), flow.upstream()];
    await Promise.race([client.readable(), upstream.readable()]);
    if (client.hasBytes()) return clientFirst(flow, await sniff(client, options.undecidedTimeout));
    // The server spoke, or one side ended without a word: either way the client's facts are absent for good.
    return serverFirst(flow);
  };

  const connect = async (socket: Socket, { arrival, client }: Caller, opening: Promise<Opened>): Promise<void> => {
    socket.setTimeout(options.idle, client.reset);
    const opened = await opening;
    if (opened.kind === 'refused') {
      refuse(arrival, opened.by, opened.judgement, opened.facts);
      client.reset();
      return;
    }
    const upstream = opened.kind === 'connected' ? opened.upstream : noPeer;
    const flow = createProxiedFlow({
      subject: arrival.subject,
      facts: opened.facts,
      client,
      upstream,
      gate: options.gate,
      log,
      denied: opened.kind === 'denied' ? opened : undefined,
    });
    socket.on('timeout', upstream.reset);
    live.add(flow);
    // While it was dialled another plan may have come.
    flow.rejudge();
    try {
      await carry(flow, opened.first);
    } finally {
      live.delete(flow);
      client.reset();
      upstream.reset();
      flow.finish();
    }
  };

  const release = (agent: string): void => {
    const left = (connections.get(agent) ?? 1) - 1;
    if (left === 0) connections.delete(agent);
    else connections.set(agent, left);
  };

  /**
   * Counted, and being opened; or denied, which is recorded. It does not wait: what waits for the end of a flow would keep the plan that let it in.
   */
  const admit = (socket: Socket, client: ByteStream, onInterface: string): Admitted | undefined => {
    const gate = options.gate();
    const arrival = arrivalOf(socket, onInterface, gate, options.ways, options);
    if (arrival === undefined) return undefined;
    const { agent } = arrival.subject;
    const count = connections.get(agent?.name ?? '') ?? 0;
    if (gate === undefined || agent === undefined || count >= options.ofOneAgent) {
      const reason = gate === undefined ? 'no-plan' : agent === undefined ? 'unknown-agent' : 'flow-quota';
      refuse(arrival, gate, denial('default', 'packet', reason));
      return undefined;
    }
    connections.set(agent.name, count + 1);
    const caller = { arrival, agent, client, isGone: () => socket.destroyed };
    const { follow } = options.ways;
    const opening =
      follow === undefined
        ? openAtOnce(caller, dialling, gate)
        : openByClaim(caller, dialling, gate, follow, options.undecidedTimeout);
    return { caller, opening };
  };

  const handle = async (socket: Socket, onInterface: string): Promise<void> => {
    const client = streamOf(socket);
    try {
      const admitted = admit(socket, client, onInterface);
      if (admitted === undefined) return client.reset();
      try {
        await connect(socket, admitted.caller, admitted.opening);
      } finally {
        release(admitted.caller.agent.name);
      }
    } catch (e) {
      client.reset();
      options.fault(e);
    }
  };

  return {
    handle,
    rejudge: () => {
      for (const flow of [...live]) flow.rejudge();
      for (const [upstream, facts] of [...early]) cutDenied(upstream, facts);
    },
    connections: () => [...connections.values()].reduce((sum, count) => sum + count, 0),
    held: () => connections,
    close: () => {
      // Not when their sockets have closed: nobody writes records then.
      for (const flow of live) flow.finish();
      for (const socket of sockets) socket.destroy();
    },
  };
};
