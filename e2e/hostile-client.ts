/** What the tests of hostile clients share: connections, hellos, and policies that rest on what is read. */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { eventKind, flowState } from '@cofferdam/datapath';
import type { DnsMode } from '@cofferdam/plan';
import type { PolicySet } from '@cofferdam/policy';
import {
  type ClientHelloOptions,
  clientHelloStream,
  contextOf,
  address as ip,
  name,
  permit,
  policyOf,
  smartGroup,
  webGroup,
} from '@cofferdam/testkit';
import { reasonFromNumber } from '@cofferdam/verdict';
import { Connection, type KernelLab, loadedPlan, openKernelLab, type Sent } from './kernel-lab.ts';

export const good = 'api.example.com';
export const evil = 'www.evil.example';
export const hello = (sni = good, more: ClientHelloOptions = {}): Uint8Array => clientHelloStream({ sni, ...more });
export const changed = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
export const changeCipherSpec = Uint8Array.of(20, 3, 3, 0, 1, 1);
export const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
/** user_canceled as a warning, which TLS 1.3 servers step over. */
export const ignoredAlert = Uint8Array.of(21, 3, 3, 0, 2, 1, 90);
export const text = (value: string): Uint8Array => Uint8Array.from(value, (c) => c.charCodeAt(0));

export const web = [webGroup('api', [good])];
const byName = policyOf([permit({ web: ['api'], ports: ['443'] })], { web });
const byTls = policyOf([permit({ tls: 'required', ports: ['443'] })], { web });
interface Treatment {
  readonly policy: PolicySet;
  readonly dnsMode: DnsMode;
  /** Why a hello with another name is denied; undefined: it is not. */
  readonly otherName: string | undefined;
  /** Whether the server may speak first. */
  readonly serverFirst: boolean;
}
const treatment = (
  policy: PolicySet,
  dnsMode: DnsMode,
  otherName: string | undefined,
  serverFirst: boolean,
): Treatment => ({ policy, dnsMode, otherName, serverFirst });
export const treatments = {
  'the permit rests on the name': treatment(byName, 'synthetic', 'name-mismatch', true),
  'the flow waits': treatment(byTls, 'synthetic', undefined, false),
  'the permit waits for the name': treatment(byName, 'track', 'no-rule', false),
} as const;
export const recorded = policyOf([permit({ ports: ['443'] })]);
export const monitored = policyOf([], { smart: [smartGroup('all', ['cidr:10.11.0.0/16'], 'monitor')] });

export let lab: KernelLab;
let port = 0;
export const pool = ip('198.18.1.1');
const server = ip('93.184.216.34');
export const connect = (on = lab): Connection => {
  port = (port + 1) % 40_000;
  const destination = on.plan().plan.dnsMode === 'track' ? server : pool;
  const ends = { source: ip('10.11.1.7'), destination, sourcePort: 1024 + port, destinationPort: 443 };
  return new Connection(on, ends, (0xffff_ffb0 + port * 13) >>> 0);
};
export const opened = (on = lab): Connection => {
  const connection = connect(on);
  assert.equal(connection.open().outcome, 'pass');
  return connection;
};
export const use = (policy: PolicySet, on = lab, dnsMode: DnsMode = 'synthetic'): void => {
  on.forgetAll();
  on.apply(loadedPlan(policy, contextOf(policy, { dnsMode })));
  if (dnsMode === 'track') on.track(policy.inventory[0]!.name, server, [name(good)]);
  else on.install(name(good), [pool], [server]);
};
export const treat = ({ policy, dnsMode }: Treatment, on = lab): void => use(policy, on, dnsMode);
export const reasonOf = (connection: Connection): string => reasonFromNumber(connection.flow?.reason ?? 0);
export const denied = (connection: Connection, sent: Sent, reason: string): void => {
  assert.equal(sent.outcome, 'reject');
  assert.equal(reasonOf(connection), reason);
  assert.equal(connection.flow?.state, flowState.denied);
  const event = sent.events.find(({ kind }) => kind === eventKind.verdict);
  assert.equal(reasonFromNumber(event?.flow.reason ?? 0), reason, 'the denial is told');
  assert.equal(connection.flow?.slot, 0, 'its hello was given back');
};

/** For spreading into `denied`. */
export const pair = ({ c, sent }: { c: Connection; sent: Sent }): [Connection, Sent] => [c, sent];

/** Opens the lab before the tests of a file and closes it after them. */
export const labForTests = (): void => {
  before(() => {
    lab = openKernelLab();
  });
  after(() => lab?.close());
};

export const inLab = (work: () => void) => (): void => lab.inside(work);
