import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { createNetworkNamespace } from '@cofferdam/datapath';
import { ip, listensOn, runInside, settings, startInside } from './inside.ts';
import { program } from './load.ts';
import { agents, place, servicePorts } from './place.ts';

/** The namespaces of one variant and the servers in them; the gateway's is made by whoever makes the gateway. */
export interface World {
  /** Paths. */
  readonly client: string;
  readonly server: string;
  /** Lays the links to a gateway and gives it its addresses. */
  readonly join: (gateway: string) => void;
  readonly close: () => void;
}

/** What all worlds share. */
export interface WorldFiles {
  readonly directory: string;
  readonly certificate: string;
  readonly key: string;
}

/** As many as there are for each: nothing in the namespaces forgets or loses for want of room. */
const common = {
  'ipv4/conf/all/rp_filter': 0,
  'ipv4/conf/default/rp_filter': 0,
  'ipv6/conf/all/disable_ipv6': 1,
  'ipv6/conf/default/disable_ipv6': 1,
} as const;
const many = { 'ipv4/tcp_max_syn_backlog': 16_384, 'core/somaxconn': 16_384 } as const;

const nginx = ({ directory, certificate, key }: WorldFiles): string => `
daemon off;
pid ${directory}/nginx.pid;
error_log ${directory}/nginx.log;
worker_processes auto;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  server {
    listen ${place.service}:${servicePorts.tls} ssl;
    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;
    location / { return 200 "ok"; }
  }
}
`;

/** Answers every name below the zone that rules are about with the service's address. */
const dnsmasq = [
  // As a daemon it would change who it is, and with that forget with whom it is to end.
  ...[
    'dnsmasq',
    '--no-daemon',
    '--conf-file=/dev/null',
    '--pid-file',
    '--no-resolv',
    '--no-hosts',
    '--log-facility=/dev/null',
  ],
  ...[`--listen-address=${place.resolver}`, '--bind-interfaces', '--local-ttl=300'],
  `--address=/bench.example/${place.service}`,
] as const;

export const openWorld = async (files: WorldFiles): Promise<World> => {
  const [client, server] = [createNetworkNamespace(), createNetworkNamespace()];
  const running: ChildProcess[] = [];
  const close = (): void => {
    for (const child of running) child.kill();
    client.close();
    server.close();
  };
  try {
    settings(client.path, common);
    settings(server.path, { ...common, ...many });
    ip(client.path, ['link set lo up']);
    ip(server.path, [
      'link set lo up',
      ...[place.service, place.otherService, place.resolver].map((address) => `addr add ${address}/32 dev lo`),
    ]);
    mkdirSync(files.directory, { recursive: true });
    const configuration = `${files.directory}/nginx.conf`;
    writeFileSync(configuration, nginx(files));
    const start = async (...what: Parameters<typeof startInside>): Promise<void> =>
      void running.push(await startInside(...what));
    const threads = String(availableParallelism());
    await start(server.path, [program('serve'), '0.0.0.0', threads], { word: 'ready' });
    await start(server.path, ['nginx', '-c', configuration, '-p', files.directory], {
      isUp: () => listensOn(server.path, 'tcp', servicePorts.tls),
    });
    await start(server.path, dnsmasq, { isUp: () => listensOn(server.path, 'udp', 53) });
    return {
      client: client.path,
      server: server.path,
      join: (gateway) => join(client.path, gateway, server.path),
      close,
    };
  } catch (e) {
    close();
    throw e;
  }
};

const join = (client: string, gateway: string, server: string): void => {
  const { clientInterface, agentInterface, uplinkInterface, serverInterface } = place;
  settings(gateway, { ...common, 'ipv4/ip_forward': 1 });
  ip(gateway, [
    'link set lo up',
    `link add ${agentInterface} type veth peer name ${clientInterface} netns ${client}`,
    `link add ${uplinkInterface} type veth peer name ${serverInterface} netns ${server}`,
    `addr add ${place.gateway}/${place.agentLength} dev ${agentInterface}`,
    `addr add ${place.uplink}/${place.uplinkLength} dev ${uplinkInterface}`,
    `link set ${agentInterface} up`,
    `link set ${uplinkInterface} up`,
    `route add default via ${place.server} dev ${uplinkInterface}`,
  ]);
  ip(client, [
    ...agents.map((address) => `addr add ${address}/${place.agentLength} dev ${clientInterface}`),
    `link set ${clientInterface} up`,
    `route add default via ${place.gateway} dev ${clientInterface}`,
  ]);
  ip(server, [
    `addr add ${place.server}/${place.uplinkLength} dev ${serverInterface}`,
    `link set ${serverInterface} up`,
    `route add default via ${place.uplink} dev ${serverInterface}`,
  ]);
};

/** Makes the server send packets as they go over a wire, or, as virtual interfaces do, segments of up to 64 KiB. */
export const setSegments = ({ server }: World, many: boolean): void =>
  void runInside(server, [program('segments'), place.serverInterface, many ? 'on' : 'off']);
