import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import {
  currentNetworkNamespace,
  type HostLink,
  type Kernel,
  linkToHost,
  openNftables,
  openSubnetNetwork,
  type Quotas,
  removeSubnetNetwork,
  routeGateway,
  type SubnetInterface,
  topology,
  unlinkHost,
} from '@cofferdam/datapath';
import type { LoadedPlan } from '@cofferdam/plan';
import { type GatewayCoreOptions, startGatewayCore } from './gateway-core.ts';
import { seldom } from './seldom.ts';
import { undoing } from './undoing.ts';
import { createUpkeep } from './upkeep.ts';

/** The gateway of subnets: interfaces of the host, in a namespace that goes on enforcing when this process is gone. */
export interface NetworkGatewayOptions extends Omit<GatewayCoreOptions, 'gateway' | 'place' | 'plan' | 'quotas'> {
  readonly name: string;
  /** Where its namespace is held. */
  readonly directory: string;
  /** Agent interfaces: of the host, or in the gateway since an earlier start. */
  readonly agents: readonly string[];
  readonly quotas?: Quotas;
  readonly isAlive: (run: string) => boolean;
  /** The plan to begin with, once it is known which addresses the gateway has. */
  readonly plan: (interfaces: readonly SubnetInterface[]) => LoadedPlan;
}

export interface NetworkGateway {
  readonly kernel: Kernel;
  readonly interfaces: readonly SubnetInterface[];
  /** Whether an earlier process's gateway was taken over. */
  readonly standing: boolean;
  /** Puts another plan in force in one step; live flows are judged by it. Throws, and changes nothing, where it does not fit. */
  readonly renew: (plan: LoadedPlan) => void;
  /** Lets go: the kernel goes on enforcing the plan in force; new names and requests are refused until the next start. Safe to call twice. */
  close(): void;
}

/** Names the gateway's link and tables on the host; hexadecimal, the same at each start. */
export const gatewayId = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 8);

/**
 * One agent in many: a sixteenth of the flow table and an eighth of the hellos that can be read at once, a thousand new flows a second. A
 * browser opens some tens at once, a busy worker a few hundred.
 */
export const defaultQuotas: Quotas = {
  flows: 4096,
  hellos: 128,
  flowRate: 1000,
  flowBurst: 2000,
  eventRate: 200,
  eventBurst: 1000,
};

/** Milliseconds between two looks at what the gateway stands on. */
const lookEvery = 1000;

export const startNetworkGateway = (options: NetworkGatewayOptions): NetworkGateway => {
  const run = gatewayId(options.name);
  let begun = false;
  return undoing(options.warn, (undo) => {
    const host = currentNetworkNamespace();
    undo(host.close);
    const nft = openNftables(host);
    undo(nft.close);
    const network = openSubnetNetwork(host, options.directory, options.agents);
    const { gateway, interfaces, standing } = network;
    undo(() => {
      network.close();
      // A first start that fails leaves nothing; one that took over leaves what it found.
      if (!begun && !standing) removeSubnetNetwork(host, options.directory);
    });
    const { isAlive, upstream } = options;
    const makeLink = (): HostLink =>
      linkToHost({ host, nft, gateway, run, isAlive, ...(upstream === undefined ? {} : { upstream }) });
    let link = makeLink();
    undo(() => {
      if (!begun && !standing) link.close();
    });
    const reroute = (): void => routeGateway(gateway, link.uplink, options.agents);
    reroute();
    const core = startGatewayCore(
      {
        ...options,
        gateway: options.name,
        place: { host, gateway, interfaces, standing, outlives: true },
        plan: options.plan(interfaces),
        quotas: options.quotas ?? defaultQuotas,
      },
      undo,
    );
    const upkeep = createUpkeep({
      host,
      network,
      kernel: core.kernel,
      link: () => link,
      relink() {
        link = makeLink();
        reroute();
        gateway.run(() => core.kernel.attachUplink(topology.uplinkInterface));
      },
      reroute,
      warn: options.warn,
    });
    undo(upkeep.close);
    const warn = seldom(options.warn, () => performance.now());
    const looks = setInterval(() => {
      try {
        upkeep.look();
      } catch (e) {
        warn(`the gateway cannot be mended: ${e instanceof Error ? e.message : String(e)}`);
      }
    }, lookEvery);
    undo(() => clearInterval(looks));
    begun = true;
    return { ...core, interfaces, standing };
  });
};

/** Takes a gateway away whole and gives its interfaces back to the host: from then on nothing is enforced. Undefined: there is none. */
export const removeNetworkGateway = (
  options: Pick<NetworkGatewayOptions, 'name' | 'directory'>,
): readonly string[] | undefined => {
  const host = currentNetworkNamespace();
  const nft = openNftables(host);
  try {
    return removeSubnetNetwork(host, options.directory, () => unlinkHost(host, nft, gatewayId(options.name)));
  } finally {
    nft.close();
    host.close();
  }
};
