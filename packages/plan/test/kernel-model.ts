import { type Address, addressToBytes, embeddedIPv4 } from '@cofferdam/net';
import {
  destinationFlag,
  type KernelAgent,
  type KernelPrefix,
  type KernelTables,
  kernelName,
  type LoadedPlan,
  ruleFlag,
} from '@cofferdam/plan';
import type { Decision, Facts, Reason, RuleIndex } from '@cofferdam/verdict';

/**
 * The kernel's algorithm over its tables, written the way the C is: 64-bit words, row numbers, linear scans where the kernel has maps. It
 * reads nothing of the plan but the tables and the rows of names. Requests are never read here, so `request` and `mcp` count as unknown.
 */
export const kernelModel = (tables: KernelTables, loaded: LoadedPlan, facts: Facts): Decision => {
  const agent = findAgent(tables, facts.interface, facts.source);
  if (agent === undefined) return denied('default', 'unknown-agent', facts, 'packet');

  const inside = embeddedIPv4(facts.destination);
  const outer = tables.destinationClasses[longestMatch(tables, facts.destination)]!;
  const inner = inside === undefined ? undefined : tables.destinationClasses[longestMatch(tables, inside)]!;
  const flags = outer.flags | (inner === undefined ? 0 : inner.flags & ~destinationFlag.public);
  const closed = (flags & (destinationFlag.reserved | destinationFlag.gateway)) !== 0;
  const monitored = tables.monitored || (agent.monitored && (flags & destinationFlag.contained) === 0);

  const tcp = facts.protocol === 'tcp';
  const port = facts.destinationPort ?? 0;
  const portRow = facts.protocol === 'icmp' ? tables.icmp : tcp ? tables.tcp[port]! : tables.udp[port]!;
  const epoch = tables.epochs.findLast(({ from }) => from <= facts.at) ?? tables.epochs[0]!;
  const { addressNames, claimedName } = facts;
  const names = kernelName(loaded, addressNames);
  const value = tcp && claimedName.state === 'known' ? claimedName.value : undefined;
  const claimed = value === undefined ? undefined : kernelName(loaded, [value]);
  const claim = claimedName.state;
  const isOpen = tcp && (claim === 'unknown' || claim === 'unreadable');
  const track = tables.dnsMode === 'track';
  const own = tables.dnsMode === 'own';
  const early = track && isOpen;
  const member = track && value !== undefined && addressNames.includes(value);
  const anywhere = own && tcp && claim === 'unknown';
  const deferred = anywhere || (own && isOpen && addressNames.length === 0 && !monitored);
  const tls = facts.tls.state;
  const nameless = tcp && claim === 'absent' && addressNames.length === 0 && (tls === 'known' || facts.plainHttpSeen);
  const { properties } = tables;

  let first = -1;
  let satisfied = -1;
  let permitBefore = false;
  let proxyBefore = false;
  for (let w = 0; w < tables.words && satisfied === -1; w++) {
    const row = (number: number): bigint => wordOf(tables.rows, number * tables.words + w);
    const permit = row(properties.permit);
    const denyWeb = row(properties.denyWeb);
    const permitWeb = row(properties.permitWeb);
    const host = wordOf(names.host, w);
    const held = (entry: { row: number; flags: number }): bigint =>
      row(entry.row) | ((entry.flags & (destinationFlag.reserved | destinationFlag.gateway)) === 0 ? host : 0n);
    let to = held(outer);
    if (inner !== undefined) {
      let both = held(outer) & held(inner);
      const outerClosed = (outer.flags & (destinationFlag.reserved | destinationFlag.gateway)) !== 0;
      if ((inner.flags & destinationFlag.public) !== 0 && !outerClosed) both |= row(properties.toPublic);
      to = (both & permit) | ((held(outer) | held(inner)) & ~permit);
    }
    if (anywhere) to |= denyWeb | permitWeb;
    const base = row(agent.row) & to & row(portRow) & row(epoch.row) & row(properties.enforced);

    const said = member && claimed !== undefined ? claimed : names;
    let sure = wordOf(early ? names.every : said.sure, w);
    let web = wordOf(said.web, w);
    if (track && (early ? claim === 'unreadable' && monitored : !member)) {
      const unnamed = tcp && claim === 'absent' && tls === 'known' && addressNames.length > 0;
      sure = (sure & ~permitWeb) | (unnamed ? web & permitWeb & row(properties.anyWeb) : 0n);
      web = (web & ~permitWeb) | sure;
    }
    if (tcp) {
      if (claimed !== undefined && !member) {
        sure |= denyWeb & wordOf(claimed.sure, w);
        web |= denyWeb & wordOf(claimed.web, w);
      }
      if (nameless) {
        sure |= denyWeb;
        web |= denyWeb;
      }
      if (claim === 'unknown' || claim === 'unreadable') web |= denyWeb;
      if (claim === 'unreadable' && monitored) sure |= denyWeb;
      if (deferred) web |= permitWeb;
    } else {
      sure = (sure & permit) | (web & ~permit);
      web = sure;
    }

    let tlsMay = everyBit;
    let tlsOk = everyBit;
    if (tcp) {
      const required = row(properties.tlsRequired);
      const without = row(properties.tlsAbsent);
      if (tls === 'known') tlsMay = tlsOk = ~without;
      else if (tls === 'absent') tlsMay = tlsOk = ~required;
      else if (tls === 'unreadable' && monitored) tlsMay = tlsOk = ~((required | without) & permit);
      else tlsOk = ~(required | without);
    }

    const may = base & web & tlsMay & everyBit;
    const must = may & sure & tlsOk & ~row(properties.needsRequest);
    if (first === -1 && may !== 0n) first = 64 * w + lowest(may);
    let counted = everyBit;
    if (must !== 0n) {
      satisfied = 64 * w + lowest(must);
      counted = (1n << BigInt(lowest(must) + 1)) - 1n;
    }
    proxyBefore ||= (may & counted & row(properties.needsProxy)) !== 0n;
    permitBefore ||= (may & permit & (must === 0n ? counted : counted >> 1n)) !== 0n;
  }

  const defaultPermits = monitored && !closed;
  const satisfiedFlags = satisfied === -1 ? 0 : tables.ruleFlags[satisfied]!;
  const permits = satisfied === -1 ? defaultPermits : (satisfiedFlags & ruleFlag.permit) !== 0;
  const rule: RuleIndex = satisfied === -1 ? 'default' : satisfied;
  const path = facts.path ?? (tcp && (port === 80 || proxyBefore) ? 'proxy' : 'kernel');

  if (first === satisfied) {
    if (satisfied === -1) {
      if (defaultPermits) return permitted('default', 'monitored', facts, path, false);
      if ((flags & destinationFlag.gateway) !== 0) return denied('default', 'gateway-port', facts);
      if ((flags & destinationFlag.reserved) !== 0) return denied('default', 'reserved-address', facts);
      return denied('default', facts.protocol === 'udp' && port === 443 ? 'quic' : 'no-rule', facts);
    }
    if (!permits) return denied(rule, 'rule-denies', facts);
    if ((satisfiedFlags & ruleFlag.hasWeb) === 0 || track) return permitted(rule, 'rule', facts, path, false);
    const belied = beliedBy(facts, path);
    if (belied === undefined) return permitted(rule, 'rule', facts, path, true);
    if (!monitored) return denied(rule, belied, facts, 'name');
    return { kind: 'decided', verdict: 'permit', rule, stage: 'name', reason: 'monitored', path, restsOnName: false };
  }
  if (!permits && !permitBefore) return denied(rule, 'no-permit-reachable', facts);
  if (!monitored && tcp) {
    const bit = (row: number): boolean => bitOf(tables.rows, 64 * row * tables.words + first);
    const needsTls = bit(properties.tlsRequired) || bit(properties.tlsAbsent);
    if (needsTls && tls === 'unreadable') return denied(first, 'hello-unreadable', facts);
    const needsName = early
      ? (bit(properties.denyWeb) || bit(properties.permitWeb)) && !bitOf(names.every, first)
      : (bit(properties.denyWeb) && !bitOf(names.web, first)) || (bit(properties.permitWeb) && deferred);
    if (needsName && claim === 'unreadable') {
      return denied(first, tls === 'unreadable' ? 'hello-unreadable' : 'name-unreadable', facts);
    }
  }
  return { kind: 'undecided', rule: first === -1 ? 'default' : first, path };
};

const everyBit = (1n << 64n) - 1n;

const wordOf = (words: Uint32Array, place: number): bigint =>
  (BigInt(words[2 * place + 1]!) << 32n) | BigInt(words[2 * place]!);

const bitOf = (words: Uint32Array, place: number): boolean => ((words[place >>> 5]! >>> (place & 31)) & 1) === 1;

const lowest = (word: bigint): number => {
  let place = 0;
  while (((word >> BigInt(place)) & 1n) === 0n) place++;
  return place;
};

const findAgent = (tables: KernelTables, on: string, source: Address): KernelAgent | undefined => {
  const rows = tables.agents.filter(
    ({ address }) => address.family === source.family && address.value === source.value,
  );
  return rows.find((row) => row.interface === on) ?? rows.find((row) => row.interface === undefined);
};

const longestMatch = (tables: KernelTables, address: Address): number => {
  const bytes = addressToBytes(address);
  const holding = tables.destinations.filter((entry) => entry.family === address.family && holds(entry, bytes));
  return holding.sort((a, b) => b.length - a.length)[0]?.class ?? 0;
};

const holds = ({ bytes, length }: KernelPrefix, address: Uint8Array): boolean => {
  for (let bit = 0; bit < length; bit++) {
    if ((((bytes[bit >> 3]! ^ address[bit >> 3]!) >> (7 - (bit & 7))) & 1) === 1) return false;
  }
  return true;
};

const beliedBy = (facts: Facts, path: 'kernel' | 'proxy'): Reason | undefined => {
  const { claimedName, tls } = facts;
  if (claimedName.state === 'known' && !facts.addressNames.includes(claimedName.value)) return 'name-mismatch';
  if (claimedName.state === 'unreadable') return tls.state === 'unreadable' ? 'hello-unreadable' : 'name-unreadable';
  return facts.plainHttpSeen && path === 'kernel' ? 'plain-http-unread' : undefined;
};

const stageOf = ({ tls, claimedName }: Facts): 'packet' | 'name' =>
  tls.state !== 'unknown' || claimedName.state !== 'unknown' ? 'name' : 'packet';

const denied = (rule: RuleIndex, reason: Reason, facts: Facts, stage?: 'packet' | 'name'): Decision => ({
  kind: 'decided',
  verdict: 'deny',
  rule,
  stage: stage ?? stageOf(facts),
  reason,
  path: facts.path ?? 'kernel',
  restsOnName: false,
});

const permitted = (
  rule: RuleIndex,
  reason: Reason,
  facts: Facts,
  path: 'kernel' | 'proxy',
  restsOnName: boolean,
): Decision => ({ kind: 'decided', verdict: 'permit', rule, stage: stageOf(facts), reason, path, restsOnName });
