import { readdirSync } from 'node:fs';
import { standsSubnetNetwork } from '@cofferdam/datapath';
import { gatewayId } from '@cofferdam/gateway';
import { isLiveRun } from '../run-directory.ts';

/** Where gateways of networks hold their namespaces, one directory each. */
const gatewaysDirectory = '/run/cofferdam/gateway';

export const gatewayDirectory = (name: string): string => `${gatewaysDirectory}/${name}`;

/** Names of the gateways that stand on this machine, whether or not a process is there for them. */
export const standingGateways = (): readonly string[] => {
  try {
    return readdirSync(gatewaysDirectory).filter((name) => standsSubnetNetwork(gatewayDirectory(name)));
  } catch {
    // No gateway has been here since the machine started.
    return [];
  }
};

/** Whether what a run or gateway of this id has on the host is still needed. */
export const isAlive = (id: string): boolean => isLiveRun(id) || standingGateways().map(gatewayId).includes(id);
