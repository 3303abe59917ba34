/**
 * A subnet of agents behind the lab's host: a machine of its own on a second device of the host, which is its next hop and its resolver. It
 * knows nothing of what the host does with that device.
 */
import type { Lab } from './lab.ts';
import { type Machine, startMachine } from './machine.ts';
import { cable, links, settings, up } from './topology.ts';

export interface SubnetWords {
  readonly name: string;
  /** Of the host, such as `eth1`. */
  readonly device: string;
  /** The host's addresses on it, one of each family, with the length of the subnet. */
  readonly gateway: readonly string[];
  /** The machine's, of every agent that lives in it. */
  readonly agents: readonly string[];
}

const bare = (prefix: string): string => prefix.split('/')[0]!;

/** The machine is the caller's to stop; it dies with this process at the latest. */
export async function joinSubnet(lab: Lab, words: SubnetWords): Promise<Machine> {
  const { host } = lab.machines;
  const nameservers = words.gateway.map((address) => `nameserver ${bare(address)}\n`).join('');
  const machine = await startMachine(words.name, lab.directory, {
    hosts: '127.0.0.1 localhost\n::1 localhost\n',
    'nsswitch.conf': 'hosts: files dns\n',
    'resolv.conf': `${nameservers}options timeout:2 attempts:2\n`,
  });
  await settings(machine, ['net.ipv6.conf.default.accept_dad=0', 'net.ipv4.ping_group_range=0 2147483647']);
  await cable(host, words.device, machine, 'eth0');
  await links(host, up(words.device, words.gateway));
  await links(machine, [
    ...up('eth0', words.agents),
    ...words.gateway.map((address) => `route add default via ${bare(address)}`),
  ]);
  return machine;
}
