import { setTimeout as delay } from 'node:timers/promises';
import { authorityName, type DomainName, formatAddress } from '@cofferdam/net';
import { absent, type Fact, type Facts, known, type RequestFacts, unreadable } from '@cofferdam/verdict';
import type { RequestHead } from '@cofferdam/wire';
import { closeGently } from './byte-stream.ts';
import type { FlowLog } from './flow-log.ts';
import { denialResponse } from './http-denial.ts';
import { forwardBody, forwardResponse, nextHead } from './http-exchange.ts';
import { pathOf, requestHeadText } from './http-head-text.ts';
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

/** What one request says, as facts, and the name it is forwarded under. */
interface ReadRequest {
  readonly facts: Pick<Facts, 'tls' | 'claimedName' | 'request' | 'mcp'>;
  readonly path: string | undefined;
  readonly name: DomainName | undefined;
  /** Known before policy is asked: a denial that holds whatever the rules say. */
  readonly denied: 'authority-mismatch' | 'request-unreadable' | undefined;
}

const authorityOf = (head: RequestHead): string | undefined =>
  head.target.form === 'absolute' ? head.target.authority : head.host;

const claimedNameOf = (head: RequestHead, flow: ProxiedFlow): Fact<DomainName> => {
  const authority = authorityOf(head);
  if (authority === undefined) return absent;
  const { destination, destinationPort } = flow.facts();
  const read = authorityName(authority, destinationPort ?? 80, flow.subject.synthetic ?? destination);
  return read.kind === 'name' ? known(read.name) : read.kind === 'address' ? absent : unreadable;
};

/** `Upgrade: h2c` and CONNECT lead out of what is read here; a URL of another scheme is for another port. */
const isRefused = (head: RequestHead): boolean =>
  head.upgradeToH2c || head.method === 'CONNECT' || (head.target.form === 'absolute' && head.target.scheme !== 'http');

const readRequest = (head: RequestHead, flow: ProxiedFlow, first: Fact<DomainName> | undefined): ReadRequest => {
  const claimedName = claimedNameOf(head, flow);
  const path = pathOf(head);
  const name = claimedName.state === 'known' ? claimedName.value : undefined;
  // A literal is no domain name; as a host it stands here as text that no pattern matches.
  const host = name ?? flow.facts().addressNames[0] ?? (formatAddress(flow.facts().destination) as DomainName);
  const request: Fact<RequestFacts> =
    path === undefined ? unreadable : known({ method: head.method, scheme: 'http', host, path });
  const changed =
    first !== undefined && (first.state !== claimedName.state || (first.state === 'known' && first.value !== name));
  return {
    facts: { tls: absent, claimedName, request, mcp: head.framing.kind === 'none' ? absent : unreadable },
    path,
    name,
    denied: isRefused(head)
      ? 'request-unreadable'
      : !head.authoritiesAgree || changed
        ? 'authority-mismatch'
        : undefined,
  };
};

/** Tells the client why, instead of the destination, which learns nothing; then ends the connection. */
export const answerDenied = async (
  flow: ProxiedFlow,
  judgement: Settled,
  method: string,
  linger: number,
): Promise<void> => {
  const { client, upstream } = flow;
  upstream.reset();
  await client.write(denialResponse(judgement, flow.gate(), method));
  await closeGently(client, linger);
};

/**
 * Plain HTTP on one connection: each request is judged by itself, one after the other, and only then forwarded. Requests sent
 * ahead wait until the response before them has passed, so that answers keep their order and a denial takes its place in it.
 */
export const runHttp = async (flow: ProxiedFlow, options: HttpSessionOptions): Promise<void> => {
  const { client, upstream, agent } = flow;
  const { log } = options;
  let firstName: Fact<DomainName> | undefined;

  const judgeRequest = (head: RequestHead): { read: ReadRequest; judgement: Settled } => {
    const read = readRequest(head, flow, firstName);
    firstName ??= read.facts.claimedName;
    flow.learn(read.facts);
    const judgement = flow.settleNow('request-unreadable');
    if (judgement.kind === 'deny') return { read, judgement };
    if (read.denied !== undefined) {
      // CONNECT and h2c are never lifted: what would pass then is a tunnel to wherever the server goes.
      const lifting = read.denied === 'authority-mismatch' ? agent : undefined;
      return { read, judgement: denial(lifting, judgement.rule, 'request', read.denied) };
    }
    const webSocket = head.upgrade.includes('websocket');
    const readsOn = flow.gate()?.rule(judgement.rule)?.readsRequests === true;
    return {
      read,
      judgement: webSocket && readsOn ? denial(agent, judgement.rule, 'request', 'request-unreadable') : judgement,
    };
  };

  const unreadableHead = async (): Promise<'done'> => {
    flow.learn({
      request: unreadable,
      mcp: unreadable,
      tls: absent,
      ...(firstName === undefined ? { claimedName: unreadable } : {}),
    });
    const judgement = flow.settleNow('request-unreadable');
    // A rule that permitted requests so far need not permit bytes that are none.
    const settled =
      judgement.kind === 'permit' && firstName !== undefined
        ? denial(agent, judgement.rule, 'request', 'request-unreadable')
        : judgement;
    flow.note(settled);
    if (settled.kind === 'deny') await answerDenied(flow, settled, 'GET', options.linger);
    else await splice(client, upstream);
    return 'done';
  };

  const exchange = async (head: RequestHead): Promise<'next' | 'done'> => {
    const start = log.now();
    const before = { toDestination: upstream.sent(), toAgent: client.sent() };
    const { read, judgement } = judgeRequest(head);
    flow.note(judgement);
    const factsThen = flow.facts();
    const gateThen = flow.gate();
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
    if (!(await upstream.write(Buffer.from(requestHeadText(head, path, read.name, destinationPort ?? 80), 'latin1')))) {
      record(judgement);
      client.reset();
      return 'done';
    }
    let bodyEnded = false;
    const body = forwardBody(head, client, upstream).then((end) => {
      bodyEnded = end === 'end';
      if (end === 'unreadable') flow.cut(denial(undefined, judgement.rule, 'request', 'request-unreadable'));
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
      const late = denial(agent, 'default', 'request', 'undecided-timeout');
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
