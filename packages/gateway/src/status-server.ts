import { chownSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { metricsContentType } from './metrics-text.ts';
import type { GatewayStatus } from './status.ts';

/** A socket that only its owner, and root, may connect to. Its directory has to be there. */
export interface StatusSocket {
  readonly path: string;
  /** Absent: root. */
  readonly owner?: number;
}

/** Where Prometheus asks. Whoever reaches it may read the names of rules and agents, and nothing else of the status. */
export interface MetricsAddress {
  readonly address: string;
  /** 0: any that is free. */
  readonly port: number;
}

export interface StatusServerOptions {
  /** Milliseconds that never go back. */
  readonly now: () => number;
  readonly warn: (text: string) => void;
}

export interface StatusServer {
  /** Once it listens. Rejects where it cannot. */
  readonly listening: Promise<{ readonly port: number | undefined }>;
  readonly close: () => void;
}

/** Who asks pays nothing, and the gateway forwards packets meanwhile: what was made for one is given to all for so long. Milliseconds. */
const sameAnswer = 1000;

const limits = {
  maxHeaderSize: 8192,
  headersTimeout: 5000,
  requestTimeout: 5000,
  keepAliveTimeout: 5000,
  /** How often the time-outs are looked at. */
  connectionsCheckingInterval: 1000,
} as const;
const mostConnections = 16;
/** Milliseconds for whoever reads slowly. */
const slowest = 10_000;

interface Page {
  readonly contentType: string;
  readonly text: () => string;
}

const recent = (make: () => string, now: () => number): (() => string) => {
  let made: { readonly text: string; readonly at: number } | undefined;
  return () => {
    const at = now();
    if (made === undefined || at - made.at >= sameAnswer) made = { text: make(), at };
    return made.text;
  };
};

const json = 'application/json';

const answer = (response: ServerResponse, code: number, contentType: string, text: string): void => {
  response.writeHead(code, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(code === 405 ? { allow: 'GET' } : {}),
  });
  response.end(text);
};

const listener =
  (pages: ReadonlyMap<string, Page>, warn: (text: string) => void): RequestListener =>
  (request: IncomingMessage, response: ServerResponse) => {
    // Nothing here takes a body: whoever sends one is not listened to any longer than the answer takes.
    if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined)
      response.setHeader('connection', 'close');
    if (request.method !== 'GET') return answer(response, 405, 'text/plain', 'only GET\n');
    const page = pages.get((request.url ?? '').replace(/\?.*$/s, ''));
    if (page === undefined) return answer(response, 404, 'text/plain', `there is ${[...pages.keys()].join(', ')}\n`);
    let text: string;
    try {
      text = page.text();
    } catch (e) {
      warn(`status: ${e instanceof Error ? e.message : String(e)}`);
      return answer(response, 500, 'text/plain', 'the gateway could not say\n');
    }
    answer(response, 200, page.contentType, text);
  };

const bounded = (pages: ReadonlyMap<string, Page>, warn: (text: string) => void): Server => {
  const server = createServer(limits, listener(pages, warn));
  server.maxConnections = mostConnections;
  server.maxRequestsPerSocket = 100;
  server.timeout = slowest;
  return server;
};

const started = (server: Server, warn: (text: string) => void): Promise<{ readonly port: number | undefined }> => {
  const listening = new Promise<{ readonly port: number | undefined }>((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      const at = server.address();
      resolve({ port: typeof at === 'object' ? at?.port : undefined });
    });
  });
  // Later errors cost a connection; the first is the caller's too, who need not ask.
  server.on('error', (e) => warn(`status: ${e.message}`));
  listening.catch(() => undefined);
  return listening;
};

/** One that an earlier process left; anything else that has the path is not ours to take away. */
const unlinkSocket = (path: string): void => {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
};

const closeServer = (server: Server) => (): void => {
  server.close();
  server.closeAllConnections();
};

/** All of the status, on a socket of this machine. */
export const serveStatus = (
  status: Pick<GatewayStatus, 'rulesJson' | 'stateJson' | 'metrics'>,
  { path, owner }: StatusSocket,
  options: StatusServerOptions,
): StatusServer => {
  const { now, warn } = options;
  const page = (contentType: string, make: () => string): Page => ({ contentType, text: recent(make, now) });
  const server = bounded(
    new Map([
      ['/v1/rules', page(json, status.rulesJson)],
      ['/v1/state', page(json, status.stateJson)],
      ['/metrics', page(metricsContentType, status.metrics)],
    ]),
    warn,
  );
  const listening = started(server, warn);
  unlinkSocket(path);
  // Bound by the time that `listen` returns: nobody else can connect in between.
  const before = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(before);
  }
  if (server.listening && owner !== undefined) chownSync(path, owner, -1);
  return { listening, close: closeServer(server) };
};

/** The metrics alone, over TCP. */
export const serveMetrics = (
  status: Pick<GatewayStatus, 'metrics'>,
  { address, port }: MetricsAddress,
  options: StatusServerOptions,
): StatusServer => {
  const { now, warn } = options;
  const text = recent(status.metrics, now);
  const server = bounded(new Map([['/metrics', { contentType: metricsContentType, text }]]), warn);
  const listening = started(server, warn);
  server.listen({ host: address, port });
  return { listening, close: closeServer(server) };
};
