import { type Facts, known, unknown } from '@cofferdam/verdict';
import type { ResponseHead } from '@cofferdam/wire';
import type { Hold } from './held-bytes.ts';
import type { BodyRewrite } from './http-exchange.ts';
import { judge, settleFacts } from './judgement.ts';
import { listings, type ReadCalls } from './mcp-calls.ts';
import type { ProxiedFlow } from './proxied-flow.ts';
import { createToolList, listKind } from './tool-list.ts';

/** How the answer to one request passes, where tools may be listed in it. `calls`: what was read of the request; absent: nothing had to be. */
export type AnswerRewrite = (
  calls: ReadCalls | undefined,
  hold: Hold,
) => {
  /** It answers a call that lists tools. */
  readonly isListing: boolean;
  /** Undefined: it passes as it is. */
  readonly rewriteOf: (head: ResponseHead) => BodyRewrite | undefined;
};

/** Of one flow. What its agent may call is asked of the plan in force, and of where its last request went. */
export const createAnswerRewrite = (flow: ProxiedFlow, now: () => number): AnswerRewrite => {
  const factsOfCall = (mcp: Facts['mcp']): Facts => {
    const facts = flow.facts();
    const { request } = facts;
    const posted = request.state === 'known' ? known({ ...request.value, method: 'POST' }) : request;
    return { ...facts, at: now(), request: posted, mcp };
  };
  const permits = (tool: string): boolean => {
    const gate = flow.gate();
    const facts = factsOfCall(known({ method: 'tools/call', tool }));
    return gate !== undefined && settleFacts(gate, facts, 'request-unreadable').kind === 'permit';
  };
  return (calls, hold) => {
    const ids = calls?.kind === 'calls' ? listings(calls.messages) : [];
    const isBatch = calls?.kind === 'calls' && calls.isBatch;
    return {
      isListing: ids.length > 0,
      rewriteOf(head) {
        const gate = flow.gate();
        // Monitoring hides nothing.
        if (gate === undefined || gate.lifts(flow.facts())) return undefined;
        const kind = listKind(head);
        // A stream may bring an answer again that broke off in another.
        const mayReplay = kind === 'events' && judge(gate, factsOfCall(unknown)).kind === 'undecided';
        if (kind === undefined || (ids.length === 0 && !mayReplay)) return undefined;
        return createToolList(kind, { permits, ids, isBatch, hold });
      },
    };
  };
};
