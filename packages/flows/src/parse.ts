import { type DomainName, err, ok, parseAddress, type Result, wireName } from '@cofferdam/net';
import {
  absent,
  type Fact,
  isReason,
  known,
  type Path,
  type Reason,
  type Stage,
  unknown,
  unreadable,
} from '@cofferdam/verdict';
import { type FieldReader, fieldReader } from './field-reader.ts';
import {
  type AgentIdentity,
  type AnyRecord,
  type DnsRecord,
  type Endpoint,
  type FlowRecord,
  type RecordProtocol,
  type RuleReference,
  recordVersion,
  type SuppressedRecord,
  type Traffic,
  type WouldBeVerdict,
} from './record.ts';

/** Drops the keys whose value is undefined, which `exactOptionalPropertyTypes` keeps apart from absent ones. */
const compact = <T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)) as T;

const endpoint = (f: FieldReader): Endpoint => {
  const port = f.optionalCount('port');
  if (port !== undefined && port > 65535) f.fail('port', 'a port');
  return compact<Endpoint>({ address: f.address('address'), port });
};

const agent = (f: FieldReader): AgentIdentity =>
  compact<AgentIdentity>({
    name: f.optionalString('name'),
    labels: f.labels('labels'),
    pod: f.optionalString('pod'),
    inventoryRevision: f.optionalCount('inventoryRevision'),
  });

const rule = (f: FieldReader | undefined): RuleReference | undefined =>
  f &&
  compact<RuleReference>({
    index: f.count('index'),
    id: f.optionalString('id'),
    name: f.string('name'),
    ruleset: f.string('ruleset'),
    tier: f.string('tier'),
  });

const reason = (f: FieldReader): Reason => {
  const code = f.string('reason');
  if (isReason(code)) return code;
  f.fail('reason', 'a reason that this version knows');
  return 'no-decision';
};

const domainName = (f: FieldReader, key: string, text: string): DomainName => {
  if (wireName(text) !== text) f.fail(key, 'a canonical domain name');
  return text as DomainName;
};

/** A request's host: a name, or an address literal, which no pattern matches. */
const host = (f: FieldReader): DomainName => {
  const text = f.string('host');
  return parseAddress(text) === undefined ? domainName(f, 'host', text) : (text as DomainName);
};

const verdict = (f: FieldReader) => f.oneOf('verdict', ['deny', 'permit']);

const traffic = (f: FieldReader): Traffic => ({ bytes: BigInt(f.count('bytes')), packets: BigInt(f.count('packets')) });

const wouldBe = (f: FieldReader): WouldBeVerdict | undefined => {
  if (!f.has('wouldBe')) return undefined;
  if (f.is('wouldBe', 'unknown')) return 'unknown';
  const inner = f.object('wouldBe');
  return compact<Exclude<WouldBeVerdict, 'unknown'>>({
    verdict: verdict(inner),
    rule: rule(inner.optionalObject('rule')),
    reason: reason(inner),
  });
};

const head = (f: FieldReader) => ({
  version: recordVersion,
  id: f.string('id'),
  gateway: f.string('gateway'),
  start: f.time('start'),
  end: f.optionalTime('end'),
  agent: agent(f.object('agent')),
  verdict: verdict(f),
  reason: reason(f),
  enforced: f.boolean('enforced'),
  rule: rule(f.optionalObject('rule')),
  revision: f.count('revision'),
  commit: f.optionalString('commit'),
});

const protocol = (f: FieldReader): RecordProtocol => {
  const number = /^ip-([0-9]{1,3})$/.exec(f.string('protocol'))?.[1];
  return number !== undefined && Number(number) <= 255
    ? `ip-${Number(number)}`
    : f.oneOf<RecordProtocol>('protocol', ['tcp', 'udp', 'icmp']);
};

const flow = (f: FieldReader, kind: FlowRecord['kind']): FlowRecord => {
  const states = f.optionalObject('states');
  const fact = <T>(key: string, read: () => T): Fact<T> => {
    if (f.has(key)) return known(read());
    if (states?.has(key) !== true) return unknown;
    return states.oneOf(key, ['unreadable', 'absent']) === 'absent' ? absent : unreadable;
  };
  return compact<FlowRecord>({
    ...head(f),
    kind,
    source: endpoint(f.object('source')),
    flow: f.optionalString('flow'),
    interface: f.string('interface'),
    destination: endpoint(f.object('destination')),
    synthetic: f.has('synthetic') ? f.address('synthetic') : undefined,
    protocol: protocol(f),
    addressNames: f.strings('addressNames').map((text) => domainName(f, 'addressNames', text)),
    tls: fact('tls', () => {
      if (!f.is('tls', true)) f.fail('tls', 'true, or left out');
      return true as const;
    }),
    claimedName: fact('claimedName', () => domainName(f, 'claimedName', f.string('claimedName'))),
    request: fact('request', () => {
      const q = f.object('request');
      return {
        method: q.string('method'),
        scheme: q.oneOf('scheme', ['http', 'https']),
        host: host(q),
        path: q.string('path'),
      };
    }),
    mcp: fact('mcp', () => {
      const m = f.object('mcp');
      return compact<{ method: string; tool?: string }>({ method: m.string('method'), tool: m.optionalString('tool') });
    }),
    stage: f.oneOf<Stage>('stage', ['packet', 'name', 'request']),
    wouldBe: wouldBe(f),
    path: f.oneOf<Path>('path', ['kernel', 'proxy']),
    treatment: f.has('treatment')
      ? f.oneOf<'passthrough' | 'inspect'>('treatment', ['passthrough', 'inspect'])
      : undefined,
    status: f.optionalCount('status'),
    toDestination: traffic(f.object('toDestination')),
    toAgent: traffic(f.object('toAgent')),
  });
};

const dns = (f: FieldReader): DnsRecord =>
  compact<DnsRecord>({
    ...head(f),
    kind: 'dns',
    source: endpoint(f.object('source')),
    transport: f.oneOf<'udp' | 'tcp'>('transport', ['udp', 'tcp']),
    server: endpoint(f.object('server')),
    name: f.string('name'),
    type: f.string('type'),
    rcode: f.string('rcode'),
    synthetic: f.addresses('synthetic'),
    addresses: f.addresses('addresses'),
  });

const suppressed = (f: FieldReader): SuppressedRecord => {
  const count = f.count('count');
  if (count === 0) f.fail('count', 'a number from 1 upward');
  if (!f.is('verdict', 'deny')) f.fail('verdict', 'deny');
  if (!f.is('enforced', true)) f.fail('enforced', 'true');
  return compact<SuppressedRecord>({
    ...head(f),
    kind: 'suppressed',
    end: f.time('end'),
    verdict: 'deny',
    enforced: true,
    count,
  });
};

const json = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    // JSON.parse has no other way to say so; the caller reports it as a value.
    return undefined;
  }
};

/** Reads one line of {@link encodeRecord}. Keys that this version does not know are ignored: newer gateways may add some. */
export const parseRecord = (line: string): Result<AnyRecord> => {
  const value = json(line);
  if (value === undefined) {
    return err('record-syntax', 'a record is not JSON', 'give one JSON object on one line');
  }
  const fields = fieldReader(value);
  const version = fields.count('version');
  if (fields.problem() === undefined && version !== recordVersion) {
    return err(
      'record-version',
      `record version \`${version}\` is not known`,
      `this build reads version ${recordVersion}`,
    );
  }
  const kind = fields.oneOf('kind', ['flow', 'request', 'dns', 'suppressed']);
  const record = kind === 'dns' ? dns(fields) : kind === 'suppressed' ? suppressed(fields) : flow(fields, kind);
  const problem = fields.problem();
  if (problem === undefined) return ok(record);
  return err('record-field', problem, 'give a record as a gateway of this version writes it');
};
