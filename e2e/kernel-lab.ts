import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { compile } from '@cofferdam/compiler';
import {
  answerBit,
  createNetworkNamespace,
  decodeFlow,
  encodeFlowKey,
  type FlowKey,
  firstBit,
  firstSetId,
  holderOf,
  interfaceIndex,
  type Kernel,
  type KernelEvent,
  type KernelFlow,
  layout,
  marks,
  type NetworkNamespace,
  openKernel,
  type RuleHits,
  runProgram,
} from '@cofferdam/datapath';
import type { Address, DomainName } from '@cofferdam/net';
import { classifyName, classifyNames, type LoadedPlan, loadPlan } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet } from '@cofferdam/policy';
import { agentMac, decodePacket, type Ends, gatewayMac, reversed, type TcpWords, tcpFrame } from '@cofferdam/testkit';

import type { Reason } from '@cofferdam/verdict';

/**
 * The kernel program under test run: packets go in as bytes, and what comes out is a verdict, a mark, and events. No interface carries
 * anything; the interfaces here only lend their numbers.
 */

export const objectFile =
  process.env.COFFERDAM_BPF_OBJECT ?? new URL('../build/cofferdam.bpf.o', import.meta.url).pathname;

/** Why these tests cannot run here, or `false`. */
export const kernelUnavailable = (): string | false => {
  if (process.getuid?.() !== 0) return 'only root may load kernel programs';
  return existsSync(objectFile) ? false : 'the kernel program was not built: `make build`';
};

export const interfaces = ['eth1', 'eth2', 'eth9'] as const;
export const pools = { v4: '198.18.0.0/16', v6: 'fd00:cffd:1::/64' } as const;

/** Mark names as the marks have them; `none` is what netfilter rejects. */
export type Outcome = 'pass' | 'proxy' | 'dns' | 'reject' | 'local' | 'none' | 'dropped';

/** Whether a segment went on as a reset: of a flow that was cut, its server learns so. */
export const isReset = ({ outcome, packet }: Sent): boolean =>
  outcome === 'pass' &&
  decodePacket({ frame: 0, linkType: 1, bytes: packet, wireLength: packet.length, at: 0 })?.tcp?.rst === true;

const marksByTag: ReadonlyMap<number, Outcome> = new Map([
  [0xcd01, 'pass'],
  [0xcd02, 'proxy'],
  [0xcd03, 'dns'],
  [0xcd04, 'reject'],
  [0xcd05, 'local'],
  [0, 'none'],
]);

export interface Sent {
  readonly outcome: Outcome;
  readonly mark: number;
  readonly packet: Buffer;
  readonly events: readonly KernelEvent[];
}

export interface KernelLab {
  readonly kernel: Kernel;
  readonly namespace: NetworkNamespace;
  indexOf(name: string): number;
  /** All interfaces of the lab that an agent row means. */
  readonly ifindexes: (name: string | undefined) => readonly number[];
  /** Must be called inside {@link inside}. */
  fromAgent(frame: Uint8Array, on?: string): Sent;
  /** A forwarded packet unless `local`; it answers the last one that passed, unless `mark` says which. */
  toAgent(frame: Uint8Array, on?: string, local?: boolean, mark?: number): Sent;
  flow(ends: Ends, protocol: FlowKey['protocol'], on?: string): KernelFlow | undefined;
  /** Writes one 64-bit field of a flow: how a test moves the clock. */
  poke(ends: Ends, protocol: FlowKey['protocol'], field: 'start' | 'last' | 'first_byte', value: bigint): void;
  apply(plan: LoadedPlan): void;
  /** The plan in force. */
  plan(): LoadedPlan;
  /** `turn`: see NameTranslation. */
  install(name: DomainName, synthetic: readonly Address[], addresses: readonly Address[], turn?: number): number;
  /** What the gateway does on an EVENT_NAME_MISS. */
  classify(name: DomainName): number;
  /** In track mode: an agent was given an address for names. None: it was not, or not any more. Returns the id that its flows to it begin with. */
  track(agent: string, address: Address, names: readonly DomainName[]): number;
  forgetAll(): void;
  /** Packets dropped or denied so far, by reason. */
  drops(): ReadonlyMap<Reason, bigint>;
  /** Hits of a rule, or of the default. */
  hits(rule: number | 'default'): RuleHits;
  inside<T>(work: () => T): T;
  close(): void;
}

export const openKernelLab = (sizes: Readonly<Record<string, number>> = {}): KernelLab => {
  const namespace = createNetworkNamespace();
  const ip = (...words: string[]) =>
    namespace.run(() => execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] }));
  const indexes = new Map<string, number>();
  for (const [i, name] of interfaces.entries()) {
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `far${i}`);
    ip('link', 'set', name, 'up');
    indexes.set(
      name,
      namespace.run(() => interfaceIndex(name)),
    );
  }
  const indexOf = (name: string): number => indexes.get(name) ?? 0;
  const ifindexes = (name: string | undefined): readonly number[] =>
    name === undefined || name === '' ? [...indexes.values()] : indexes.has(name) ? [indexOf(name)] : [];
  let events: KernelEvent[] = [];
  const kernel = openKernel(objectFile, (event) => events.push(event), sizes);
  let plan: LoadedPlan | undefined;
  let lastId = 0;
  const ids = new Map<DomainName, number>();
  const idOf = (name: DomainName): number => {
    const id = ids.get(name) ?? ++lastId;
    ids.set(name, id);
    return id;
  };
  const sets = new Map<string, { readonly id: number; readonly names: readonly DomainName[] }>();
  const setOf = (names: readonly DomainName[]): { readonly id: number; readonly names: readonly DomainName[] } => {
    const key = [...names].sort().join();
    const set = sets.get(key) ?? { id: firstSetId + sets.size, names };
    sets.set(key, set);
    return set;
  };
  const classify = (name: DomainName): number => {
    const id = idOf(name);
    if (!kernel.classify(id, name, classifyName(plan!, name))) throw new Error('no room');
    return id;
  };
  /** What connection tracking remembers of the last packet that passed, and netfilter gives its replies. */
  let passed = marks.pass + answerBit;
  const run = (program: number, frame: Uint8Array, ifindex: number, ingressIfindex: number, replyMark = 0): Sent => {
    const context = { ifindex, ingressIfindex, mark: replyMark };
    const { result, mark, packet } = runProgram(program, Buffer.from(frame), context);
    events = [];
    kernel.poll();
    // A reply has the mark already: what was not dropped is delivered.
    const tag = program === kernel.programs.toAgent ? 0 : mark >>> 16;
    const outcome = result !== 0 ? 'dropped' : (marksByTag.get(tag) ?? 'none');
    return { outcome, mark, packet, events };
  };
  const keyOf = (ends: Ends, protocol: FlowKey['protocol'], on: string): Buffer =>
    encodeFlowKey({ ...ends, protocol, ifindex: indexOf(on) });
  const flows = kernel.object.map('flows');

  return {
    kernel,
    namespace,
    indexOf,
    ifindexes,
    fromAgent(frame, on = 'eth1') {
      const sent = run(kernel.programs.fromAgent, frame, indexOf(on), 0);
      if (sent.outcome === 'pass') passed = ((sent.mark & ~firstBit) | answerBit) >>> 0;
      return sent;
    },
    toAgent: (frame, on = 'eth1', local = false, mark = passed) =>
      run(kernel.programs.toAgent, frame, indexOf(on), local ? 0 : 1, mark),
    flow(ends, protocol, on = 'eth1') {
      const value = Buffer.alloc(layout.flow.size);
      return flows.get(keyOf(ends, protocol, on), value) ? decodeFlow(value, ends.source.family) : undefined;
    },
    poke(ends, protocol, field, number) {
      const key = keyOf(ends, protocol, 'eth1');
      const value = Buffer.alloc(layout.flow.size);
      if (!flows.get(key, value)) throw new Error('no such flow');
      value.writeBigUInt64LE(number, layout.flow[field]);
      flows.set(key, value);
    },
    apply(loaded) {
      plan = loaded;
      kernel.apply(loaded, { ifindexes, pools: [pools.v4, pools.v6], own: [] }, [
        ...[...ids].map(([name, id]) => ({ id, classes: classifyName(loaded, name) })),
        ...[...sets.values()].map(({ id, names }) => ({ id, classes: classifyNames(loaded, names) })),
      ]);
    },
    plan: () => plan!,
    install(name, synthetic, addresses, turn = 0) {
      const id = idOf(name);
      const standing = synthetic.map((address) => ({ address, turn }));
      if (!kernel.install({ id, name, synthetic: standing, addresses }, classifyName(plan!, name)))
        throw new Error('no room');
      return id;
    },
    classify,
    track(agent, address, names) {
      const holder = holderOf(agent);
      if (names.length === 0) {
        kernel.untrack(holder, address);
        return 0;
      }
      const members = [...new Set(names)].map(classify);
      const set = members.length > 1 ? setOf([...new Set(names)]) : undefined;
      if (set !== undefined && !kernel.installSet(set.id, members, classifyNames(plan!, set.names)))
        throw new Error('no room');
      const id = set?.id ?? members[0]!;
      if (!kernel.track(holder, address, id)) throw new Error('no room');
      return id;
    },
    forgetAll() {
      for (const { key } of [...kernel.flows()]) kernel.forget(key);
    },
    drops: kernel.drops,
    hits(rule) {
      const found = kernel.hits(rule === 'default' ? 0 : rule + 1);
      return rule === 'default' ? found.default : found.rules[rule]!;
    },
    inside: (work) => namespace.run(work),
    close() {
      kernel.close();
      namespace.close();
    },
  };
};

const digest = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

let revision = 0;
/** Each plan has a revision of its own, so that flows of one are judged again by the next. */
export const loadedPlan = (policy: PolicySet, context: EvaluationContext, at = Date.now()): LoadedPlan =>
  loadPlan(compile(policy, { ...context, at, revision: ++revision, digest }).plan);

/** One TCP connection of an agent, spoken by hand: sequence numbers are kept, and anything can be said out of turn. */
export class Connection {
  readonly lab: KernelLab;
  readonly ends: Ends;
  readonly on: string;
  readonly isn: number;
  readonly serverIsn = 0x7000_0000;
  /** Next sequence number of the agent, and of the server. */
  next: number;
  serverNext: number;

  constructor(lab: KernelLab, ends: Ends, isn = 0x1234_5678, on = 'eth1') {
    this.lab = lab;
    this.ends = ends;
    this.on = on;
    this.isn = isn;
    this.next = (isn + 1) >>> 0;
    this.serverNext = (this.serverIsn + 1) >>> 0;
  }

  /** First sequence number of the agent's data. */
  get base(): number {
    return (this.isn + 1) >>> 0;
  }

  get flow(): KernelFlow | undefined {
    return this.lab.flow(this.ends, 'tcp', this.on);
  }

  agent(words: TcpWords): Sent {
    return this.lab.fromAgent(tcpFrame(this.ends, { source: agentMac, ...words }), this.on);
  }

  server(words: TcpWords): Sent {
    return this.lab.toAgent(
      tcpFrame(reversed(this.ends), { source: gatewayMac, destination: gatewayMac, ...words }),
      this.on,
    );
  }

  syn(words: TcpWords = {}): Sent {
    return this.agent({ flags: 'S', sequence: this.isn, ...words });
  }

  synAck(words: TcpWords = {}): Sent {
    return this.server({ flags: 'SA', sequence: this.serverIsn, acknowledgement: this.base, ...words });
  }

  /** SYN, SYN-ACK, ACK; says what became of the SYN. */
  open(): Sent {
    const sent = this.syn();
    if (sent.outcome !== 'pass') return sent;
    this.synAck();
    this.agent({ flags: 'A', sequence: this.next, acknowledgement: this.serverNext });
    return sent;
  }

  /** The next bytes of the agent, or bytes at another place (an offset from the first). */
  say(payload: Uint8Array, at?: number, words: TcpWords = {}): Sent {
    const sequence = at === undefined ? this.next : (this.base + at) >>> 0;
    if (at === undefined) this.next = (this.next + payload.length) >>> 0;
    return this.agent({ flags: 'PA', sequence, acknowledgement: this.serverNext, payload, ...words });
  }

  /** In segments that test runs take. */
  sayAll(bytes: Uint8Array, size = 1400): Sent {
    let sent: Sent | undefined;
    for (let at = 0; at < bytes.length; at += size) {
      sent = this.say(bytes.subarray(at, at + size));
      if (sent.outcome !== 'pass') return sent;
    }
    return sent!;
  }

  /** The next bytes of the server, which has received everything unless `words` say otherwise. */
  answer(payload: Uint8Array, words: TcpWords = {}): Sent {
    const sequence = this.serverNext;
    this.serverNext = (this.serverNext + payload.length) >>> 0;
    return this.server({ flags: 'PA', sequence, acknowledgement: this.next, payload, ...words });
  }

  acknowledge(upTo = this.next): Sent {
    return this.server({ flags: 'A', sequence: this.serverNext, acknowledgement: upTo });
  }
}

/** RFC 8446, section 4.1.3: the random of a ServerHello that is a HelloRetryRequest. */
const retryRandom = 'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c';

const serverHello = (random: string): Uint8Array => {
  const body = Buffer.concat([Buffer.from(`0303${random}00130100`, 'hex'), Buffer.from('0006002b00020304', 'hex')]);
  const message = Buffer.concat([Buffer.from([2, 0, 0, body.length]), body]);
  return Uint8Array.from(Buffer.concat([Buffer.from([22, 3, 3, 0, message.length]), message]));
};

export const helloRetryRequest = serverHello(retryRandom);
export const plainServerHello = serverHello('ab'.repeat(32));
