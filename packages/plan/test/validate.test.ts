import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Plan, planDigestText, validatePlan } from '@cofferdam/plan';
import {
  arbitraryScenarios,
  coder,
  deny,
  permit,
  policyOf,
  smartGroup,
  webGroup,
  wednesdayMorning,
  workload,
} from '@cofferdam/testkit';
import * as fc from 'fast-check';
import { digest, planOf } from './sample.ts';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);

const everything = planOf(
  policyOf(
    [
      permit({
        id: 'a',
        from: ['coders'],
        to: ['public-internet', 'hosts'],
        web: ['names'],
        ports: ['443', '8000-8100'],
        ech: 'refuse',
      }),
      permit({ web: ['names'], http: { methods: ['GET'], paths: ['/repos/**'] }, resolve: ['names'], protocol: 'any' }),
      permit({ mcp: { methods: ['tools/call'], tools: ['search'] }, mode: 'monitor' }),
      deny({ tls: 'absent', expires: wednesdayMorning + 1000, onDeny: 'drop' }),
      deny({
        schedule: { timezone: 'Europe/London', days: ['mon', 'wed'], fromMinute: 540, untilMinute: 1080 },
        to: ['private-networks'],
      }),
    ],
    {
      inventory: [
        coder,
        workload('pod', ['10.11.2.1'], {
          mac: '02:11:00:00:00:07',
          kubernetes: { cluster: 'c', namespace: 'n', labels: {} },
        }),
      ],
      smart: [
        smartGroup('coders', ['label:team=platform'], 'monitor'),
        smartGroup('hosts', ['host:db.example', 'cidr:192.0.2.0/24']),
      ],
      web: [webGroup('names', ['api.github.com', 'https://example.org/a/**'])],
    },
  ),
);

const copy = (): Record<string, unknown> => JSON.parse(JSON.stringify(everything)) as Record<string, unknown>;
const isRefused = (value: unknown): boolean => !validatePlan(value).ok;

test('what the compiler writes is valid after a way through JSON', () => {
  fc.assert(
    fc.property(arbitraryScenarios({ flows: 1 }), ({ policy, context }) => {
      const plan = planOf(policy, context);
      assert.deepEqual(validatePlan(JSON.parse(JSON.stringify(plan)), digest), {
        ok: true,
        value: JSON.parse(JSON.stringify(plan)),
      });
    }),
    { seed, numRuns: 200 },
  );
});

type Place = { readonly holder: Record<string, unknown> | unknown[]; readonly key: string };

/** Every member of every object and list, with the way to it. */
const placesIn = (value: unknown): Place[] =>
  typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([key, item]) => [{ holder: value as Place['holder'], key }, ...placesIn(item)]);

/** Labels may be missing or be called anything; the other keys may be left out of a rule, an agent or a web. */
const optional = new Set([
  'id',
  'owner',
  'ports',
  'ech',
  'web',
  'resolve',
  'hostnames',
  'http',
  'mcp',
  'schedule',
  'expires',
  'methods',
  'paths',
  'tools',
  'interface',
  'mac',
  'kubernetes',
  'team',
]);

test('no part may be missing, null, or of another kind', () => {
  const count = placesIn(copy()).length;
  assert.ok(count > 300);
  for (let i = 0; i < count; i++) {
    for (const spoil of ['null', 'nested', 'missing'] as const) {
      const plan = copy();
      const { holder, key } = placesIn(plan)[i]!;
      if (spoil === 'missing') {
        // In a list a member may be missing, as far as this part goes.
        if (Array.isArray(holder) || optional.has(key)) continue;
        delete holder[key];
      } else (holder as Record<string, unknown>)[key] = spoil === 'null' ? null : [{}];
      assert.ok(isRefused(plan), `${spoil}: ${key} of ${JSON.stringify(holder).slice(0, 200)}`);
    }
  }
});

test('no object has keys that are not understood', () => {
  const count = placesIn(copy()).length;
  for (let i = 0; i < count; i++) {
    const plan = copy();
    const { holder, key } = placesIn(plan)[i]!;
    const item = (holder as Record<string, unknown>)[key];
    if (typeof item !== 'object' || item === null || Array.isArray(item) || key === 'labels') continue;
    (item as Record<string, unknown>).surprise = 1;
    assert.ok(isRefused(plan), `${key} of ${JSON.stringify(holder).slice(0, 200)}`);
  }
  assert.ok(isRefused({ ...copy(), surprise: 1 }));
});

test('parts that contradict each other', () => {
  const plan = everything;
  const spoiled: Readonly<Record<string, Partial<Record<keyof Plan, unknown>>>> = {
    'another number of rules': { rules: plan.rules.slice(1) },
    'a permit that says it denies': {
      rules: plan.rules.map((rule, i) => (i === 0 ? { ...rule, action: 'deny' } : rule)),
    },
    'an enforced rule that the walk leaves out': { properties: { ...plan.properties, enforced: '' } },
    'a class of agents that is not there': { agentClasses: [] },
    'one address twice': { agents: [...plan.agents, ...plan.agents] },
    'classes of destinations without the empty one': { destinationClasses: plan.destinationClasses.slice(1) },
    'destinations out of order': { destinations: plan.destinations.toReversed() },
    'a prefix with host bits': { destinations: [{ prefix: '10.0.0.1/8', class: 0 }] },
    'a bit past the last rule': { portClasses: plan.portClasses.map(() => '5') },
    'ports with a gap': { ports: { ...plan.ports, tcp: plan.ports.tcp.slice(1) } },
    'ports that end early': { ports: { ...plan.ports, udp: plan.ports.udp.slice(0, -1) } },
    'no epoch': { epochs: [] },
    'epochs out of order': { epochs: plan.epochs.toReversed() },
    'a pattern that takes in strangers': { patterns: ['*.com'] },
    'patterns out of order': { patterns: ['b.example', 'a.example'] },
    'a URL that is not canonical': { urls: ['HTTPS://example.org/a/**'] },
    'a hostname that is not canonical': { hostnames: ['DB.example'] },
    'a pattern that is not there': { patterns: [], urls: [] },
    'a hash that is none': { hash: 'x'.repeat(64) },
  };
  for (const [what, change] of Object.entries(spoiled)) assert.ok(isRefused({ ...plan, ...change }), what);
});

test('the hash is over all but itself', () => {
  assert.equal(everything.hash, digest(planDigestText(everything)));
  for (const changed of [{ revision: 8 }, { at: 0 }, { monitored: true }, { hash: '0'.repeat(64) }]) {
    const result = validatePlan({ ...copy(), ...changed }, digest);
    assert.equal(result.ok ? undefined : result.error.code, 'plan-hash');
  }
});

test('what is no plan at all', () => {
  for (const value of [undefined, null, 0, '', [], {}, [everything], 'plan']) assert.ok(isRefused(value));
});
