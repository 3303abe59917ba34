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
} from './record.ts';

/** JSON is put together here, not by way of objects: a gateway writes two records for every connection. Undefined: the key is left out. */
const field = (key: string, json: string | number | undefined): string =>
  json === undefined ? '' : `,"${key}":${json}`;

/** What is written as it is: printable, and neither a quotation mark nor a backslash. */
const plain = /^[ !#-[\]-~]*$/;

const text = (value: string): string => (plain.test(value) ? `"${value}"` : JSON.stringify(value));
const maybe = (value: string | undefined): string | undefined => (value === undefined ? undefined : text(value));

/** The second that was written last: most records are of the same one. */
let lastSecond = { number: Number.NaN, text: '' };

const time = (milliseconds: number): string => {
  const at = Math.trunc(milliseconds);
  const second = Math.floor(at / 1000);
  if (second !== lastSecond.number)
    lastSecond = { number: second, text: new Date(second * 1000).toISOString().slice(0, -'000Z'.length) };
  return `"${lastSecond.text}${String(at - second * 1000).padStart(3, '0')}Z"`;
};

const address = (a: Address): string => `"${formatAddress(a)}"`;
const addresses = (list: readonly Address[]): string => `[${list.map(address).join()}]`;

const endpoint = (e: Endpoint): string => `{"address":${address(e.address)}${field('port', e.port)}}`;

const sortedLabels = (labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));

/** Writes an object once: those of a plan are in all its records. */
const once = <T extends object>(write: (object: T) => string): ((object: T) => string) => {
  const written = new WeakMap<T, string>();
  return (object) => {
    const before = written.get(object);
    if (before !== undefined) return before;
    const made = write(object);
    written.set(object, made);
    return made;
  };
};

const agent = once((a: AgentIdentity): string => {
  const name = a.name === undefined ? '' : `"name":${text(a.name)},`;
  const more = field('pod', maybe(a.pod)) + field('inventoryRevision', a.inventoryRevision);
  return `{${name}"labels":${JSON.stringify(sortedLabels(a.labels))}${more}}`;
});

const rule = once(
  (r: RuleReference): string =>
    `{"index":${r.index}${field('id', maybe(r.id))},"name":${text(r.name)},"ruleset":${text(r.ruleset)},"tier":${text(r.tier)}}`,
);

/** Exact up to 2^53 bytes, 8 PiB; a flow that carried more is shown as that, since JSON readers would round it anyway. */
const counter = (n: bigint): number => Number(n > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : n);

const traffic = (t: Traffic): string => `{"bytes":${counter(t.bytes)},"packets":${counter(t.packets)}}`;

const value = <T>(fact: Fact<T>, write: (known: T) => string): string | undefined =>
  fact.state === 'known' ? write(fact.value) : undefined;

/** A state that a missing value cannot tell: `absent` or `unreadable`. `unknown` is the missing key. */
const state = (key: string, { state: told }: Fact<unknown>): string =>
  told === 'absent' || told === 'unreadable' ? field(key, text(told)) : '';

const states = (r: FlowRecord): string | undefined => {
  const told =
    state('tls', r.tls) + state('claimedName', r.claimedName) + state('request', r.request) + state('mcp', r.mcp);
  return told === '' ? undefined : `{${told.slice(1)}}`;
};

const wouldBe = (w: FlowRecord['wouldBe']): string | undefined =>
  w === undefined || w === 'unknown'
    ? maybe(w)
    : `{"verdict":"${w.verdict}"${field('rule', w.rule && rule(w.rule))},"reason":"${w.reason}"}`;

const head = (r: AnyRecord): string =>
  `{"version":${r.version},"kind":"${r.kind}","id":${text(r.id)}` +
  field('flow', r.kind === 'flow' || r.kind === 'request' ? maybe(r.flow) : undefined) +
  `,"gateway":${text(r.gateway)},"start":${time(r.start)}` +
  field('end', r.end === undefined ? undefined : time(r.end)) +
  `,"agent":${agent(r.agent)}` +
  field('source', r.kind === 'suppressed' ? undefined : endpoint(r.source));

const tail = (r: AnyRecord): string =>
  `,"verdict":"${r.verdict}","reason":"${r.reason}","enforced":${r.enforced}` +
  field('rule', r.rule && rule(r.rule)) +
  `,"revision":${r.revision}` +
  field('commit', maybe(r.commit));

const flow = (r: FlowRecord): string =>
  head(r) +
  `,"interface":${text(r.interface)},"destination":${endpoint(r.destination)}` +
  field('synthetic', r.synthetic && address(r.synthetic)) +
  `,"protocol":"${r.protocol}","addressNames":${JSON.stringify(r.addressNames)}` +
  field('tls', value(r.tls, String)) +
  field('claimedName', value(r.claimedName, text)) +
  field(
    'request',
    value(r.request, ({ method, scheme, host, path }) => JSON.stringify({ method, scheme, host, path })),
  ) +
  field(
    'mcp',
    value(r.mcp, ({ method, tool }) => JSON.stringify({ method, tool })),
  ) +
  field('states', states(r)) +
  tail(r) +
  `,"stage":"${r.stage}"` +
  field('wouldBe', wouldBe(r.wouldBe)) +
  `,"path":"${r.path}"` +
  field('treatment', maybe(r.treatment)) +
  field('status', r.status === undefined ? undefined : String(r.status)) +
  `,"toDestination":${traffic(r.toDestination)},"toAgent":${traffic(r.toAgent)}}`;

const dns = (r: DnsRecord): string =>
  head(r) +
  `,"transport":"${r.transport}","server":${endpoint(r.server)}` +
  `,"name":${text(r.name)},"type":${text(r.type)},"rcode":${text(r.rcode)}` +
  `,"synthetic":${addresses(r.synthetic)},"addresses":${addresses(r.addresses)}${tail(r)}}`;

const suppressed = (r: SuppressedRecord): string => `${head(r)},"count":${r.count}${tail(r)}}`;

/**
 * One JSON object on one line, without the newline. Keys are always in the same order and absent ones are left out, so
 * equal records are equal bytes. Times are ISO 8601 in UTC with milliseconds.
 */
export const encodeRecord = (record: AnyRecord): string =>
  record.kind === 'dns' ? dns(record) : record.kind === 'suppressed' ? suppressed(record) : flow(record);
