import { type Address, formatAddress } from '@cofferdam/net';
import { firstMark, realAddresses } from './marks.ts';
import type { Nftables } from './nftables.ts';

/**
 * Netfilter's half of a synthetic address: for each choice that the kernel program may mark a packet with, the real address
 * that the packet is sent to. Set before the program knows the name, so that no packet is forwarded untranslated.
 */
export interface NameTranslation {
  /** Makes `addresses` (of the synthetic one's family, in order) what the synthetic address stands for. */
  set(synthetic: Address, addresses: readonly Address[]): void;
  /** Whether that would put another address in the place of one. */
  replaces(synthetic: Address, addresses: readonly Address[]): boolean;
}

export const createNameTranslation = (nft: Nftables): NameTranslation => {
  const current = new Map<string, readonly string[]>();
  return {
    replaces(synthetic, addresses) {
      const before = current.get(formatAddress(synthetic)) ?? [];
      return before.some((one, i) => addresses[i] !== undefined && formatAddress(addresses[i]) !== one);
    },
    set(synthetic, addresses) {
      const key = formatAddress(synthetic);
      const map = synthetic.family === 4 ? 'real4' : 'real6';
      const before = current.get(key) ?? [];
      const after = addresses.slice(0, realAddresses).map(formatAddress);
      if (before.length === after.length && before.every((one, i) => one === after[i])) return;
      const element = (choice: number): string => `0x${firstMark(choice).toString(16)} . ${key}`;
      const commands: string[] = [];
      for (const [choice, address] of before.entries())
        if (after[choice] !== address)
          commands.push(`delete element inet cofferdam ${map} { ${element(choice)} : ${address} }`);
      for (const [choice, address] of after.entries())
        if (before[choice] !== address)
          commands.push(`add element inet cofferdam ${map} { ${element(choice)} : ${address} }`);
      nft.run(commands.join('\n'));
      current.set(key, after);
    },
  };
};
