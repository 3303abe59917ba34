import { type Facts, known as knownFact, type McpFacts, type Treatment } from '@cofferdam/verdict';
import type { ByteStream } from './byte-stream.ts';
import { factsOfFirst } from './first-facts.ts';
import type { FlowLog, FlowSubject } from './flow-log.ts';
import type { CurrentGate, Gate } from './gate.ts';
import {
  denial,
  denialUnread,
  isOpened,
  type Judgement,
  judge,
  judgeTunnel,
  liftable,
  type Named,
  refuseEncrypted,
  type Settled,
  settleFacts,
} from './judgement.ts';

/**
 * One flow from its dial to its end: its facts as they become known, its verdict so far, its two connections. The flow's
 * verdict is its first denial, else its last permit.
 */
export interface ProxiedFlow {
  readonly subject: FlowSubject;
  /** Those that are read and written now: of a flow that is opened, what is inside. */
  readonly client: () => ByteStream;
  readonly upstream: () => ByteStream;
  /** It is opened, which its record says, whether or not that comes to an end. */
  readonly open: () => void;
  /** From now on these are the two ends. */
  readonly goOnInside: (client: ByteStream, upstream: ByteStream) => void;
  readonly facts: () => Facts;
  readonly learn: (facts: Partial<Facts>) => void;
  /** The calls of a request that passes, each of which a plan to come may deny. */
  readonly learnCalls: (calls: readonly McpFacts[]) => void;
  /** From here on nothing of it is read. */
  readonly enterTunnel: () => void;
  /** A body is being read: what it says is not known yet, and will be. */
  readonly readBody: <T>(read: () => Promise<T>) => Promise<T>;
  /** The client's hello holds an encrypted one. */
  readonly learnEncrypted: () => void;
  readonly gate: () => Gate | undefined;
  /** It is TLS that is opened, by the facts as they are now: those of its hello. */
  readonly isOpened: () => boolean;
  /** The rule that decides, or waits. */
  readonly waiting: () => Settled['rule'];
  /** Judges the facts as they are now. What is still undecided then is denied for `otherwise`. */
  readonly settleNow: (otherwise: Settled['reason']) => Settled;
  /** A denial that the gateway itself makes of what it does not read, of which `unread` says what that is. */
  readonly settleUnread: (unread: Partial<Facts>, made: Named) => Settled;
  /** Notes what was decided; the first permit writes the record of the start. */
  readonly note: (judgement: Settled) => void;
  /** Notes a denial and resets both sides. */
  readonly cut: (judgement: Settled) => void;
  /** Judges the recorded facts by the plan now in force, and cuts what it no longer permits. */
  readonly rejudge: () => void;
  /** Writes the record of the end, once. */
  readonly finish: () => void;
}

/** The first that is not permitted, else the last. */
const judgeAll = (gate: Gate, all: readonly Facts[]): Judgement => {
  const judged = all.map((facts) => judge(gate, facts));
  return judged.find(({ kind }) => kind !== 'permit') ?? judged.at(-1)!;
};

export const createProxiedFlow = (parts: {
  readonly subject: FlowSubject;
  readonly facts: Facts;
  readonly client: ByteStream;
  readonly upstream: ByteStream;
  readonly gate: CurrentGate;
  readonly log: FlowLog;
  /** It was denied before it had another end, and is here to be told so. */
  readonly denied?: { readonly judgement: Settled; readonly by: Gate } | undefined;
}): ProxiedFlow => {
  const { subject, gate, log, denied } = parts;
  let { client, upstream } = parts;
  let treatment: Treatment = 'passthrough';
  let known = parts.facts;
  let verdict: Settled | undefined;
  let decidedBy: Gate | undefined;
  let started = false;
  let encrypted = false;
  let isReading = false;
  let isTunnel = false;
  let finished = false;
  let calls: readonly McpFacts[] = [];

  const payload = () => ({ toDestination: upstream.sent(), toAgent: client.sent() });

  const settleBy = (walk: (gate: Gate) => Settled): Settled => {
    if (denied !== undefined) {
      decidedBy = denied.by;
      return denied.judgement;
    }
    const now = gate();
    if (now === undefined) return denial('default', 'packet', 'no-plan');
    decidedBy = now;
    known = { ...known, at: log.now() };
    return walk(now);
  };

  const settleNow = (otherwise: Settled['reason']): Settled =>
    settleBy((now) => {
      const settled = settleFacts(now, known, otherwise);
      return encrypted ? refuseEncrypted(now, settled) : settled;
    });

  const settleUnread: ProxiedFlow['settleUnread'] = (unread, made) => {
    const settled = settleBy((now) => denialUnread(now, { ...known, ...unread }, made));
    // It goes on unread, under later plans too.
    if (gate()?.lifts(known) === true) known = { ...known, ...unread };
    return settled;
  };

  const settled = (judgement: Settled): void => {
    if (verdict?.kind !== 'deny') verdict = judgement;
    if (started || judgement.kind === 'deny') return;
    started = true;
    log.write(subject, decidedBy ?? gate(), known, judgement, payload(), { kind: 'flow' });
  };

  const note = (judgement: Settled): void => {
    log.decided(decidedBy ?? gate(), judgement, known);
    settled(judgement);
  };

  const end = (judgement: Settled): void => {
    settled(judgement);
    client.reset();
    upstream.reset();
  };

  const cut = (judgement: Settled): void => {
    log.decided(decidedBy ?? gate(), judgement, known);
    end(judgement);
  };

  return {
    subject,
    client: () => client,
    upstream: () => upstream,
    open() {
      treatment = 'inspect';
    },
    goOnInside(inside, beyond) {
      client = inside;
      upstream = beyond;
    },
    facts: () => known,
    learn: (more) => {
      known = { ...known, ...more };
      calls = [];
    },
    learnCalls: (list) => {
      calls = list;
    },
    enterTunnel: () => {
      isTunnel = true;
    },
    async readBody(read) {
      isReading = true;
      try {
        return await read();
      } finally {
        isReading = false;
      }
    },
    learnEncrypted: () => {
      encrypted = true;
    },
    gate,
    isOpened: () => {
      const now = gate();
      return denied === undefined && now !== undefined && isOpened(now, { ...known, at: log.now() });
    },
    waiting: () => {
      const now = gate();
      return now === undefined ? 'default' : judge(now, known).rule;
    },
    settleNow,
    settleUnread,
    note,
    cut,
    rejudge: () => {
      if (denied !== undefined || verdict?.kind === 'deny') return;
      const now = gate();
      // No plan is no reason to cut: the last good one stays in force until another replaces it.
      if (now === undefined) return;
      const facts = { ...known, at: log.now() };
      const walked = judgeAll(
        now,
        calls.length < 2 ? [facts] : calls.map((mcp) => ({ ...facts, mcp: knownFact(mcp) })),
      );
      const judged = isTunnel && walked.kind === 'permit' ? judgeTunnel(now, facts, walked) : walked;
      const again = encrypted && judged.kind !== 'undecided' ? refuseEncrypted(now, judged) : judged;
      // From now on it is this plan that permits it. A flow that lives long keeps no plan that is no longer in force.
      const goOn = (judgement: Settled): void => {
        if (verdict === undefined) return;
        verdict = judgement;
        decidedBy = now;
      };
      if (again.kind === 'permit') return goOn(again);
      // What waits for its first bytes, or for the rest of a body, goes on waiting for them.
      if (again.kind === 'undecided' && (verdict === undefined || isReading)) return;
      // Only what the first plan let pass unread is missing here, and an unopened request never counts as absent.
      const judgement =
        again.kind === 'undecided'
          ? denialUnread(now, known, { rule: again.rule, stage: 'request', reason: 'facts-unknown' })
          : ({ ...again, reason: 'flow-cut' } as const);
      if (judgement.kind === 'permit') return goOn(judgement);
      decidedBy = now;
      end(judgement.reason === 'facts-unknown' ? judgement : { ...judgement, reason: 'flow-cut' });
    },
    finish: () => {
      if (finished) return;
      finished = true;
      const now = gate();
      const unsaid = { rule: 'default', stage: 'name', reason: 'undecided-closed' } as const;
      const last =
        verdict ?? (now === undefined ? denial('default', 'name', 'undecided-closed') : liftable(now, known, unsaid));
      if (verdict === undefined) log.decided(decidedBy ?? gate(), last, known);
      const isTls = known.tls.state === 'known' && (last.kind === 'permit' || treatment === 'inspect');
      log.write(subject, decidedBy ?? gate(), known, last, payload(), {
        kind: 'flow',
        end: log.now(),
        ...(isTls ? { treatment } : {}),
      });
    },
  };
};

/** Judges a flow that is neither TLS nor strict HTTP. */
export const judgeOpaque = (flow: ProxiedFlow, kind: 'opaque' | 'http-unreadable'): Settled => {
  flow.learn(factsOfFirst({ kind }));
  return flow.settleNow('request-unreadable');
};
