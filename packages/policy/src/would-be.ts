import {
  type Decision,
  type Facts,
  type Path,
  type Treatment,
  treatmentOf,
  unknown,
  type WouldBe,
} from '@cofferdam/verdict';
import { atFirstPacket, decisionIn, evaluatePrepared, type World } from './evaluate.ts';
import { flowOf, type Prepared, prepare } from './evaluate-prepare.ts';
import type { EvaluationContext, PolicySet } from './model.ts';

/**
 * The reference for the would-be verdict: the flow is lived once more, stage by stage, with every monitored rule and the containment
 * enforced:
 * 1. The first packet: it is denied, or its path is chosen, which need not be the one that it took.
 * 2. What the client said first, and then the request inside it, as far as they would have been read on that path and were read on the other: TLS
 *    that would not have been opened ends with its ClientHello.
 * 3. The first denial ends it. What is still undecided is unknown, and so is a permit that rests on a name where the client said more than was
 *    read: it may have claimed another. In own mode so is all that the other path would have done: it alone resolves the name that is claimed.
 */

/** {@link wouldBe} for a policy that was prepared. */
export const wouldBePrepared = (prepared: Prepared, facts: Facts): WouldBe | undefined => {
  const flow = flowOf(prepared, facts);
  if (flow.agent === undefined || !(prepared.someMonitored || flow.monitored)) return undefined;
  return relive(prepared, facts, 'would-be', isDenied(evaluatePrepared(prepared, facts)));
};

/**
 * What the verdict would be with every monitored rule and the containment enforced. Undefined where nothing is
 * monitored; `unknown` where the walk needs a fact that these do not hold.
 */
export const wouldBe = (policy: PolicySet, context: EvaluationContext, facts: Facts): WouldBe | undefined =>
  wouldBePrepared(prepare(policy, context), facts);

const isDenied = (decision: Decision): boolean => decision.kind === 'decided' && decision.verdict === 'deny';

const relive = (prepared: Prepared, facts: Facts, world: World, wasDenied: boolean): WouldBe => {
  const ask = (some: Facts): Decision => decisionIn(prepared, some, world);
  const atPacket = ask(atFirstPacket(facts));
  if (facts.protocol !== 'tcp' || isDenied(atPacket)) return answer(atPacket);
  const { path } = atPacket;
  const moved = facts.path !== undefined && facts.path !== path;
  // On the other path its name would have been resolved, or would not: where it had led is not known.
  if (moved && prepared.context.dnsMode === 'own') return 'unknown';
  const unlessBelied = (last: Decision, read: Facts): WouldBe => {
    const mayBeBelied = last.kind === 'decided' && last.verdict === 'permit' && last.restsOnName;
    const saidMore = read.claimedName.state === 'unknown' && (moved || wasDenied);
    return mayBeBelied && saidMore ? 'unknown' : answer(last);
  };
  const answers = (moved ? onOtherPath(facts, path) : [{ ...facts, path }]).map((read) => {
    const hello = ask(beforeRequest(read));
    if (read.tls.state === 'known' && !isDenied(hello) && treatmentIn(prepared, hello) === 'passthrough')
      return unlessBelied(hello, read);
    const last = isDenied(hello) ? hello : ask(read);
    return unlessBelied(last, read);
  });
  return answers.every((one) => JSON.stringify(one) === JSON.stringify(answers[0])) ? answers[0]! : 'unknown';
};

const treatmentIn = ({ rules }: Prepared, decision: Decision): Treatment =>
  treatmentOf(decision, (rule) => rules[rule]!.rule.decrypt);

const answer = (decision: Decision): WouldBe =>
  decision.kind === 'undecided'
    ? 'unknown'
    : { verdict: decision.verdict, rule: decision.rule, reason: decision.reason };

/** A request inside TLS is read after the ClientHello was judged; plain HTTP tells its name with its request. */
const beforeRequest = (facts: Facts): Facts =>
  facts.tls.state === 'absent' ? facts : { ...facts, request: unknown, mcp: unknown };

/**
 * What the other path would have read of the same bytes, in each way that is possible. Of plain HTTP the kernel sees that it is there,
 * and the proxy reads it.
 */
const onOtherPath = (facts: Facts, path: Path): readonly Facts[] => {
  const unasked: Facts = { ...facts, path, plainHttpSeen: false, request: unknown, mcp: unknown };
  if (facts.tls.state !== 'absent') return [unasked];
  if (path === 'proxy') {
    return facts.plainHttpSeen ? [{ ...unasked, claimedName: unknown }] : [{ ...facts, path }];
  }
  const opaque: Facts = { ...unasked, claimedName: { state: 'absent' } };
  const http: Facts = { ...opaque, plainHttpSeen: true };
  const nobodySpoke: Facts = { ...unasked, tls: unknown, claimedName: unknown };
  if (facts.request.state === 'known' || facts.claimedName.state !== 'absent') return [http];
  return facts.request.state === 'absent' ? [opaque, nobodySpoke] : [opaque, http];
};
