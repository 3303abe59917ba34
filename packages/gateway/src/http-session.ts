import { setTimeout as delay } from 'node:timers/promises';
import type { DomainName } from '@cofferdam/net';
import { absent, type Fact, type Facts, known, type Reason, unreadable } from '@cofferdam/verdict';
import type { RequestHead } from '@cofferdam/wire';
import { closeGently } from './byte-stream.ts';
import { nothingRead } from './first-facts.ts';
import type { FlowLog } from './flow-log.ts';
import type { Hold, OpenHold } from './held-bytes.ts';
import { authorityFor, mayReadCalls, type ReadRequest, readRequest, schemeOf, settleRequest } from './http-claim.ts';
import { callDenialResponse, type DeniedRequest, denialResponse, type OwnAnswer } from './http-denial.ts';
import { createRequestBody, forwardBody, forwardResponse, nextHead, type RequestBody } from './http-exchange.ts';
import { requestHeadText } from './http-head-text.ts';
import { denial, type Settled, waitsForCalls } from './judgement.ts';
import { factsOfMessage, type ReadCalls, readCalls } from './mcp-calls.ts';
import type { ProxiedFlow } from './proxied-flow.ts';
import { splice } from './splice.ts';
import { createAnswerRewrite } from './tool-answers.ts';

export interface HttpSessionOptions {
  readonly log: FlowLog;
  /** Milliseconds a head may take from its first byte, and a body that is held back. */
  readonly headTimeout: number;
  readonly hold: OpenHold;
  /** Milliseconds a denied client may go on sending before it is cut, so that it can read why. */
  readonly linger: number;
}

/** Answers the client instead of the destination, which learns nothing; then ends the connection. */
const answer = async (flow: ProxiedFlow, { bytes }: OwnAnswer, linger: number): Promise<void> => {
  const client = flow.client();
  flow.upstream().reset();
  await client.write(bytes);
  await closeGently(client, linger);
};

const deniedIn = (flow: ProxiedFlow, judgement: Settled): DeniedRequest => ({
  judgement,
  gate: flow.gate(),
  flow: flow.subject.id,
});

/** Tells the client why. */
export const answerDenied = (flow: ProxiedFlow, judgement: Settled, method: string, linger: number): Promise<void> =>
  answer(flow, denialResponse(deniedIn(flow, judgement), method), linger);

const reasonOfUnread = {
  unreadable: 'request-unreadable',
  closed: 'undecided-closed',
  timeout: 'undecided-timeout',
} as const;

/** One request as it was judged; of one with several calls each of them, up to the first that is denied. */
interface Judged {
  readonly judgement: Settled;
  readonly record: ReturnType<FlowLog['draft']>;
  /** What is not known of the flow any more where it passes. */
  readonly unread?: Partial<Facts>;
  readonly isTunnel?: true;
}

interface JudgedRequest {
  readonly read: ReadRequest;
  /** At least one. */
  readonly judged: readonly Judged[];
  /** Its body was held back and read. */
  readonly calls?: ReadCalls;
}

const without = (head: RequestHead, names: readonly string[]): RequestHead => ({
  ...head,
  fields: head.fields.filter(({ name }) => !names.includes(name.toLowerCase())),
});

/** Who held the body back has said already that it may come; and who reads the answer reads it as it is. */
const asForwarded = (head: RequestHead, isHeld: boolean, isListing: boolean): RequestHead => {
  const left = without(head, [...(isHeld ? ['expect'] : []), ...(isListing ? ['accept-encoding'] : [])]);
  return isListing ? { ...left, fields: [...left.fields, { name: 'Accept-Encoding', value: 'identity' }] } : left;
};

/**
 * HTTP on one connection, plain or inside TLS that was opened: each request is judged by itself, one after the other, and only then forwarded. Requests sent
 * ahead wait until the response before them has passed, so that answers keep their order and a denial takes its place in it.
 */
export const runHttp = async (flow: ProxiedFlow, options: HttpSessionOptions): Promise<void> => {
  const [client, upstream] = [flow.client(), flow.upstream()];
  const { log } = options;
  const scheme = schemeOf(flow.facts());
  // Inside TLS it was claimed by the hello.
  let firstName: Fact<DomainName> | undefined = scheme === 'https' ? flow.facts().claimedName : undefined;
  const tls = scheme === 'https' ? known(true as const) : absent;

  const agent = flow.subject.agent?.name ?? '';
  // Nobody reads any more what the destination has still to say, however long it takes to.
  void client.closed.then(() => {
    if (client.failed()) upstream.reset();
  });

  const judgeRequest = async (head: RequestHead, body: RequestBody, hold: Hold): Promise<JudgedRequest> => {
    const start = log.now();
    const before = flow.facts();
    const read = readRequest(head, before, flow.subject.synthetic ?? before.destination, firstName);
    firstName ??= read.facts.claimedName;
    flow.learn(read.facts);
    const settle = (otherwise: Reason): Judged => {
      const walked = flow.settleNow(otherwise);
      const gate = flow.gate();
      const facts = flow.facts();
      // Without one the walk has denied it.
      const settled = gate === undefined ? { judgement: walked } : settleRequest(head, read, walked, gate, facts);
      const record = log.draft({ ...flow.subject, id: log.nextId(), start }, gate, facts, settled.judgement);
      return { ...settled, record };
    };
    const gate = flow.gate();
    const waits =
      gate !== undefined && mayReadCalls(head, read) && waitsForCalls(gate, { ...flow.facts(), at: log.now() });
    if (!waits) return { read, judged: [settle('request-unreadable')] };
    if (head.expectsContinue) await client.write(Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'));
    const calls = await flow.readBody(() => readCalls(head, body, hold, options.headTimeout));
    if (calls.kind !== 'calls') {
      if (calls.kind === 'unreadable') flow.learn({ mcp: unreadable });
      return { read, calls, judged: [settle(reasonOfUnread[calls.kind])] };
    }
    const judged: Judged[] = [];
    for (const message of calls.messages) {
      flow.learn({ mcp: known(factsOfMessage(message)) });
      const one = settle('request-unreadable');
      judged.push(one);
      if (one.judgement.kind === 'deny') break;
    }
    flow.learnCalls(calls.messages.map(factsOfMessage));
    return { read, calls, judged };
  };

  const answerRewrite = createAnswerRewrite(flow, log.now);

  const unreadableHead = async (): Promise<'done'> => {
    flow.learn({
      request: unreadable,
      mcp: unreadable,
      tls,
      ...(firstName === undefined ? { claimedName: unreadable } : {}),
    });
    const judgement = flow.settleNow('request-unreadable');
    // A rule that permitted requests so far need not permit bytes that are none.
    const settled =
      judgement.kind === 'permit' && firstName !== undefined
        ? flow.settleUnread({ ...nothingRead, tls }, { ...judgement, stage: 'request', reason: 'request-unreadable' })
        : judgement;
    flow.note(settled);
    if (settled.kind === 'deny') await answerDenied(flow, settled, 'GET', options.linger);
    else await splice(client, upstream);
    return 'done';
  };

  const exchange = async (head: RequestHead): Promise<'next' | 'done'> => {
    const [hold, answerHold] = [options.hold(agent), options.hold(agent)];
    try {
      return await exchangeWith(head, hold, answerHold);
    } finally {
      hold.release();
      answerHold.release();
    }
  };

  const exchangeWith = async (head: RequestHead, hold: Hold, answerHold: Hold): Promise<'next' | 'done'> => {
    const before = { toDestination: upstream.sent(), toAgent: client.sent() };
    const body = createRequestBody(head, client);
    const { read, judged, calls } = await judgeRequest(head, body, hold);
    const last = judged.at(-1)!;
    const { judgement, unread, isTunnel } = last;
    // Of a batch that is denied nothing passes.
    const told = judgement.kind === 'deny' ? [last] : judged;
    for (const one of told) flow.note(one.judgement);
    // The record says what was written; plans to come do not rest on it.
    if (judgement.kind === 'permit' && unread !== undefined) flow.learn(unread);
    if (judgement.kind === 'permit' && isTunnel === true) flow.enterTunnel();
    const record = (status?: number): void => {
      let payload = { toDestination: upstream.sent() - before.toDestination, toAgent: client.sent() - before.toAgent };
      // Of a batch each call has its record, and the first the bytes.
      for (const one of told) {
        one.record(payload, {
          kind: 'request',
          flow: flow.subject.id,
          end: log.now(),
          ...(status === undefined ? {} : { status }),
        });
        payload = { toDestination: 0n, toAgent: 0n };
      }
    };
    if (judgement.kind === 'deny') {
      const denied = deniedIn(flow, judgement);
      const ofCalls = calls?.kind === 'calls' ? callDenialResponse(denied, calls.isBatch, calls.messages) : undefined;
      const response = ofCalls ?? denialResponse(denied, head.method);
      record(response.status);
      await answer(flow, response, options.linger);
      return 'done';
    }
    const { isListing, rewriteOf } = answerRewrite(calls, answerHold);
    // A path without canonical form passes only where monitoring lifted its denial, or no rule looks at it: as it came.
    const path = read.path ?? head.target.raw;
    const { destinationPort } = flow.facts();
    if (
      !(await upstream.write(
        Buffer.from(
          requestHeadText(
            asForwarded(head, calls !== undefined, isListing),
            path,
            authorityFor(read.name, scheme, destinationPort),
          ),
          'latin1',
        ),
      ))
    ) {
      record();
      client.reset();
      return 'done';
    }
    let bodyEnded = false;
    const passing = forwardBody(head, body, upstream).then((end) => {
      hold.release();
      bodyEnded = end === 'end';
      if (end === 'unreadable') flow.cut(denial(judgement.rule, 'request', 'request-unreadable'));
      else if (end === 'closed') upstream.reset();
    });
    const mayUpgrade = head.upgrade.includes('websocket');
    const { end, status } = await forwardResponse(head.method, mayUpgrade, upstream, client, rewriteOf, isListing);
    if (end === 'switched') {
      await passing;
      await splice(client, upstream);
      record(status);
      return 'done';
    }
    record(status);
    // A final response before the end of the body: what the client sends next may be body or request, and only it knows.
    if (end === 'keep' && bodyEnded && head.keepAlive && !upstream.hasBytes()) return 'next';
    upstream.reset();
    if (end === 'broken') client.reset();
    else if (bodyEnded) await closeGently(client, options.linger);
    else {
      // The body's forwarder still reads, and drops what comes, since its other side is gone.
      client.end();
      await Promise.race([client.closed, delay(options.linger)]);
      client.reset();
    }
    await passing;
    return 'done';
  };

  for (;;) {
    // Whichever side has something first: a server that ends an idle connection ends it for the client too.
    await Promise.race([client.readable(), upstream.readable()]);
    if (!client.hasBytes()) break;
    const next = await nextHead(client, options.headTimeout);
    if (next.kind === 'unreadable') return void (await unreadableHead());
    if (next.kind === 'timeout') {
      const late = flow.settleUnread(
        { ...nothingRead, tls },
        { rule: 'default', stage: 'request', reason: 'undecided-timeout' },
      );
      if (late.kind === 'deny') return flow.cut(late);
      flow.note(late);
      return splice(client, upstream);
    }
    if (next.kind === 'closed') break;
    if ((await exchange(next.head)) === 'done') return;
  }
  upstream.reset();
  await closeGently(client, options.linger);
};
