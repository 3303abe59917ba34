import type { DomainName } from '@cofferdam/net';

/**
 * A name under a permitted wildcard is a message to whoever runs that zone: the labels left of the fixed part leave the
 * network in the question itself. These budgets bound how much can be said that way. Names that policy writes out are
 * exempt: asking for them says nothing that the policy's author did not.
 */
export interface TunnelBudgetOptions {
  /** Octets of one label below the suffix. */
  readonly labelLength: number;
  /** Octets of all labels below the suffix together, dots included. */
  readonly nameLength: number;
  /** A run of `entropyFrom` letters and digits or more, with more than `entropy` bits in each, is taken for encoded data. */
  readonly entropyFrom: number;
  readonly entropy: number;
  /** Distinct names of one agent under one suffix within the window. */
  readonly uniqueNames: number;
  /** Sum over those names of their octets times their bits for each octet: what they could carry. */
  readonly bits: number;
  /** Milliseconds. */
  readonly window: number;
  /** Suffixes remembered for one agent, and agents altogether; beyond them new ones are refused, not forgotten. */
  readonly suffixes: number;
  readonly agents: number;
}

/**
 * Chosen against names that clouds really give out: bucket and storage names of up to 50 octets, CDN hosts of 14 random
 * octets, GUIDs and hashes (hexadecimal never has more than 4 bits an octet). Entropy of whole labels tells nothing: long
 * names of several words reach that of Base32. So only unbroken runs are judged by it, and who breaks them up still meets
 * the sum of bits, which is the budget that holds.
 */
export const defaultTunnelBudget: TunnelBudgetOptions = {
  labelLength: 52,
  nameLength: 100,
  entropyFrom: 24,
  entropy: 4,
  uniqueNames: 256,
  bits: 12_000,
  window: 3_600_000,
  suffixes: 1024,
  agents: 4096,
};

export type BudgetOutcome =
  | { readonly kind: 'within' }
  | {
      readonly kind: 'over';
      readonly because: 'label-length' | 'name-length' | 'entropy' | 'unique-names' | 'bits' | 'suffixes';
    };

export interface TunnelBudget {
  /**
   * Judges and, where it is within, spends. `suffix`: the fixed part of the pattern that permits the name, without its
   * leading dot; empty for any-web.
   */
  readonly spend: (agent: string, suffix: string, name: DomainName, at: number) => BudgetOutcome;
}

/** Shannon entropy in bits for each octet. */
export const entropyOf = (text: string): number => {
  const counts = new Map<string, number>();
  for (const c of text) counts.set(c, (counts.get(c) ?? 0) + 1);
  let bits = 0;
  for (const n of counts.values()) bits -= (n / text.length) * Math.log2(n / text.length);
  return bits;
};

interface Window {
  /** By name, in the order they were first asked, which is the order they run out in. */
  readonly names: Map<string, { readonly at: number; readonly bits: number }>;
  bits: number;
}

const within: BudgetOutcome = { kind: 'within' };
const over = (because: Extract<BudgetOutcome, { kind: 'over' }>['because']): BudgetOutcome => ({
  kind: 'over',
  because,
});

export const createTunnelBudget = (options: TunnelBudgetOptions): TunnelBudget => {
  const windows = new Map<string, Map<string, Window>>();

  const expire = (window: Window, at: number): void => {
    for (const [name, spent] of window.names) {
      if (spent.at + options.window > at) return;
      window.names.delete(name);
      window.bits -= spent.bits;
    }
  };

  const sweep = <K>(map: Map<K, Window>, at: number): void => {
    for (const [key, window] of map) {
      expire(window, at);
      if (window.names.size === 0) map.delete(key);
    }
  };

  const windowOf = (agent: string, suffix: string, at: number): Window | undefined => {
    let ofAgent = windows.get(agent);
    if (ofAgent === undefined) {
      if (windows.size >= options.agents) {
        for (const [key, map] of windows) {
          sweep(map, at);
          if (map.size === 0) windows.delete(key);
        }
      }
      if (windows.size >= options.agents) return undefined;
      ofAgent = new Map();
      windows.set(agent, ofAgent);
    }
    const found = ofAgent.get(suffix);
    if (found !== undefined) return found;
    if (ofAgent.size >= options.suffixes) sweep(ofAgent, at);
    if (ofAgent.size >= options.suffixes) return undefined;
    const made: Window = { names: new Map(), bits: 0 };
    ofAgent.set(suffix, made);
    return made;
  };

  return {
    spend: (agent, suffix, name, at) => {
      const below = suffix === '' ? name : name.slice(0, Math.max(0, name.length - suffix.length - 1));
      const labels = below.split('.');
      if (labels.some((label) => label.length > options.labelLength)) return over('label-length');
      if (below.length > options.nameLength) return over('name-length');
      const dense = (run: string) => run.length >= options.entropyFrom && entropyOf(run) > options.entropy;
      if (below.split(/[^a-z0-9]/).some(dense)) return over('entropy');

      const window = windowOf(agent, suffix, at);
      if (window === undefined) return over('suffixes');
      expire(window, at);
      if (window.names.has(name)) return within;
      if (window.names.size >= options.uniqueNames) return over('unique-names');
      const bits = below.length * entropyOf(below);
      if (window.bits + bits > options.bits) return over('bits');
      window.names.set(name, { at, bits });
      window.bits += bits;
      return within;
    },
  };
};
