import type { DomainName } from '@cofferdam/net';
import { dnsName, dnsQuery } from '@cofferdam/wire';
import { answerOf, type UpstreamAnswer } from './upstream-answer.ts';
import { askTcp, askUdp, type UpstreamServer, type UpstreamSockets } from './upstream-exchange.ts';

export interface UpstreamOptions {
  /** In order of preference; each is tried in turn. Never empty. */
  readonly servers: readonly UpstreamServer[];
  /** Zones that have resolvers of their own. The longest suffix wins; the others are never asked about it. */
  readonly forward: readonly { readonly suffix: DomainName; readonly servers: readonly UpstreamServer[] }[];
  readonly sockets: UpstreamSockets;
  /** 16 random bits that cannot be guessed; an attacker off the path has to guess them together with the port. */
  readonly randomId: () => number;
  /** Milliseconds, never going back. */
  readonly now: () => number;
  /** Milliseconds for one attempt at one server. */
  readonly timeout: number;
  /** How often the whole list of servers is gone through. */
  readonly rounds: number;
  /** Questions under way at once; one more fails. */
  readonly pending: number;
  /** Answers kept. */
  readonly cached: number;
}

/** What has sensible values everywhere. */
export const upstreamDefaults = { forward: [], timeout: 1500, rounds: 2, pending: 512, cached: 10_000 } as const;

/**
 * Seconds. Below 5 an answer would be asked again for each connection of one page; above an hour a changed address would
 * be missed for too long. Negative answers are believed for 5 minutes at most, since people wait for names to appear.
 */
const ttlBounds = { least: 5, most: 3600, mostNegative: 300 };

/** RFC 9715: fits every path unfragmented, so that no fragment can be forged. */
const udpSize = 1232;

/** Milliseconds. */
const restAfterFailure = 30_000;

export interface UpstreamResolver {
  /** Never rejects. `ttl` of the answer is what is left of it. */
  readonly resolve: (name: DomainName, type: number) => Promise<UpstreamAnswer>;
}

interface Cached {
  readonly answer: Exclude<UpstreamAnswer, { kind: 'failed' }>;
  /** Milliseconds. */
  readonly until: number;
}

const boundedTtl = (answer: Cached['answer']): number =>
  Math.min(Math.max(answer.ttl, ttlBounds.least), answer.kind === 'records' ? ttlBounds.most : ttlBounds.mostNegative);

export const createUpstreamResolver = (options: UpstreamOptions): UpstreamResolver => {
  const cache = new Map<string, Cached>();
  const underWay = new Map<string, Promise<UpstreamAnswer>>();
  const zones = [...options.forward].sort((a, b) => b.suffix.length - a.suffix.length);

  const serversFor = (name: DomainName): readonly UpstreamServer[] =>
    zones.find(({ suffix }) => name === suffix || name.endsWith(`.${suffix}`))?.servers ?? options.servers;

  const askOne = async (server: UpstreamServer, name: DomainName, type: number): Promise<UpstreamAnswer> => {
    const question = dnsName(name);
    if (question === undefined) return { kind: 'failed' };
    const query = dnsQuery({ id: options.randomId(), name: question, type, edns: { udpSize } });
    let outcome = await askUdp(options.sockets, server, query, options.timeout);
    if (outcome.kind === 'response' && outcome.message.truncated) {
      outcome = await askTcp(options.sockets, server, query, options.timeout);
    }
    return outcome.kind === 'response' ? answerOf(outcome.message, question, type) : { kind: 'failed' };
  };

  /** Servers that failed lately come last: a dead first one must not cost every question its time-out. */
  const failedAt = new Map<UpstreamServer, number>();
  const inOrder = (servers: readonly UpstreamServer[]): readonly UpstreamServer[] => {
    const ill = (server: UpstreamServer): boolean =>
      (failedAt.get(server) ?? Number.NEGATIVE_INFINITY) + restAfterFailure > options.now();
    return [...servers.filter((server) => !ill(server)), ...servers.filter(ill)];
  };

  const askAll = async (name: DomainName, type: number): Promise<UpstreamAnswer> => {
    for (let round = 0; round < options.rounds; round++) {
      for (const server of inOrder(serversFor(name))) {
        const answer = await askOne(server, name, type);
        if (answer.kind !== 'failed') {
          failedAt.delete(server);
          return answer;
        }
        failedAt.set(server, options.now());
      }
    }
    return { kind: 'failed' };
  };

  const remember = (key: string, answer: UpstreamAnswer): UpstreamAnswer => {
    if (answer.kind === 'failed') return answer;
    const bounded = { ...answer, ttl: boundedTtl(answer) };
    if (cache.size >= options.cached) cache.delete(cache.keys().next().value!);
    cache.set(key, { answer: bounded, until: options.now() + bounded.ttl * 1000 });
    return bounded;
  };

  const fromCache = (key: string): UpstreamAnswer | undefined => {
    const found = cache.get(key);
    if (found === undefined) return undefined;
    const left = Math.ceil((found.until - options.now()) / 1000);
    if (left > 0) return { ...found.answer, ttl: left };
    cache.delete(key);
    return undefined;
  };

  return {
    resolve: (name, type) => {
      const key = `${type} ${name}`;
      const cached = fromCache(key);
      if (cached !== undefined) return Promise.resolve(cached);
      const asked = underWay.get(key);
      if (asked !== undefined) return asked;
      if (underWay.size >= options.pending) return Promise.resolve({ kind: 'failed' });
      const asking = askAll(name, type)
        .then((answer) => remember(key, answer))
        .finally(() => underWay.delete(key));
      underWay.set(key, asking);
      return asking;
    },
  };
};
