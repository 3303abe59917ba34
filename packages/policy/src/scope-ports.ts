import type { PortRange } from '@cofferdam/net';
import type { Rule } from './model.ts';

/** What a rule can match of transport protocols and ports. Ranges are sorted and do not touch. */
export interface PortScope {
  readonly tcp: readonly PortRange[];
  readonly udp: readonly PortRange[];
  readonly icmp: boolean;
}

const everyPort: readonly PortRange[] = [{ first: 0, last: 65535 }];
const quicPort = 443;

export const listsAlone = (ranges: readonly PortRange[] | undefined, port: number): boolean =>
  ranges?.some(({ first, last }) => first === port && last === port) ?? false;

export const holdsPort = (ranges: readonly PortRange[], port: number): boolean =>
  ranges.some(({ first, last }) => first <= port && port <= last);

/** `tls`, `http` and `mcp` narrow a rule to TCP; a permit reaches UDP port 443 only in the one way of DESIGN 3.7. */
export const portScopeOf = (rule: Rule): PortScope => {
  const tcpOnly = rule.tls !== 'either' || rule.http !== undefined || rule.mcp !== undefined;
  const ports = rule.ports === undefined ? everyPort : merged(rule.ports);
  const quic =
    rule.action === 'deny' || (rule.protocol === 'udp' && rule.web === undefined && listsAlone(rule.ports, quicPort));
  const takes = (protocol: 'tcp' | 'udp' | 'icmp') => rule.protocol === protocol || rule.protocol === 'any';
  return {
    tcp: takes('tcp') ? ports : [],
    udp: takes('udp') && !tcpOnly ? (quic ? ports : without(ports, quicPort)) : [],
    icmp: takes('icmp') && !tcpOnly && rule.ports === undefined,
  };
};

export const isEmptyScope = ({ tcp, udp, icmp }: PortScope): boolean => tcp.length === 0 && udp.length === 0 && !icmp;

export const portScopeCovers = (outer: PortScope, inner: PortScope): boolean =>
  (outer.icmp || !inner.icmp) && rangesCover(outer.tcp, inner.tcp) && rangesCover(outer.udp, inner.udp);

export const portScopesOverlap = (a: PortScope, b: PortScope): boolean =>
  (a.icmp && b.icmp) || rangesOverlap(a.tcp, b.tcp) || rangesOverlap(a.udp, b.udp);

const rangesCover = (outer: readonly PortRange[], inner: readonly PortRange[]): boolean =>
  inner.every((range) => outer.some(({ first, last }) => first <= range.first && range.last <= last));

const rangesOverlap = (a: readonly PortRange[], b: readonly PortRange[]): boolean =>
  a.some((one) => b.some((other) => one.first <= other.last && other.first <= one.last));

const merged = (ranges: readonly PortRange[]): readonly PortRange[] => {
  const sorted = ranges.toSorted((a, b) => a.first - b.first);
  const result: PortRange[] = [];
  for (const range of sorted) {
    const previous = result.at(-1);
    if (previous === undefined || range.first > previous.last + 1) result.push(range);
    else result[result.length - 1] = { first: previous.first, last: Math.max(previous.last, range.last) };
  }
  return result;
};

const without = (ranges: readonly PortRange[], port: number): readonly PortRange[] =>
  ranges.flatMap(({ first, last }) => {
    if (port < first || last < port) return [{ first, last }];
    const below = first < port ? [{ first, last: port - 1 }] : [];
    return port < last ? [...below, { first: port + 1, last }] : below;
  });
