import { type Address, formatAddress } from '@cofferdam/net';
import { firstMark, pathOf, realAddresses, turns } from './marks.ts';
import type { Nftables } from './nftables.ts';

/**
 * Netfilter's half of a synthetic address: for each path that the kernel program may mark a first packet with, the real address that
 * the packet is sent to. Where a place gets another address the turn changes, and with it every mark and every zone of connection
 * tracking: a flow that was judged by one address is never sent to another, neither by a table that is a moment older or newer than the
 * program's, nor by what connection tracking remembers.
 */
export interface NameTranslation {
  /**
   * Makes `addresses` (of the synthetic one's family, in order) what the synthetic address stands for, beside what it stood for. To be
   * called before the program is told, and {@link settle} afterwards. Returns the turn that the program has to use.
   */
  set(synthetic: Address, addresses: readonly Address[]): number;
  /**
   * Takes over what an earlier process made synthetic addresses stand for, as the program knows it, in one step. Netfilter may have lost it,
   * or have more: that process may have ended between telling one and the other.
   */
  restore(standing: readonly StandingTranslation[]): void;
  /** Takes away what the program does not use any more. */
  settle(synthetic: Address): void;
}

export interface StandingTranslation {
  readonly synthetic: Address;
  readonly turn: number;
  readonly addresses: readonly Address[];
}

interface Standing {
  readonly turn: number;
  readonly addresses: readonly string[];
}

export const createNameTranslation = (nft: Nftables): NameTranslation => {
  const current = new Map<string, Standing>();
  const leaving = new Map<string, readonly string[]>();

  /** Elements by their text. */
  const elements = (key: string, { turn, addresses }: Standing): readonly string[] =>
    addresses.map((address, place) => `0x${firstMark(pathOf(turn, place)).toString(16)} . ${key} : ${address}`);
  const changing = (verb: 'add' | 'delete', family: 4 | 6, list: readonly string[]): string =>
    list.length === 0 ? '' : `${verb} element inet cofferdam real${family} { ${list.join(', ')} }\n`;
  const change = (verb: 'add' | 'delete', synthetic: Address, list: readonly string[]): void => {
    if (list.length > 0) nft.run(changing(verb, synthetic.family, list));
  };

  const settle = (synthetic: Address): void => {
    const key = formatAddress(synthetic);
    change('delete', synthetic, leaving.get(key) ?? []);
    leaving.delete(key);
  };

  return {
    set(synthetic, addresses) {
      // What an earlier call left behind for a program that was never told.
      settle(synthetic);
      const key = formatAddress(synthetic);
      const before = current.get(key) ?? { turn: 0, addresses: [] };
      const texts = addresses.slice(0, realAddresses).map(formatAddress);
      const replaces = before.addresses.some((one, place) => texts[place] !== undefined && texts[place] !== one);
      const after = { turn: replaces ? (before.turn + 1) % turns : before.turn, addresses: texts };
      const [old, fresh] = [elements(key, before), elements(key, after)];
      change(
        'add',
        synthetic,
        fresh.filter((one) => !old.includes(one)),
      );
      leaving.set(
        key,
        old.filter((one) => !fresh.includes(one)),
      );
      current.set(key, after);
      return after.turn;
    },
    restore(standing) {
      for (const { synthetic, turn, addresses } of standing)
        current.set(formatAddress(synthetic), { turn, addresses: addresses.map(formatAddress) });
      const known = (family: 4 | 6): readonly string[] =>
        standing
          .filter(({ synthetic }) => synthetic.family === family)
          .map(({ synthetic }) => formatAddress(synthetic))
          .flatMap((key) => elements(key, current.get(key)!));
      nft.run(
        ([4, 6] as const)
          .map((family) => `flush map inet cofferdam real${family}\n${changing('add', family, known(family))}`)
          .join(''),
      );
    },
    settle,
  };
};
