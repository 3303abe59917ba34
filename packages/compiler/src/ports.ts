import type { PlanPortRange, PlanPorts } from '@cofferdam/plan';
import {
  andNot,
  type Bitmap,
  bitmapOf,
  clearBit,
  type EncodedBitmap,
  emptyBitmap,
  encodeBitmap,
  setBit,
} from '@cofferdam/plan';
import type { Rule } from '@cofferdam/policy';
import type { NumberedRule } from './numbered-rules.ts';
import { makeInterner } from './rule-sets.ts';

export interface CompiledPorts {
  readonly ports: PlanPorts;
  readonly classes: readonly EncodedBitmap[];
}

const quicPort = 443;

/** One pass over the ports at which some rule begins or ends, for each of tcp and udp; ICMP has no ports. */
export const compilePorts = (rules: readonly NumberedRule[], words: number): CompiledPorts => {
  const interner = makeInterner();
  const inWalk = rules.filter(({ rule }) => rule.mode !== 'disabled');
  const notQuic = bitmapOf(
    words,
    inWalk.filter(({ rule }) => rule.action === 'permit' && !permitsQuic(rule)).map(({ index }) => index),
  );
  const ranges = (protocol: 'tcp' | 'udp'): PlanPortRange[] => {
    const matching = inWalk.filter(({ rule }) => matchesProtocol(rule, protocol));
    return sweepPorts(matching, words).flatMap(({ first, last, bits }) => {
      if (protocol === 'tcp' || first > quicPort || last < quicPort)
        return [{ first, last, class: interner.intern(bits) }];
      const parts = [
        { first, last: quicPort - 1, bits },
        { first: quicPort, last: quicPort, bits: andNot(bits, notQuic) },
        { first: quicPort + 1, last, bits },
      ];
      return parts
        .filter((part) => part.first <= part.last)
        .map((part) => ({ first: part.first, last: part.last, class: interner.intern(part.bits) }));
    });
  };
  const icmp = inWalk.filter(({ rule }) => matchesProtocol(rule, 'icmp') && rule.ports === undefined);
  const ports: PlanPorts = {
    tcp: joined(ranges('tcp')),
    udp: joined(ranges('udp')),
    icmp: interner.intern(
      bitmapOf(
        words,
        icmp.map(({ index }) => index),
      ),
    ),
  };
  return { ports, classes: interner.bitmaps.map(encodeBitmap) };
};

/** Conditions on TLS and on requests exist for TCP alone, also where the rule says `any`. */
const matchesProtocol = (rule: Rule, protocol: 'tcp' | 'udp' | 'icmp'): boolean =>
  (rule.protocol === protocol || rule.protocol === 'any') &&
  (protocol === 'tcp' || (rule.tls === 'either' && rule.http === undefined && rule.mcp === undefined));

/** QUIC hides from the filter what TLS over TCP shows it, so a permit must ask for it in so many words. */
const permitsQuic = (rule: Rule): boolean =>
  rule.protocol === 'udp' &&
  rule.web === undefined &&
  (rule.ports ?? []).some(({ first, last }) => first === quicPort && last === quicPort);

interface Segment {
  readonly first: number;
  readonly last: number;
  readonly bits: Bitmap;
}

const sweepPorts = (rules: readonly NumberedRule[], words: number): Segment[] => {
  const begins = new Map<number, number[]>();
  const ends = new Map<number, number[]>();
  const note = (where: Map<number, number[]>, port: number, rule: number): void => {
    const before = where.get(port);
    if (before === undefined) where.set(port, [rule]);
    else before.push(rule);
  };
  for (const { index, rule } of rules) {
    for (const { first, last } of merged(rule.ports ?? [{ first: 0, last: 65535 }])) {
      note(begins, first, index);
      note(ends, last + 1, index);
    }
  }
  const edges = [...new Set([0, ...begins.keys(), ...ends.keys(), 65536])].sort((a, b) => a - b);
  const current = emptyBitmap(words);
  return edges.slice(0, -1).map((first, i) => {
    for (const rule of ends.get(first) ?? []) clearBit(current, rule);
    for (const rule of begins.get(first) ?? []) setBit(current, rule);
    return { first, last: edges[i + 1]! - 1, bits: current.slice() };
  });
};

/** The ranges of one rule without overlap, since the sweep notes only where a rule begins and ends. */
const merged = (
  ranges: readonly { readonly first: number; readonly last: number }[],
): { first: number; last: number }[] => {
  const result: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = result.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else result.push({ first, last });
  }
  return result;
};

const joined = (ranges: readonly PlanPortRange[]): PlanPortRange[] => {
  const result: PlanPortRange[] = [];
  for (const range of ranges) {
    const before = result.at(-1);
    if (before?.class === range.class) result[result.length - 1] = { ...before, last: range.last };
    else result.push(range);
  }
  return result;
};
