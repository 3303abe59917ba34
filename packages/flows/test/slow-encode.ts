import { type Address, formatAddress } from '@cofferdam/net';
import type { Fact } from '@cofferdam/verdict';
import type {
  AgentIdentity,
  AnyRecord,
  DnsRecord,
  Endpoint,
  FlowRecord,
  RuleReference,
  SuppressedRecord,
  Traffic,
} from '../src/index.ts';

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };
type JsonObject = { readonly [key: string]: Json | undefined };

const time = (milliseconds: number): string => new Date(milliseconds).toISOString();

const endpoint = (e: Endpoint): JsonObject => ({ address: formatAddress(e.address), port: e.port });

const addresses = (list: readonly Address[]): Json => list.map(formatAddress);

const sortedLabels = (labels: Readonly<Record<string, string>>): JsonObject =>
  Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));

const agent = (a: AgentIdentity): JsonObject => ({
  name: a.name,
  labels: sortedLabels(a.labels),
  pod: a.pod,
  inventoryRevision: a.inventoryRevision,
});

const rule = (r: RuleReference | undefined): JsonObject | undefined =>
  r && { index: r.index, id: r.id, name: r.name, ruleset: r.ruleset, tier: r.tier };

/** Exact up to 2^53 bytes, 8 PiB; a flow that carried more is shown as that, since JSON readers would round it anyway. */
const counter = (n: bigint): number => Number(n > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : n);

const traffic = (t: Traffic): JsonObject => ({ bytes: counter(t.bytes), packets: counter(t.packets) });

const value = <T>(fact: Fact<T>, write: (known: T) => Json): Json | undefined =>
  fact.state === 'known' ? write(fact.value) : undefined;

/** The states that a missing value cannot tell apart: `absent` and `unreadable`. `unknown` is the missing key. */
const states = (facts: Readonly<Record<string, Fact<unknown>>>): JsonObject | undefined => {
  const told = Object.entries(facts).filter(([, fact]) => fact.state === 'absent' || fact.state === 'unreadable');
  return told.length === 0 ? undefined : Object.fromEntries(told.map(([key, fact]) => [key, fact.state]));
};

const head = (r: AnyRecord): JsonObject => ({
  version: r.version,
  kind: r.kind,
  id: r.id,
  flow: r.kind === 'flow' || r.kind === 'request' ? r.flow : undefined,
  gateway: r.gateway,
  start: time(r.start),
  end: r.end === undefined ? undefined : time(r.end),
  agent: agent(r.agent),
  source: r.kind === 'suppressed' ? undefined : endpoint(r.source),
});

const tail = (r: AnyRecord): JsonObject => ({
  verdict: r.verdict,
  reason: r.reason,
  enforced: r.enforced,
  rule: rule(r.rule),
  revision: r.revision,
  commit: r.commit,
});

const flow = (r: FlowRecord): JsonObject => ({
  ...head(r),
  interface: r.interface,
  destination: endpoint(r.destination),
  synthetic: r.synthetic && formatAddress(r.synthetic),
  protocol: r.protocol,
  addressNames: r.addressNames,
  tls: value(r.tls, () => true),
  claimedName: value(r.claimedName, (name) => name),
  request: value(r.request, (q) => ({ method: q.method, scheme: q.scheme, host: q.host, path: q.path })),
  mcp: value(r.mcp, (m) => ({ method: m.method, tool: m.tool })),
  states: states({ tls: r.tls, claimedName: r.claimedName, request: r.request, mcp: r.mcp }),
  ...tail(r),
  stage: r.stage,
  wouldBe:
    r.wouldBe === undefined || r.wouldBe === 'unknown'
      ? r.wouldBe
      : { verdict: r.wouldBe.verdict, rule: rule(r.wouldBe.rule), reason: r.wouldBe.reason },
  path: r.path,
  treatment: r.treatment,
  status: r.status,
  toDestination: traffic(r.toDestination),
  toAgent: traffic(r.toAgent),
});

const dns = (r: DnsRecord): JsonObject => ({
  ...head(r),
  transport: r.transport,
  server: endpoint(r.server),
  name: r.name,
  type: r.type,
  rcode: r.rcode,
  synthetic: addresses(r.synthetic),
  addresses: addresses(r.addresses),
  ...tail(r),
});

const suppressed = (r: SuppressedRecord): JsonObject => ({ ...head(r), count: r.count, ...tail(r) });

/** The twin of `encodeRecord`: the same lines, by way of objects. */
export const slowEncodeRecord = (record: AnyRecord): string =>
  JSON.stringify(
    record.kind === 'dns' ? dns(record) : record.kind === 'suppressed' ? suppressed(record) : flow(record),
  );
