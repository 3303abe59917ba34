import {
  createRunNetwork,
  currentNetworkNamespace,
  type Kernel,
  linkToHost,
  type NetworkNamespace,
  openNftables,
  type Quotas,
  routeGateway,
  topology,
} from '@cofferdam/datapath';
import { type Address, parseAddress } from '@cofferdam/net';
import type { LoadedPlan } from '@cofferdam/plan';
import { type GatewayCoreOptions, startGatewayCore } from './gateway-core.ts';
import { openRelays } from './run-relays.ts';
import { undoing } from './undoing.ts';

/** The gateway of one run: two namespaces that live as long as this process, with one agent interface between them. */
export interface RunGatewayOptions extends Omit<GatewayCoreOptions, 'gateway' | 'place' | 'quotas'> {
  /** Hexadecimal, unique on this host. */
  readonly run: string;
  /** Host ports that the command reaches as its own localhost, and ports of the command that the host reaches as its own. */
  readonly hostPorts: readonly number[];
  readonly publish: readonly number[];
  readonly isAlive: (run: string) => boolean;
}

export interface RunGateway {
  readonly agentNamespace: NetworkNamespace;
  readonly gatewayNamespace: NetworkNamespace;
  readonly kernel: Kernel;
  /** Puts another plan in force in one step; live flows are judged by it. Throws, and changes nothing, where it does not fit. */
  readonly renew: (plan: LoadedPlan) => void;
  /** Undoes everything, and ends the records of live flows. Safe to call twice. */
  close(): void;
}

const addresses = (texts: readonly string[]): readonly Address[] => texts.map((text) => parseAddress(text)!);

/** Addresses the gateway has whatever the host: reached by no rule that does not name them. */
export const gatewayAddresses = addresses([topology.gateway4, topology.gateway6, topology.nowhere4, topology.nowhere6]);

/** Where the command lives; the inventory of a run gives it to its one workload. */
export const commandAddresses = addresses([topology.agent4, topology.agent6]);

/** One command has the tables to itself. */
const runQuotas: Quotas = { flows: 0, hellos: 0, flowRate: 0, flowBurst: 0, eventRate: 0, eventBurst: 0 };

export const startRunGateway = (options: RunGatewayOptions): RunGateway =>
  undoing(options.warn, (undo) => {
    const host = currentNetworkNamespace();
    undo(host.close);
    const network = createRunNetwork();
    undo(network.close);
    const hostNft = openNftables(host);
    undo(hostNft.close);
    const { run, isAlive } = options;
    const link = linkToHost({ host, nft: hostNft, gateway: network.gateway, run, isAlive });
    undo(link.close);
    routeGateway(network.gateway, link.uplink, [topology.agentInterface]);
    const own = addresses([topology.gateway4, topology.gateway6]);
    const interfaces = [{ name: topology.agentInterface, own, behind: [] }];
    const place = { host, gateway: network.gateway, interfaces, standing: false, outlives: false };
    const core = startGatewayCore({ ...options, gateway: run, place, quotas: runQuotas }, undo);
    openRelays(options, host, network.agent, undo);
    return { ...core, agentNamespace: network.agent, gatewayNamespace: network.gateway };
  });
