import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createNetworkNamespace, marks, topology } from '@cofferdam/datapath';
import type { GatewayAnswer, GatewayRequest } from './gateway-messages.ts';
import { insideOf, ip, listensOn, runInside, settings, startInside } from './inside.ts';
import { place } from './place.ts';
import { haproxyConfiguration, haproxyRedirect, namesOf, nftList, nftNat, nftSet } from './rule-set.ts';
import { openWorld, type World, type WorldFiles } from './world.ts';

/** One of those that are compared: a gateway between a client and a server, ready to be measured. */
export interface Variant {
  readonly name: string;
  readonly world: World;
  /** What the client dials to reach the service. */
  readonly service: string;
  /** What must not be reached, and the name to ask it for; absent: nothing is denied. */
  readonly denied?: { readonly address: string; readonly name: string };
  /** The resolver of the gateway; absent: it has none. */
  readonly resolver?: string;
  /** Only for ours. */
  readonly ask?: <K extends GatewayRequest>(request: K) => Promise<GatewayAnswer>;
  /** The process that works for it beside the kernel; absent: there is none whose work is left over when a measurement ends. */
  readonly pid?: number;
  /** Lets it run, or holds it still while others are measured. */
  readonly wake: () => void;
  readonly rest: () => void;
  readonly close: () => void;
}

export interface VariantKind {
  readonly name: string;
  readonly open: (world: World, files: WorldFiles, rules: number) => Promise<Omit<Variant, 'name' | 'world'>>;
  readonly rules: number;
}

const nothing = (): void => undefined;

/** A namespace in which the kernel forwards by itself, with `rules` of nft. */
const forwarder = (world: World, rules: string): { readonly path: string; readonly close: () => void } => {
  const gateway = createNetworkNamespace();
  world.join(gateway.path);
  if (rules !== '') runInside(gateway.path, ['nft', '-f', '-'], rules);
  return gateway;
};

const plain: VariantKind['open'] = async (world) => {
  const { path, close } = forwarder(world, '');
  // The cache that a router has where nothing is filtered.
  const words = [
    '--no-daemon',
    '--conf-file=/dev/null',
    '--pid-file',
    '--no-resolv',
    '--no-hosts',
    '--log-facility=/dev/null',
  ];
  const dnsmasq = await startInside(
    path,
    [
      'dnsmasq',
      ...words,
      `--listen-address=${place.gateway}`,
      '--bind-interfaces',
      `--server=${place.resolver}`,
      '--cache-size=10000',
    ],
    { isUp: () => listensOn(path, 'udp', 53) },
  );
  return {
    service: place.service,
    resolver: place.gateway,
    wake: nothing,
    rest: nothing,
    close() {
      dnsmasq.kill();
      close();
    },
  };
};

const netfilter =
  (rulesOf: (rules: number) => string, denies: boolean): VariantKind['open'] =>
  async (world, _files, rules) => {
    const { close } = forwarder(world, rulesOf(rules));
    return {
      service: place.service,
      ...(denies ? { denied: { address: place.otherService, name: place.name } } : {}),
      wake: nothing,
      rest: nothing,
      close,
    };
  };

const haproxy: VariantKind['open'] = async (world, { directory }, rules) => {
  const { path, close } = forwarder(world, haproxyRedirect);
  settings(path, { 'core/somaxconn': 16_384, 'ipv4/ip_local_port_range': '1024 65535' });
  writeFileSync(`${directory}/names`, `${namesOf(rules).join('\n')}\n`);
  writeFileSync(`${directory}/haproxy.cfg`, haproxyConfiguration(`${directory}/names`));
  const child = await startInside(path, ['haproxy', '-db', '-f', `${directory}/haproxy.cfg`], {
    isUp: () => listensOn(path, 'tcp', 10_443),
  });
  return {
    service: place.service,
    denied: { address: place.service, name: place.otherName },
    wake: nothing,
    rest: nothing,
    close() {
      child.kill();
      close();
    },
  };
};

const gatewayProcess = new URL('gateway-process.ts', import.meta.url).pathname;

interface Waiting {
  readonly resolve: (answer: GatewayAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** What a process says, in order: each call waits for the next. */
const conversation = (child: ChildProcess): (() => Promise<GatewayAnswer>) => {
  const waiting: Waiting[] = [];
  const said: GatewayAnswer[] = [];
  let ended: Error | undefined;
  child.on('message', (answer: GatewayAnswer) => {
    const next = waiting.shift();
    if (next === undefined) said.push(answer);
    else next.resolve(answer);
  });
  child.on('exit', (code, signal) => {
    ended = new Error(`the gateway ended with ${code ?? signal}`);
    for (const { reject } of waiting.splice(0)) reject(ended);
  });
  return async () => {
    const answer =
      said.shift() ??
      (await new Promise<GatewayAnswer>((resolve, reject) => {
        if (ended === undefined) waiting.push({ resolve, reject });
        else reject(ended);
      }));
    if (answer.kind === 'failed') throw new Error(answer.because);
    return answer;
  };
};

/** Routes of a gateway's namespace: its proxy's local delivery, and replies that only the kernel program leads to agents. */
const routes = (gateway: string): void => {
  const { agentInterface: agent, uplinkInterface: uplink, agentNetwork } = place;
  const { proxyTable, replyTable, nowhere4, nowhereMac } = topology;
  ip(gateway, [
    `neigh replace ${nowhere4} lladdr ${nowhereMac} dev ${agent} nud permanent`,
    `rule add pref 100 iif ${agent} fwmark 0x${marks.proxy.toString(16)} lookup ${proxyTable}`,
    `rule add pref 101 iif ${uplink} lookup ${replyTable}`,
    `route add local 0.0.0.0/0 dev lo table ${proxyTable}`,
    `route add ${agentNetwork} via ${nowhere4} dev ${agent} onlink table ${replyTable}`,
  ]);
};

/** The synthetic address of the service, as the client learns it. */
const lookUp = (client: string): string => {
  const text = runInside(client, ['dig', '+short', '+tries=3', '+time=2', `@${place.gateway}`, place.name, 'A']).trim();
  if (!/^198\.18\./.test(text)) throw new Error(`${place.name} has no synthetic address: \`${text}\``);
  return text;
};

const cofferdam: VariantKind['open'] = async (world, { directory }, rules) => {
  // Killed with this process, even while it is stopped. Node has the memory that `./cofferdam` gives it.
  const node = [process.execPath, '--max-semi-space-size=16', '--expose-gc'];
  const gateway = ['setpriv', '--pdeathsig', 'KILL', '--', ...node, gatewayProcess];
  const [program, ...words] = insideOf(world.server, gateway);
  const child = spawn(program!, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const listen = conversation(child);
  const ready = await listen();
  if (ready.kind !== 'ready') throw new Error(`the gateway said ${ready.kind}`);
  world.join(ready.namespace);
  routes(ready.namespace);
  const ask = (request: GatewayRequest): Promise<GatewayAnswer> => {
    // That it cannot be sent is known by the end of the process, which is the answer then.
    child.send(request, () => undefined);
    return listen();
  };
  await ask({ ask: 'start', rules, log: `${directory}/flows.jsonl` });
  return {
    service: lookUp(world.client),
    denied: { address: lookUp(world.client), name: place.otherName },
    resolver: place.gateway,
    ask,
    pid: child.pid!,
    wake: () => void child.kill('SIGCONT'),
    rest: () => void child.kill('SIGSTOP'),
    close() {
      child.kill('SIGKILL');
    },
  };
};

const short = (rules: number): string => rules.toLocaleString('en');

/** In the order in which they are shown. */
export const variantKinds: readonly VariantKind[] = [
  { name: 'forwarding', open: plain, rules: 0 },
  { name: 'forwarding, tracked and translated', open: netfilter(() => nftNat, false), rules: 0 },
  ...[10, 1000, 20_000].map((rules) => ({ name: `cofferdam, ${short(rules)} rules`, open: cofferdam, rules })),
  ...[1000, 20_000].map((rules) => ({
    name: `nft list, ${short(rules)} rules`,
    open: netfilter(nftList, true),
    rules,
  })),
  { name: `nft set, ${short(20_000)} rules`, open: netfilter(nftSet, true), rules: 20_000 },
  { name: `haproxy, ${short(20_000)} names`, open: haproxy, rules: 20_000 },
];

export const openVariant = async (kind: VariantKind, files: WorldFiles): Promise<Variant> => {
  const world = await openWorld(files);
  try {
    return { name: kind.name, world, ...(await kind.open(world, files, kind.rules)) };
  } catch (e) {
    world.close();
    throw e;
  }
};
