import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import type { Address } from '@cofferdam/net';
import { type DnsMode, type LoadedPlan, loadPlan } from '@cofferdam/plan';
import { parsePolicy } from '@cofferdam/policy';
import { type Gate, planGate } from '../src/index.ts';
import { address } from './fakes.ts';

export interface Sketch {
  readonly mode: DnsMode;
  /** Rules of one ruleset, in their order; from `agents` unless said. */
  readonly rules: readonly Readonly<Record<string, unknown>>[];
  /** Web groups: domains by name of the group. */
  readonly web?: Readonly<Record<string, readonly string[]>>;
  /** Groups of destinations: prefixes by name. */
  readonly to?: Readonly<Record<string, readonly string[]>>;
  readonly containment?: 'enforce' | 'monitor';
  /** Agents that are enforced whatever `containment` says. */
  readonly enforced?: readonly string[];
  readonly gatewayAddresses?: readonly Address[];
  readonly revision?: number;
}

const document = (kind: string, name: string, spec: unknown): string =>
  JSON.stringify({ apiVersion: 'cofferdam.dev/v1', kind, metadata: { name }, spec });

/** A plan for two agents: `coder` at 127.0.0.1, `tester` at 10.0.0.9. */
export const compiledPlan = ({
  mode,
  rules,
  web = {},
  to = {},
  containment,
  enforced = [],
  gatewayAddresses,
  revision,
}: Sketch): LoadedPlan => {
  const text = [
    document('SmartGroup', 'agents', {
      ...(containment === undefined ? {} : { containment }),
      any: [{ agent: 'coder' }, { agent: 'tester' }],
    }),
    ...enforced.map((agent) =>
      document('SmartGroup', `${agent}-enforced`, { containment: 'enforce', any: [{ agent }] }),
    ),
    ...Object.entries(web).map(([name, domains]) => document('WebGroup', name, { domains })),
    ...Object.entries(to).map(([name, cidrs]) =>
      document('SmartGroup', name, { any: cidrs.map((cidr) => ({ cidr })) }),
    ),
    document('Ruleset', 'rules', {
      rules: rules.map((rule) => ({
        action: 'permit',
        from: ['agents'],
        to: ['public-internet'],
        protocol: 'tcp',
        ...rule,
      })),
    }),
    document('Inventory', 'here', {
      workloads: [
        { name: 'coder', addresses: ['127.0.0.1'] },
        { name: 'tester', addresses: ['10.0.0.9'] },
      ],
    }),
  ].join('\n---\n');
  const parsed = parsePolicy([{ file: 'test.yaml', text }]);
  assert.ok(parsed.policy, JSON.stringify(parsed.diagnostics));
  const { plan } = compile(parsed.policy, {
    workloads: parsed.policy.inventory,
    resolved: new Map(),
    dnsMode: mode,
    gatewayAddresses: gatewayAddresses ?? [address('10.0.0.1')],
    monitor: false,
    at: Date.now(),
    revision: revision ?? 1,
    digest: (words) => createHash('sha256').update(words).digest('hex'),
  });
  return loadPlan(plan);
};

export const compiledGate = (sketch: Sketch): Gate => planGate(compiledPlan(sketch));
