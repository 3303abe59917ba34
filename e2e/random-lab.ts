/**
 * The randomised lab: a case is a policy and flows, put through a real gateway. Every packet that arrives anywhere must be one that the
 * reference evaluator permits, and every flow that it permits must arrive. What fails is made smaller, rule by rule and flow by flow.
 */
import { type PolicySet, parsePolicy, prepare, printPolicy } from '@cofferdam/policy';
import {
  address,
  clientHelloStream,
  type Draw,
  drawFrom,
  fragmentHeader,
  ipFrame,
  protocolNumbers,
  tcpFrame,
  tcpHeaderAndPayload,
  udpFrame,
} from '@cofferdam/testkit';
import type { Lab } from '@cofferdam/testkit/lab';
import {
  describeFlow,
  drawFlow,
  type Expectation,
  expect,
  type FlowSpec,
  type Judge,
  mixed,
  rememberGroups,
  subnetOf,
} from './random-lab-flows.ts';
import { judgePacket, type Ledger, type SentFlow, traceOf } from './random-lab-packets.ts';
import { countRules, drawLabPolicy, withAnotherCount } from './random-lab-policy.ts';
import {
  drawWorld,
  type Family,
  familyOf,
  hasVlans,
  type PlannedWorld,
  type RandomWorld,
  type Seen,
  startWorld,
} from './random-lab-world.ts';

export interface Case {
  readonly policy: PolicySet;
  readonly flows: readonly FlowSpec[];
}

export interface Wrong {
  readonly because: string;
  readonly flow?: SentFlow;
  /** Where its bytes were seen. */
  readonly trace?: readonly string[];
}

/** A generator of the same numbers for the same seed (mulberry32). */
export const drawOf = (seed: number): Draw => {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return drawFrom({
    nextInt: (low: number = 0, high: number = 2 ** 31 - 1) => low + Math.floor(next() * (high - low + 1)),
  });
};

/** The same for the whole test, so that no flow's packets are taken for another's. */
let tokens = 0;
const nextToken = (): string => `tk${String(++tokens).padStart(7, '0')}x`;

/** Below the ports that systems choose by themselves. */
let ports = 0;
const nextPort = (): number => 10_000 + (ports++ % 22_000);

/** Of every network, since connections end late: the last packets of one network's may arrive when the next one stands. */
const byToken = new Map<string, SentFlow>();
const byPort = new Map<string, SentFlow>();
const remember = (flow: SentFlow): void => {
  byToken.set(flow.token, flow);
  byPort.set(`${flow.spec.protocol} ${flow.sourcePort}`, flow);
};

const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const bytesOf = (spec: FlowSpec, token: string): Uint8Array => {
  if (spec.protocol !== 'tcp') return latin1(token.repeat(Math.ceil(spec.size / token.length)));
  const { words } = spec;
  switch (words.kind) {
    case 'opaque':
      return latin1(`\0${token}\r\n`);
    case 'tls':
      return clientHelloStream({
        ...(words.sni === undefined ? {} : { sni: words.sni }),
        sessionId: latin1(token.padEnd(32, '.')),
      });
    case 'http': {
      const host = spec.port === 80 ? words.host : `${words.host}:${spec.port}`;
      return latin1(`${words.method} ${words.path} HTTP/1.1\r\nHost: ${host}\r\nX-Token: ${token}\r\n\r\n`);
    }
  }
};

/** What no program sends. */
const framesOf = (world: RandomWorld, spec: FlowSpec, token: string, sourcePort: number): readonly string[] => {
  if (spec.manner === 'socket') return [];
  const { mac, gatewayMac } = world.subnets[spec.subnet]!;
  const ends = {
    source: address(spec.source),
    destination: address(spec.address!),
    sourcePort,
    destinationPort: spec.port,
  };
  const on = { source: mac, destination: gatewayMac };
  const payload = latin1(token.repeat(4));
  if (spec.manner === 'spoofed')
    return [hex(spec.protocol === 'tcp' ? tcpFrame(ends, { ...on, flags: 'S' }) : udpFrame(ends, { ...on, payload }))];
  const { family } = ends.source;
  const protocol = spec.manner === 'torn' ? protocolNumbers.tcp : protocolNumbers.udp;
  const whole = spec.manner === 'torn' ? tcpHeaderAndPayload(ends, { flags: 'S', payload }) : payload;
  const cut = 24;
  const piece = (from: number, to: number, more: boolean): string => {
    const part = whole.subarray(from, to);
    const at = from + (spec.manner === 'orphan' ? 800 : 0);
    if (family === 4)
      return hex(
        ipFrame(ends.source, ends.destination, protocol, part, {
          ...on,
          fragment: (more ? 0x2000 : 0) | (at / 8),
          id: sourcePort,
        }),
      );
    const head = fragmentHeader(protocol, at, more, sourcePort);
    return hex(ipFrame(ends.source, ends.destination, 44, Buffer.concat([head, part]), on));
  };
  return spec.manner === 'torn'
    ? [piece(0, cut, true), piece(cut, whole.length, false)]
    : [piece(0, whole.length, false)];
};

interface Result {
  readonly id: number;
  readonly to: string | null;
  readonly got: number;
  readonly why: string;
}

/** Whether somebody answered at all: on a busy machine the lab's kernel now and then leaves an echo unanswered. TCP tries again. */
const hasAnswered = ({ spec, expected, token }: SentFlow, seen: readonly Seen[], planned: PlannedWorld): boolean =>
  spec.protocol === 'tcp' ||
  expected.chances.some(
    ({ address: to }) =>
      subnetOf(planned, to) !== undefined || traceOf(token, seen).some((line) => line.includes(`: ${to} → `)),
  );

export interface Counts {
  cases: number;
  flows: number;
  permitted: number;
  arrived: number;
  packets: number;
  readonly by: Record<string, number>;
}

export const newCounts = (): Counts => ({ cases: 0, flows: 0, permitted: 0, arrived: 0, packets: 0, by: {} });

/** One network and its gateway, through which cases go one after the other. */
export interface Runner {
  readonly world: RandomWorld;
  readonly draw: (draw: Draw) => Case;
  /** What is wrong with a case; nothing where it holds. `judgedBy`: another policy than the one in force, to see that the lab can tell. */
  readonly run: (one: Case, counts?: Counts, judgedBy?: PolicySet) => Promise<readonly Wrong[]>;
  readonly shrink: (
    one: Case,
    wrong: readonly Wrong[],
  ) => Promise<{ readonly smallest: Case; readonly wrong: readonly Wrong[] }>;
  readonly stop: () => Promise<void>;
}

const flowsOfCase = 16;

export const startRunner = async (lab: Lab, planned: PlannedWorld): Promise<Runner> => {
  const world = await startWorld(lab, planned);
  const addressesOf = (name: string): readonly string[] => lab.addresses(name);
  const learnedNames = new Map<string, string>();
  let rulesInForce = -1;
  let askedBefore: ReadonlySet<string> = new Set();
  const waiting = new Map<number, (result: Result) => void>();
  let ids = 0;
  for (const { agent } of world.subnets) {
    let rest = '';
    agent.child.stdout!.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const result = JSON.parse(line) as Result;
        waiting.get(result.id)?.(result);
        waiting.delete(result.id);
      }
    });
  }

  const judgeOf = (policy: PolicySet): Judge => {
    const prepared = prepare(policy, world.context(policy));
    const webs = [...policy.webGroups].map(([key, { domains, urls }]) => [key, { any: false, domains, urls }] as const);
    rememberGroups(prepared, new Map(webs));
    return {
      prepared,
      world: planned,
      addressesOf,
    };
  };

  const steady = (judge: Judge, spec: FlowSpec): Expectation | undefined => {
    const now = expect(judge, spec, Date.now());
    // Hours of a schedule that begin or end while a case runs.
    return JSON.stringify(now) === JSON.stringify(expect(judge, spec, Date.now() + 30_000)) ? now : undefined;
  };

  const send = (flow: SentFlow): Promise<Result> => {
    const { spec, expected, token, sourcePort } = flow;
    const family = familyOf(spec.source) as Family;
    const here = world.subnets[spec.subnet]!;
    const id = ++ids;
    const known = spec.stale ? learnedNames.get(`${family} ${spec.name}`) : undefined;
    const words = {
      do: 'flow',
      id,
      family,
      source: spec.source,
      sourcePort,
      protocol: spec.protocol,
      port: spec.port,
      wait: expected.must ? 6 : 0.25,
      linger: expected.answered ? 6 : 0.15,
      patient: expected.must,
      listens: spec.words.kind === 'opaque' && spec.words.after,
      bytes: hex(bytesOf(spec, token)),
      frames: framesOf(world, spec, token, sourcePort),
      ...(spec.name === undefined ? {} : { name: spec.name }),
      ...(known !== undefined ? { address: known } : spec.address === undefined ? {} : { address: spec.address }),
      server: spec.server ?? here.gateway.find((one) => familyOf(one) === family),
    };
    const result = new Promise<Result>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no word of ${describeFlow(spec)}`)), 30_000);
      waiting.set(id, (one) => {
        clearTimeout(timer);
        resolve(one);
      });
    });
    here.agent.child.stdin!.write(`${JSON.stringify(words)}\n`);
    return result;
  };

  const run: Runner['run'] = async (one, counts, judgedBy) => {
    const set = withAnotherCount(one.policy, rulesInForce);
    const text = printPolicy(set);
    const { policy, diagnostics } = parsePolicy([{ file: 'generated', text }], { now: Date.now() });
    if (policy === undefined) throw new Error(`a generated policy has errors: ${JSON.stringify(diagnostics)}\n${text}`);
    await world.enforce(text, countRules(policy));
    rulesInForce = countRules(policy);
    const judge = judgeOf(judgedBy ?? policy);
    const hostnames = [...policy.smartGroups.values()].flatMap(({ any }) =>
      any.flatMap((selector) => (selector.kind === 'hostname' ? [selector.name] : [])),
    );
    // The gateway looks at the files a second time, a moment after it was told, and a question outlives the client that gave it up: by then
    // another case may have begun.
    const asked = new Set<string>(hostnames);
    const sent: SentFlow[] = [];
    for (const spec of one.flows) {
      const known = spec.stale && learnedNames.has(`${familyOf(spec.source)} ${spec.name}`);
      if (spec.stale && !known) continue;
      const expected = steady(judge, spec);
      if (expected === undefined) continue;
      if (expected.asks && !spec.stale) asked.add(spec.name!);
      const flow: SentFlow = { spec, expected, token: nextToken(), sourcePort: nextPort() };
      remember(flow);
      sent.push(flow);
    }
    const results = await Promise.all(sent.map(send));
    for (const [at, { to }] of results.entries()) {
      const { spec } = sent[at]!;
      if (to !== null && spec.name !== undefined) learnedNames.set(`${familyOf(spec.source)} ${spec.name}`, to);
    }
    const everything = await world.seen();
    const ledger: Ledger = {
      byToken,
      byPort,
      asked: asked.union(askedBefore),
      resolvers: lab.resolvers,
      host: [lab.host4, lab.host6],
      gateways: planned.subnets.flatMap(({ gateway }) => gateway),
    };
    askedBefore = asked;
    const wrong: Wrong[] = [];
    const arrived = new Set<string>();
    for (const packet of everything) {
      const word = judgePacket(packet, ledger);
      if (word === undefined) continue;
      if (counts !== undefined) counts.packets++;
      if (word.kind === 'wrong')
        wrong.push({ because: word.because, ...(word.flow === undefined ? {} : { flow: word.flow }) });
      else if (word.arrived !== undefined) arrived.add(word.arrived.token);
    }
    for (const [at, flow] of sent.entries()) {
      const { must, answered } = flow.expected;
      const { got, why, to } = results[at]!;
      if (must && !arrived.has(flow.token))
        wrong.push({
          flow,
          because: `it is permitted and did not arrive (asked: ${to}, client: ${why || `${got} bytes`})`,
        });
      else if (answered && got === 0 && hasAnswered(flow, everything, planned))
        wrong.push({
          flow,
          because: `it arrived, and no answer came back (asked: ${to}, client: ${why || 'nothing'})`,
        });
      if (counts === undefined) continue;
      counts.flows++;
      if (must) counts.permitted++;
      if (arrived.has(flow.token)) counts.arrived++;
      const kind = `${flow.spec.manner === 'socket' ? '' : `${flow.spec.manner} `}${flow.spec.protocol} ${must ? 'permitted' : 'other'}`;
      counts.by[kind] = (counts.by[kind] ?? 0) + 1;
    }
    if (counts !== undefined) counts.cases++;
    if (judgedBy !== undefined) {
      // What ends late is judged by what was in force.
      const inForce = judgeOf(policy);
      for (const flow of sent) remember({ ...flow, expected: expect(inForce, flow.spec, Date.now()) });
    }
    return wrong.map((one) => (one.flow === undefined ? one : { ...one, trace: traceOf(one.flow.token, everything) }));
  };

  const draw = (from: Draw): Case => {
    const policy = drawLabPolicy(from, planned, Date.now());
    const judge = judgeOf(policy);
    const flow = (): FlowSpec => {
      const wanted = from.chance(65);
      for (let tries = 0; ; tries++) {
        const spec = drawFlow(from, planned, addressesOf);
        if (tries >= 16 || expect(judge, spec, Date.now()).must === wanted) return spec;
      }
    };
    return { policy, flows: Array.from({ length: flowsOfCase }, flow) };
  };

  const shrink: Runner['shrink'] = async (first, before) => {
    let smallest = first;
    let wrong = before;
    let attempts = 0;
    const attempt = async (candidate: Case): Promise<boolean> => {
      if (++attempts > 120) return false;
      const found = await run(candidate);
      if (found.length === 0) return false;
      smallest = candidate;
      wrong = found;
      return true;
    };
    // A flow alone, where one is named and fails alone; else flow by flow.
    const named = wrong.find(({ flow }) => flow !== undefined)?.flow?.spec;
    if (named === undefined || !(await attempt({ ...smallest, flows: [named] })))
      for (const flow of first.flows)
        await attempt({ ...smallest, flows: smallest.flows.filter((one) => one !== flow) });
    for (const { rules } of first.policy.rulesets)
      for (const rule of rules) {
        const rulesets = smallest.policy.rulesets
          .map((one) => ({ ...one, rules: one.rules.filter((other) => other !== rule) }))
          .filter((one) => one.rules.length > 0);
        await attempt({ ...smallest, policy: { ...smallest.policy, rulesets } });
      }
    return { smallest, wrong };
  };

  return { world, draw, run, shrink, stop: world.stop };
};

/** All that a reader needs of a failure. */
export const describeFailure = (runner: Runner, { policy, flows }: Case, wrong: readonly Wrong[]): string =>
  [
    ...wrong
      .slice(0, 12)
      .map(
        ({ because, flow, trace = [] }) =>
          (flow === undefined
            ? because
            : `${describeFlow(flow.spec)}\n  ${JSON.stringify(flow.expected)}\n  port ${flow.sourcePort}: ${because}`) +
          trace.map((line) => `\n  seen ${line}`).join(''),
      ),
    `network: ${JSON.stringify(runner.world.planned)}`,
    `flows:\n${flows.map((one) => `  ${describeFlow(one)}`).join('\n')}`,
    `policy:\n${printPolicy(policy)}`,
    `the gateway said:\n${runner.world.gateway().stderr().split('\n').slice(-8).join('\n')}`,
  ].join('\n');

export const labRecords = [mixed] as const;

export { drawWorld, hasVlans };
