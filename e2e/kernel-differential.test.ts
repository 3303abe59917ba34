/**
 * The kernel program against the plan's interpreter and the reference evaluator: generated policies and flows go through all three, the
 * program's as packets. Verdict, rule, stage, reason, path and would-be verdict are the same, but where `sameButFor` says otherwise.
 *
 * `COFFERDAM_SEED` and `COFFERDAM_PATH` replay a failure, `COFFERDAM_CASES` sets how many flows are tried. A difference is shrunk and
 * kept in `finds/`, where it is tried again for ever.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventKind, flowState, type KernelEvent, type KernelFlow } from '@cofferdam/datapath';
import type { Address, DomainName } from '@cofferdam/net';
import { agentOf, decide, type LoadedPlan, wouldBe } from '@cofferdam/plan';
import { evaluatePrepared, prepare, wouldBePrepared } from '@cofferdam/policy';
import {
  address,
  arbitraryScenarios,
  cutStream,
  type Ends,
  echoFrame,
  freeze,
  type Scenarios,
  thaw,
  udpFrame,
} from '@cofferdam/testkit';
import { type Decision, type Facts, type Reason, reasonFromNumber, unknown, type WouldBe } from '@cofferdam/verdict';
import * as fc from 'fast-check';
import { Connection, type KernelLab, kernelUnavailable, loadedPlan, openKernelLab, type Sent } from './kernel-lab.ts';
import { alsoSaid, cuts, saying, text } from './kernel-sayings.ts';

const skip = kernelUnavailable();
const finds = join(import.meta.dirname, 'finds');
const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const path = process.env.COFFERDAM_PATH;
const cases = Number(process.env.COFFERDAM_CASES ?? 10_000);
const flowsOfEach = 32;
/** Plans that one loaded program sees, so that names and flows of earlier plans are there, and fresh ones too. */
const plansOfEachLab = 40;

/** Where the program says the same in another word. */
const sameButFor: readonly { readonly plan: Reason; readonly kernel: Reason; readonly because: string }[] = [
  { plan: 'unknown-agent', kernel: 'source-spoofed', because: 'a packet from nobody is one with a false source' },
];

const counts: Record<string, number> = {};
const count = (what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1;
};

let lab: KernelLab | undefined;
let plansOfLab = 0;
const freshLab = (): KernelLab => {
  if (lab === undefined || plansOfLab >= plansOfEachLab) {
    lab?.close();
    lab = openKernelLab();
    plansOfLab = 0;
  }
  plansOfLab++;
  return lab;
};
after(() => lab?.close());

/** What the kernel says of a flow, in the words of a decision. */
interface KernelWord {
  readonly verdict: 'permit' | 'deny' | 'undecided';
  readonly rule: number | 'default';
  readonly reason: Reason;
  readonly stage: string;
  readonly path: 'kernel' | 'proxy';
  readonly wouldBe: WouldBe | undefined;
}

const wordOf = (flow: KernelFlow): KernelWord => ({
  verdict:
    flow.state === flowState.denied
      ? 'deny'
      : flow.state === flowState.pending || (flow.state === flowState.proxied && flow.reason === 0)
        ? 'undecided'
        : 'permit',
  rule: flow.rule ?? 'default',
  reason: reasonFromNumber(flow.reason),
  stage: flow.stage,
  path: flow.state === flowState.proxied ? 'proxy' : 'kernel',
  wouldBe:
    flow.wouldVerdict === undefined
      ? undefined
      : flow.wouldVerdict === 'unknown'
        ? 'unknown'
        : { verdict: flow.wouldVerdict, rule: flow.wouldRule ?? 'default', reason: reasonFromNumber(flow.wouldReason) },
});

const wordOfDecision = (decision: Decision, would: WouldBe | undefined): KernelWord => {
  if (decision.kind === 'undecided')
    return {
      verdict: 'undecided',
      rule: decision.rule,
      reason: 'no-decision',
      stage: 'packet',
      path: decision.path,
      wouldBe: would,
    };
  const { verdict, rule, stage, path: on } = decision;
  const other = sameButFor.find((row) => row.plan === decision.reason);
  return { verdict, rule, reason: other?.kernel ?? decision.reason, stage, path: on, wouldBe: would };
};

const sides = (loaded: LoadedPlan, scenarios: Scenarios) => {
  const prepared = prepare(scenarios.policy, scenarios.context);
  return (facts: Facts): { readonly decision: Decision; readonly would: WouldBe | undefined } => {
    const plan = { decision: decide(loaded, facts), would: wouldBe(loaded, facts) };
    assert.deepEqual(
      { decision: evaluatePrepared(prepared, facts), would: wouldBePrepared(prepared, facts) },
      plan,
      'evaluator and plan differ',
    );
    return plan;
  };
};

/** The same plan, for a kernel whose now is `at`. */
const shifted = (loaded: LoadedPlan, at: number): LoadedPlan => {
  const by = Date.now() - at;
  return { ...loaded, epochs: loaded.epochs.map((epoch) => ({ ...epoch, from: epoch.from + by })) };
};

const synthetic = (index: number, family: 4 | 6): Address =>
  family === 4
    ? { family, value: 0xc612_0100n + BigInt(index) }
    : { family, value: (0xfd00cffd00010000n << 64n) + 0x100n + BigInt(index) };

const namesOfAddress = { synthetic: 1, track: 4, own: 0 } as const;

/** A flow as it can be sent: one family, as many address names as there can be. Undefined where its agent has no address of the family. */
const sendable = (scenarios: Scenarios, facts: Facts, at: number): Facts | undefined => {
  const { family } = facts.destination;
  const addressNames = [...new Set(facts.addressNames)].slice(0, namesOfAddress[scenarios.context.dnsMode]);
  const one = { ...facts, at, addressNames };
  delete (one as { path?: string }).path;
  if (facts.source.family === family) return one;
  const workload = scenarios.context.workloads.find(({ addresses }) =>
    addresses.some((address) => address.value === facts.source.value && address.family === facts.source.family),
  );
  const source = workload?.addresses.find((address) => address.family === family);
  return source === undefined ? undefined : { ...one, source };
};

/** Destinations that a name must not reach, and embeddings that the generator has not: RFC 6052 in the layout of /48. */
const oddDestinations = [
  '169.254.169.254',
  '::ffff:169.254.169.254',
  '64:ff9b:1:a9fe:a9:fe00::',
  '64:ff9b:1:5db8:d8:2200::',
  'fd00:ec2::254',
].map(address);

/** Flows to hostnames that rules name, at addresses where that does and does not count. */
const oddFlows = ({ flows, context }: Scenarios, loaded: LoadedPlan): Facts[][] => {
  const first = flows[0]?.[0];
  if (first === undefined) return [];
  const names = loaded.plan.hostnames as readonly DomainName[];
  return [...oddDestinations, ...context.gatewayAddresses].map((destination, i): Facts[] => [
    { ...first, destination, addressNames: i % 3 === 2 || names.length === 0 ? [] : [names[i % names.length]!] },
  ]);
};

class Different extends Error {}
const same = (kernel: unknown, plan: unknown, what: string): void => {
  try {
    assert.deepEqual(kernel, plan);
  } catch (error) {
    throw new Different(`${what}\nkernel (actual) against plan (expected):\n${(error as Error).message}`);
  }
};

const denialOf = (loaded: LoadedPlan, rule: number | 'default'): Sent['outcome'] =>
  rule !== 'default' && loaded.plan.rules[rule]!.onDeny === 'drop' ? 'dropped' : 'reject';

const lastVerdict = (events: readonly KernelEvent[]): KernelFlow | undefined =>
  events.findLast(({ kind }) => kind === eventKind.verdict || kind === eventKind.denied)?.flow;

/** Has the agent know the address of the flow by its names, and returns where it sends to. */
const resolved = (on: KernelLab, loaded: LoadedPlan, facts: Facts, turn: number): Address => {
  const { addressNames, destination } = facts;
  const agent = agentOf(loaded, facts.interface, facts.source);
  if (loaded.plan.dnsMode === 'track' && agent !== undefined) on.track(agent.name, destination, addressNames);
  if (loaded.plan.dnsMode !== 'synthetic' || addressNames[0] === undefined) return destination;
  const standsFor = synthetic(turn, destination.family);
  on.install(addressNames[0], [standsFor], [destination]);
  return standsFor;
};

/** Sends one flow and compares it at each of its stages. */
const compareFlow = (
  on: KernelLab,
  loaded: LoadedPlan,
  ask: ReturnType<typeof sides>,
  facts: Facts,
  steps: readonly Facts[],
  turn: number,
): 'kernel path' | undefined => {
  const { family } = facts.destination;
  const destination = resolved(on, loaded, facts, turn);
  const tcp = facts.protocol === 'tcp';
  const first: Facts = facts;
  const { decision, would } = ask(first);
  const wanted = wordOfDecision(decision, would);
  const ends: Ends = {
    source: facts.source,
    destination,
    sourcePort: 20_000 + turn,
    destinationPort: facts.destinationPort ?? 0,
  };
  const connection = new Connection(on, ends, (0xffff_ff00 + turn * 977) >>> 0, facts.interface);
  const sent = tcp
    ? connection.syn()
    : on.fromAgent(
        facts.protocol === 'udp'
          ? udpFrame(ends)
          : echoFrame(ends.source, ends.destination, 'request', ends.sourcePort),
        facts.interface,
      );
  count(`${loaded.plan.dnsMode} ${facts.protocol}${family} ${wanted.verdict} ${wanted.reason}`);
  const isAgent = agentOf(loaded, facts.interface, facts.source) !== undefined;
  if (isAgent && facts.destinationPort === 53 && facts.protocol !== 'icmp') {
    same(sent.outcome, 'dns', 'packets to port 53 go to the filter');
    return undefined;
  }

  const flow = on.flow(ends, facts.protocol, facts.interface);
  if (wanted.verdict === 'deny') {
    const event = sent.events.find(({ kind }) => kind === eventKind.denied);
    if (event === undefined)
      throw new Different(`no event of a denial: ${JSON.stringify(wanted)}, outcome ${sent.outcome}`);
    same(wordOf(event.flow), wanted, 'first packet');
    same(flow, undefined, 'a denied packet makes no flow');
    same(
      sent.outcome,
      wanted.reason === 'source-spoofed' ? 'dropped' : denialOf(loaded, wanted.rule),
      'reject or drop',
    );
    return undefined;
  }
  if (flow === undefined) throw new Different(`no flow, outcome ${sent.outcome}, wanted ${JSON.stringify(wanted)}`);
  same(wordOf(flow), wanted, 'first packet');
  same(sent.outcome, wanted.path === 'proxy' ? 'proxy' : 'pass', 'mark of the first packet');
  if (!tcp || wanted.path === 'proxy') return undefined;
  connection.synAck();

  const said = saying(steps, turn);
  if (said === undefined) return 'kernel path';
  count(`said: ${said.kind}`);
  const later: Facts = { ...first, path: 'kernel', ...said.facts };
  const after = ask(later);
  const closed: KernelWord =
    after.decision.kind === 'undecided'
      ? { ...wordOfDecision(after.decision, after.would), verdict: 'deny', reason: 'undecided-closed', stage: 'name' }
      : wordOfDecision(after.decision, after.would);
  count(`${loaded.plan.dnsMode} ${said.kind}: ${closed.verdict} ${closed.reason}`);
  let answer: Sent;
  if (said.serverFirst === true) {
    answer = connection.answer(text('220 ready\r\n'));
    same(
      answer.outcome,
      closed.verdict === 'permit' ? 'none' : 'dropped',
      `server first, mark 0x${answer.mark.toString(16)}`,
    );
  } else {
    const pieces = cutStream(said.bytes!, cuts[turn % cuts.length]!);
    answer = connection.say(pieces[0]!);
    let at = 0;
    for (const [i, piece] of pieces.entries()) {
      if (i > 0) answer = connection.say(piece, at);
      const missed = answer.events.find(({ kind }) => kind === eventKind.nameMiss);
      if (missed !== undefined) {
        same(missed.name, said.facts.claimedName.state === 'known' ? said.facts.claimedName.value : '', 'missed name');
        same(answer.outcome, 'dropped', 'a hello whose name is not classified');
        on.classify(missed.name as DomainName);
        count('name misses');
        answer = connection.say(piece, at);
      } else if (answer.outcome === 'dropped' && answer.events.length === 0) {
        // Held back while a request line may still become one: the client sends it again with what comes next.
        const rest = said.bytes!.subarray(at);
        answer = connection.say(rest, at);
        count('held back');
        break;
      }
      if (lastVerdict(answer.events) !== undefined && i > 0 && answer.outcome !== 'pass') break;
      at += piece.length;
    }
    same(
      answer.outcome,
      closed.verdict === 'permit' ? 'pass' : denialOf(loaded, closed.rule),
      `mark after ${said.kind}`,
    );
  }
  const now = on.flow(ends, 'tcp', facts.interface);
  if (now === undefined) throw new Different('the flow is gone');
  same(wordOf(now), closed, `after ${said.kind}`);
  const told = lastVerdict(answer.events);
  if (told !== undefined) same(wordOf(told), closed, `event after ${said.kind}`);
  return 'kernel path';
};

const differenceIn = (scenarios: Scenarios): string | undefined => {
  const at = Math.floor((scenarios.flows[0]?.[0]?.at ?? scenarios.at) / 60_000) * 60_000;
  const loaded = loadedPlan(scenarios.policy, scenarios.context, scenarios.at);
  const ask = sides(loaded, scenarios);
  const on = freshLab();
  on.apply(shifted(loaded, at));
  const names = scenarios.flows.flatMap((steps) =>
    steps.flatMap(({ addressNames, claimedName }) => [
      ...addressNames,
      ...(claimedName.state === 'known' ? [claimedName.value] : []),
    ]),
  );
  const flows = [...scenarios.flows, ...oddFlows(scenarios, loaded)];
  let turns = flows.length;
  return on.inside(() => {
    try {
      for (const [turn, steps] of flows.entries()) {
        const facts = sendable(scenarios, { ...steps[0]!, tls: unknown, claimedName: unknown }, at);
        if (facts === undefined) {
          count('no address of the family');
          continue;
        }
        count('flows');
        try {
          if (compareFlow(on, loaded, ask, facts, steps, turn) === undefined) continue;
          for (const last of alsoSaid(facts, names, turn)) {
            count('flows');
            compareFlow(on, loaded, ask, facts, [last], turns++);
          }
        } catch (error) {
          if (error instanceof Different) return `flow ${turn}: ${error.message}`;
          throw error;
        }
      }
      return undefined;
    } finally {
      on.forgetAll();
    }
  });
};

const keep = (scenarios: Scenarios): string => {
  const frozen = freeze(scenarios);
  const file = join(finds, `${createHash('sha256').update(frozen).digest('hex').slice(0, 12)}.json`);
  mkdirSync(finds, { recursive: true });
  writeFileSync(file, `${frozen}\n`);
  return file;
};

test(`kernel, plan and evaluator decide at least ${cases} flows alike`, { skip }, (context) => {
  const runs = Math.ceil(cases / (flowsOfEach * 0.75));
  const result = fc.check(
    fc.property(arbitraryScenarios({ flows: flowsOfEach }), (scenarios) => differenceIn(scenarios) === undefined),
    { seed, numRuns: runs, ...(path === undefined ? {} : { path }) },
  );
  context.diagnostic(`seed ${seed}, ${JSON.stringify(counts)}`);
  if (!result.failed) {
    assert.ok((counts.flows ?? 0) >= cases || path !== undefined, `only ${counts.flows} flows`);
    return;
  }
  const [smallest] = result.counterexample!;
  assert.fail(
    `COFFERDAM_SEED=${result.seed} COFFERDAM_PATH=${result.counterexamplePath}\nkept in ${keep(smallest)}\n` +
      `${differenceIn(smallest) ?? String(result.errorInstance)}\n${JSON.stringify(JSON.parse(freeze(smallest)))}`,
  );
});

const kept = (existsSync(finds) ? readdirSync(finds) : []).filter((name) => name.endsWith('.json'));
for (const name of kept)
  test(`kernel and plan agree on what was found before: ${name}`, { skip }, () => {
    assert.equal(differenceIn(thaw(readFileSync(join(finds, name), 'utf8'))), undefined);
  });
