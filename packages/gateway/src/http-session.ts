import { setTimeout as delay } from 'node:timers/promises';
import type { DomainName } from '@cofferdam/net';
import { absent, type Fact, known, unreadable } from '@cofferdam/verdict';
import type { RequestHead } from '@cofferdam/wire';
import { closeGently } from './byte-stream.ts';
import { nothingRead } from './first-facts.ts';
import type { FlowLog } from './flow-log.ts';
import {
  authorityFor,
  type ReadRequest,
  readRequest,
  type SettledRequest,
  schemeOf,
  settleRequest,
} from './http-claim.ts';
import { denialResponse } from './http-denial.ts';
import { forwardBody, forwardResponse, nextHead } from './http-exchange.ts';
import { requestHeadText } from './http-head-text.ts';
import { denial, type Settled } from './judgement.ts';
import type { ProxiedFlow } from './proxied-flow.ts';
import { splice } from './splice.ts';

export interface HttpSessionOptions {
  readonly log: FlowLog;
  /** Milliseconds a head may take from its first byte. */
  readonly headTimeout: number;
  /** Milliseconds a denied client may go on sending before it is cut, so that it can read why. */
  readonly linger: number;
}

/** Tells the client why, instead of the destination, which learns nothing; then ends the connection. */
export const answerDenied = async (
  flow: ProxiedFlow,
  judgement: Settled,
  method: string,
  linger: number,
): Promise<void> => {
  const client = flow.client();
  flow.upstream().reset();
  await client.write(denialResponse(judgement, flow.gate(), method));
  await closeGently(client, linger);
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

  const judgeRequest = (head: RequestHead): { readonly read: ReadRequest } & SettledRequest => {
    const facts = flow.facts();
    const read = readRequest(head, facts, flow.subject.synthetic ?? facts.destination, firstName);
    firstName ??= read.facts.claimedName;
    flow.learn(read.facts);
    const walked = flow.settleNow('request-unreadable');
    const gate = flow.gate();
    // Without one the walk has denied it.
    if (gate === undefined) return { read, judgement: walked };
    return { read, ...settleRequest(head, read, walked, gate, flow.facts()) };
  };

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
    const start = log.now();
    const before = { toDestination: upstream.sent(), toAgent: client.sent() };
    const { read, judgement, unread } = judgeRequest(head);
    flow.note(judgement);
    const factsThen = flow.facts();
    const gateThen = flow.gate();
    // The record says what was written; plans to come do not rest on it.
    if (judgement.kind === 'permit' && unread !== undefined) flow.learn(unread);
    const record = (settled: Settled): void =>
      log.write(
        { ...flow.subject, id: log.nextId(), start },
        gateThen,
        factsThen,
        settled,
        { toDestination: upstream.sent() - before.toDestination, toAgent: client.sent() - before.toAgent },
        { kind: 'request', flow: flow.subject.id, end: log.now() },
      );
    if (judgement.kind === 'deny') {
      record(judgement);
      await answerDenied(flow, judgement, head.method, options.linger);
      return 'done';
    }
    // A path without canonical form passes only where monitoring lifted its denial, or no rule looks at it: as it came.
    const path = read.path ?? head.target.raw;
    const { destinationPort } = flow.facts();
    if (
      !(await upstream.write(
        Buffer.from(requestHeadText(head, path, authorityFor(read.name, scheme, destinationPort)), 'latin1'),
      ))
    ) {
      record(judgement);
      client.reset();
      return 'done';
    }
    let bodyEnded = false;
    const body = forwardBody(head, client, upstream).then((end) => {
      bodyEnded = end === 'end';
      if (end === 'unreadable') flow.cut(denial(judgement.rule, 'request', 'request-unreadable'));
      else if (end === 'closed') upstream.reset();
    });
    const end = await forwardResponse(head.method, head.upgrade.includes('websocket'), upstream, client);
    if (end === 'switched') {
      await body;
      await splice(client, upstream);
      record(judgement);
      return 'done';
    }
    record(judgement);
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
    await body;
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
