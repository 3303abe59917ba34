/** The process that plays all servers of one machine: each service of each host on each of its addresses. */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { type Service, servicePorts, type WorldHost } from '../world.ts';
import type { ServersConfiguration } from './configuration.ts';
import { echo, listenUdp, ntp, silence } from './datagram.ts';
import { frontDns, listenDns, serveDnsTcp } from './dns.ts';
import { mysqlServer, smtpServer } from './greeting.ts';
import { listenTcp, type Place, report } from './recorder.ts';
import { httpServer, httpsServer, type Serve } from './web.ts';

const configuration = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as ServersConfiguration;

interface TcpService {
  readonly greets: boolean;
  readonly serve: Serve;
}

function tcpService(service: Service, place: Place, host: WorldHost): TcpService {
  const { certificates, repositories, sshPort } = configuration;
  switch (service) {
    case 'http':
      return { greets: false, serve: httpServer(place, repositories) };
    case 'https':
      return { greets: false, serve: httpsServer(place, host.names, certificates, repositories) };
    case 'ssh':
      return { greets: true, serve: (socket) => relay(socket, sshPort) };
    case 'smtp':
      return { greets: true, serve: smtpServer };
    case 'mysql':
      return { greets: true, serve: mysqlServer };
    case 'dns':
      return { greets: false, serve: (socket, source) => serveDnsTcp(place, socket, source) };
    case 'echo':
      return { greets: false, serve: (socket) => void socket.pipe(socket) };
    case 'sink':
    case 'dns-over-tls':
    case 'quic':
    case 'udp-echo':
    case 'ntp':
      return { greets: false, serve: swallow };
  }
}

function listenDatagram(service: Service, place: Place): Promise<void> {
  if (service === 'dns') return listenDns(place);
  if (service === 'udp-echo') return listenUdp(place, echo);
  return listenUdp(place, service === 'ntp' ? ntp : silence);
}

function swallow(socket: Socket): void {
  socket.on('end', () => socket.end());
  socket.resume();
}

function relay(socket: Socket, port: number): void {
  const inner = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  inner.on('error', () => socket.destroy());
  socket.on('close', () => inner.destroy());
  socket.pipe(inner).pipe(socket);
}

async function start(): Promise<void> {
  const started: Promise<unknown>[] = [];
  for (const host of configuration.hosts) {
    for (const address of host.addresses) {
      for (const service of host.services) {
        const { tcp, udp } = servicePorts[service];
        for (const port of tcp) {
          const place = { server: host.key, address, port };
          const { greets, serve } = tcpService(service, place, host);
          started.push(listenTcp(place, greets, serve));
        }
        for (const port of udp) started.push(listenDatagram(service, { server: host.key, address, port }));
      }
    }
  }
  for (const { server, address, port } of configuration.dnsFronts)
    started.push(frontDns({ server, address, port: 53 }, port));
  await Promise.all(started);
  report({ kind: 'ready' });
}

// Everything that arrived before a token came in is reported before its answer.
createInterface({ input: process.stdin }).on('line', (token) => setImmediate(() => report({ kind: 'flushed', token })));
process.stdin.on('end', () => process.exit(0));
await start();
