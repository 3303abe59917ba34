/**
 * HTTP and HTTPS hosts. Every answer says which server gave it and what it was asked, as JSON, except:
 * `/bytes/N` (N octets, at most 64 MiB), `/echo` (the body), `/events` (three server-sent events), `/mcp` (JSON-RPC result),
 * `/page?…` (the query as HTML, decoded, beside the offer of HTTP/3), `/latest/…` (what a cloud metadata service says), `/*.git/…` (files of a repository), and upgrades: a WebSocket echoes messages, any other protocol echoes bytes.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createSecureServer, type Http2ServerRequest } from 'node:http2';
import type { Socket } from 'node:net';
import { join, normalize } from 'node:path';
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import type { Endpoint } from '../arrivals.ts';
import { type Place, record, sourceOf } from './recorder.ts';
import { upgradeConnection } from './upgrade.ts';

type Request = IncomingMessage | Http2ServerRequest;
/** The compatible part of `Http2ServerResponse` too. */
type Response = Pick<ServerResponse, 'destroyed'> & {
  destroy(): unknown;
  writeHead(status: number, headers: Readonly<Record<string, string>>): unknown;
  end(body: string | Uint8Array): unknown;
};
export type Serve = (socket: Socket, source: Endpoint) => void;

const mebibyte = 1024 * 1024;
const largestBody = 64 * mebibyte;
/** Sources by connection, since a socket forgets its remote address when the peer has closed it. */
const sources = new WeakMap<object, Endpoint>();

export function httpServer(place: Place, repositories: string): Serve {
  const server = createServer((request, response) => void answer(place, repositories, request, response));
  server.on('upgrade', (request, socket) => {
    describe(place, request, 0);
    upgradeConnection(request, socket as Socket);
  });
  return (socket, source) => {
    sources.set(socket, source);
    server.emit('connection', socket);
  };
}

/** @param names those with a certificate, at least one; a ClientHello with another name, or none, gets that of the first */
export function httpsServer(place: Place, names: readonly string[], certificates: string, repositories: string): Serve {
  const key = readFileSync(join(certificates, 'leaf.key'));
  const contexts = new Map<string, SecureContext>();
  const contextOf = (name: string): SecureContext => {
    const known = contexts.get(name);
    if (known !== undefined) return known;
    const context = createSecureContext({ key, cert: readFileSync(join(certificates, `${name}.pem`)) });
    contexts.set(name, context);
    return context;
  };
  const fallback = names[0]!;
  const options = {
    key,
    cert: readFileSync(join(certificates, `${fallback}.pem`)),
    allowHTTP1: true,
    SNICallback: (name: string, done: (error: Error | null, context?: SecureContext) => void) =>
      done(null, contextOf(names.includes(name.toLowerCase()) ? name.toLowerCase() : fallback)),
  };
  const server = createSecureServer(
    options,
    (request, response) => void answer(place, repositories, request, response),
  );
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    describe(place, request, 0);
    upgradeConnection(request, socket);
  });
  const handshake = (socket: TLSSocket, complete: boolean): void => {
    const source = sourceOf(socket);
    sources.set(socket, source);
    const sni = socket.servername ? { sni: socket.servername } : {};
    const alpn = socket.alpnProtocol ? { alpn: socket.alpnProtocol } : {};
    record(place, source, { kind: 'tls', ...sni, ...alpn, complete });
  };
  server.on('secureConnection', (socket: TLSSocket) => handshake(socket, true));
  server.on('tlsClientError', (_error: Error, socket: TLSSocket) => handshake(socket, false));
  server.on('sessionError', (_error: Error, session: { destroy(): void }) => session.destroy());
  return (socket) => server.emit('connection', socket);
}

async function answer(place: Place, repositories: string, request: Request, response: Response): Promise<void> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length <= mebibyte) chunks.push(chunk);
    }
  } catch {
    // The client went away in the middle of its body; what came of it is recorded below, and nobody waits for an answer.
    response.destroy();
  }
  const seen = describe(place, request, length);
  if (response.destroyed) return;
  const target = request.url ?? '/';
  const path = target.split('?')[0]!;
  const send = (status: number, type: string, body: string | Uint8Array): void => {
    response.writeHead(status, { 'content-type': type, 'x-lab-server': place.server });
    response.end(body);
  };
  const sized = /^\/bytes\/(\d{1,9})$/.exec(path);
  if (sized !== null) send(200, 'application/octet-stream', Buffer.alloc(Math.min(Number(sized[1]), largestBody), 'x'));
  else if (path === '/echo') send(200, request.headers['content-type'] ?? 'text/plain', Buffer.concat(chunks));
  else if (path === '/page') {
    response.writeHead(200, { 'content-type': 'text/html', 'alt-svc': 'h3=":443"; ma=3600' });
    response.end(decodeURIComponent(target.slice('/page?'.length)));
  } else if (path === '/events') send(200, 'text/event-stream', 'data: 1\n\ndata: 2\n\ndata: 3\n\n');
  else if (path === '/mcp') send(200, 'application/json', callResult(Buffer.concat(chunks).toString()));
  else if (path.startsWith('/latest/')) send(200, 'text/plain', 'lab-instance-credentials\n');
  else if (/^\/[\w-]+\/[\w-]+\.git\//.test(path)) await sendFile(join(repositories, normalize(path)), send);
  else send(200, 'application/json', `${JSON.stringify(seen)}\n`);
}

/** Records the request and returns what the default answer says. */
function describe(place: Place, request: Request, body: number): object {
  const socket = request.socket as Socket & { servername?: string | false };
  const header = request.headers[':authority'] ?? request.headers.host;
  const authority = typeof header === 'string' ? header : '';
  const name =
    'stream' in request ? (request.stream.session?.socket as TLSSocket | undefined)?.servername : socket.servername;
  const source = sources.get(socket) ?? sourceOf(socket);
  const event = {
    method: request.method ?? '',
    authority,
    target: request.url ?? '',
    version: request.httpVersion,
    ...(name ? { sni: name } : {}),
    body,
  };
  record(place, source, { kind: 'request', ...event });
  return { server: place.server, address: place.address, source, ...event };
}

async function sendFile(
  path: string,
  send: (status: number, type: string, body: string | Uint8Array) => void,
): Promise<void> {
  try {
    send(200, 'application/octet-stream', await readFile(path));
  } catch {
    // Fetching a repository file by file asks for files that need not exist.
    send(404, 'text/plain', 'not found\n');
  }
}

function callResult(body: string): string {
  try {
    const { id = null, method = '' } = JSON.parse(body) as { id?: unknown; method?: unknown };
    return JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: `lab did ${method}` }] } });
  } catch {
    return JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32700, message: 'parse error' } });
  }
}
