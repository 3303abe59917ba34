/**
 * The randomised lab: a case is a policy and flows, put through a real gateway. Every packet that arrives anywhere must be one that the
 * reference evaluator permits, and every flow that it permits must arrive.
 */
import { type PolicySet, parsePolicy, prepare, printPolicy } from '@cofferdam/policy';
import { type Draw, drawFrom, name as nameOf } from '@cofferdam/testkit';
import type { Lab } from '@cofferdam/testkit/lab';
import { clientsOf, type Result } from './random-lab-clients.ts';
import { type Expectation, expect } from './random-lab-expect.ts';
import type { Case, Wrong } from './random-lab-failure.ts';
import { describeFlow, drawFlow, type FlowSpec, mixed, subnetOf } from './random-lab-flows.ts';
import { type Answer, answerFault, answerTo, createTold, type Judge, senderOf } from './random-lab-names.ts';
import { judgePacket, type Ledger, type SentFlow, traceOf } from './random-lab-packets.ts';
import { countRules, drawLabPolicy, withAnotherCount } from './random-lab-policy.ts';
import { familyOf, type PlannedWorld, type RandomWorld, type Seen, startWorld } from './random-lab-world.ts';

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

/** Of a flow whose client has no address. */
const unsent: Result = { id: 0, told: [], got: 0, why: 'no address' };

/** A flow whose client knows where to send it, if it was told. */
interface Asked {
  readonly spec: FlowSpec;
  readonly written: string | undefined;
  /** Why it should have been told otherwise. */
  readonly fault?: string;
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
  /** Cases of each DNS mode. */
  readonly modes: Record<string, number>;
}

export const newCounts = (): Counts => ({
  cases: 0,
  flows: 0,
  permitted: 0,
  arrived: 0,
  packets: 0,
  by: {},
  modes: {},
});

/** One network and its gateway, through which cases go one after the other. */
export interface Runner {
  readonly world: RandomWorld;
  readonly draw: (draw: Draw) => Case;
  /** What is wrong with a case; nothing where it holds. `judgedBy`: another policy than the one in force, to see that the lab can tell. */
  readonly run: (one: Case, counts?: Counts, judgedBy?: PolicySet) => Promise<readonly Wrong[]>;
  readonly stop: () => Promise<void>;
}

const flowsOfCase = 16;

/** Milliseconds: three tries of a client whose first packet met nobody. */
const longestSilence = 10_000;

export const startRunner = async (lab: Lab, planned: PlannedWorld): Promise<Runner> => {
  const world = await startWorld(lab, planned);
  const addressesOf = (name: string): readonly string[] => lab.addresses(name);
  /** By family and name: an address that some agent was told, which others may use too. */
  const learnedNames = new Map<string, string>();
  const told = createTold();
  const { ask, send } = clientsOf(world);
  let rulesInForce = -1;
  let askedBefore: ReadonlySet<string> = new Set();
  let sentBefore: readonly SentFlow[] = [];
  let waiting: readonly { readonly flow: SentFlow; readonly since: number }[] = [];
  const dialled = new Set<string>();
  const judgeOf = (policy: PolicySet): Judge => ({
    prepared: prepare(policy, world.context(policy)),
    webGroups: new Map([...policy.webGroups].map(([key, { domains, urls }]) => [key, { any: false, domains, urls }])),
    world: planned,
    addressesOf,
    toldNames: told.names,
  });

  /** Undefined: hours of a schedule begin or end while a case runs. */
  const steady = <T>(of: (at: number) => T): T | undefined => {
    const now = of(Date.now());
    return JSON.stringify(now) === JSON.stringify(of(Date.now() + 30_000)) ? now : undefined;
  };

  /** Where a flow's packets are to be sent, after its question; undefined where its client has no address. */
  const writtenOf = async (judge: Judge, spec: FlowSpec, expected: Answer): Promise<Asked> => {
    if (spec.name === undefined) return { spec, written: spec.address };
    const key = `${familyOf(spec.source)} ${spec.name}`;
    if (spec.stale) return { spec, written: learnedNames.get(key) };
    const { told: given, why } = await ask(spec, expected);
    const fault = answerFault(judge, expected, given);
    const written = given[0];
    if (written !== undefined) learnedNames.set(key, written);
    const sender = senderOf(judge, spec);
    if (sender !== undefined) told.note(sender.workload.name, spec.name, given);
    return { spec, written, ...(fault === undefined ? {} : { fault: `${fault}${why && ` (${why})`}` }) };
  };

  const run: Runner['run'] = async (one, counts, judgedBy) => {
    const set = withAnotherCount(one.policy, rulesInForce);
    const text = printPolicy(set);
    const { policy, diagnostics } = parsePolicy([{ file: 'generated', text }], { now: Date.now() });
    if (policy === undefined) throw new Error(`a generated policy has errors: ${JSON.stringify(diagnostics)}\n${text}`);
    await world.enforce(text, countRules(policy));
    rulesInForce = countRules(policy);
    const judge = judgeOf(judgedBy ?? policy);
    // What the other policy permits never comes.
    const patience = judgedBy === undefined ? 6 : 1;
    const hostnames = [...policy.smartGroups.values()].flatMap(({ any }) =>
      any.flatMap((selector) => (selector.kind === 'hostname' ? [selector.name] : [])),
    );
    // The gateway looks at the files a second time, a moment after it was told, and a question outlives the client that gave it up: by then
    // another case may have begun.
    const names = new Set<string>(hostnames);
    // So does a connection that waited for its other end: its client claims under this policy, and goes where that leads.
    waiting = waiting
      .filter(({ since }) => since + longestSilence > Date.now())
      .map(({ flow, since }) => {
        const { chances, follows } = expect(judge, flow.spec, flow.written, Date.now());
        if (follows !== undefined) names.add(follows);
        const expected = { ...flow.expected, chances: [...flow.expected.chances, ...chances] };
        return { flow: { ...flow, expected }, since };
      });
    for (const { flow } of waiting) remember(flow);
    const wrong: Wrong[] = [];
    // What agents are told says what their packets mean, so all questions come before all flows.
    const asked = await Promise.all(
      one.flows.flatMap((spec) => {
        const expected = steady((at) => answerTo(judge, spec, at));
        if (expected === undefined) return [];
        if (expected.asks && spec.stale !== true && spec.name !== undefined) names.add(spec.name);
        return [writtenOf(judge, spec, expected)];
      }),
    );
    const sent: SentFlow[] = [];
    for (const { spec, written, fault } of asked) {
      if (fault !== undefined) wrong.push({ because: `${describeFlow(spec)}: ${fault}` });
      if (spec.stale && written === undefined) continue;
      const expected = steady((at) => expect(judge, spec, written, at));
      if (expected === undefined) continue;
      if (expected.follows !== undefined) names.add(expected.follows);
      const flow: SentFlow = { spec, expected, written, token: nextToken(), sourcePort: nextPort() };
      remember(flow);
      sent.push(flow);
    }
    const results = await Promise.all(sent.map((flow) => (flow.written === undefined ? unsent : send(flow, patience))));
    const everything = await world.seen();
    const ledger: Ledger = {
      byToken,
      byPort,
      recent: [...sentBefore, ...waiting.map(({ flow }) => flow), ...sent],
      dialled,
      asked: names.union(askedBefore),
      resolvers: lab.resolvers,
      host: [lab.host4, lab.host6],
      gateways: planned.subnets.flatMap(({ gateway }) => gateway),
    };
    // Elsewhere a connection goes where its address leads.
    if (planned.dnsMode === 'own')
      waiting = [
        ...waiting,
        ...sent.filter(({ spec }) => spec.protocol === 'tcp').map((flow) => ({ flow, since: Date.now() })),
      ];
    askedBefore = names;
    sentBefore = sent;
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
      const { must, answered, names: addressNames } = flow.expected;
      const { got, why } = results[at]!;
      if (must && !arrived.has(flow.token))
        wrong.push({
          flow,
          because: `it is permitted and did not arrive (client: ${why || `${got} bytes`})`,
        });
      else if (answered && got === 0 && hasAnswered(flow, everything, planned))
        wrong.push({
          flow,
          because: `it arrived, and no answer came back (client: ${why || 'nothing'})`,
        });
      if (counts === undefined) continue;
      counts.flows++;
      if (must) counts.permitted++;
      if (arrived.has(flow.token)) counts.arrived++;
      const kind = `${flow.spec.manner === 'socket' ? '' : `${flow.spec.manner} `}${flow.spec.protocol} ${must ? 'permitted' : 'other'}${addressNames.length > 0 ? ' named' : ''}`;
      counts.by[kind] = (counts.by[kind] ?? 0) + 1;
    }
    if (counts !== undefined) {
      counts.cases++;
      counts.modes[planned.dnsMode] = (counts.modes[planned.dnsMode] ?? 0) + 1;
    }
    if (judgedBy !== undefined) {
      // What ends late is judged by what was in force.
      const inForce = judgeOf(policy);
      sentBefore = sent.map((flow) => ({ ...flow, expected: expect(inForce, flow.spec, flow.written, Date.now()) }));
      for (const flow of sentBefore) remember(flow);
    }
    return wrong.map((one) => (one.flow === undefined ? one : { ...one, trace: traceOf(one.flow.token, everything) }));
  };

  const draw = (from: Draw): Case => {
    const policy = drawLabPolicy(from, planned, Date.now());
    const judge = judgeOf(policy);
    // As if each agent were told nothing but what it is about to ask for, so that the same seed draws the same flows.
    const alone = (spec: FlowSpec): Expectation => {
      const at = Date.now();
      const [first] = answerTo(judge, spec, at).addresses;
      const toldNames: Judge['toldNames'] = () => (spec.name === undefined ? [] : [nameOf(spec.name)]);
      return expect({ ...judge, toldNames }, spec, spec.address ?? first, at);
    };
    const flow = (): FlowSpec => {
      const wanted = from.chance(65);
      for (let tries = 0; ; tries++) {
        const spec = drawFlow(from, planned, addressesOf);
        if (tries >= 32 || alone(spec).must === wanted) return spec;
      }
    };
    return { policy, flows: Array.from({ length: flowsOfCase }, flow) };
  };

  return { world, draw, run, stop: world.stop };
};

export const labRecords = [mixed] as const;
