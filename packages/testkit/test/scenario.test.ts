import assert from 'node:assert/strict';
import { test } from 'node:test';
import { domainPatternMatches, embeddedIPv4, portRangeContains, prefixContains } from '@cofferdam/net';
import { evaluatePrepared, parsePolicy, prepare, printPolicy, tierOrder } from '@cofferdam/policy';
import {
  address,
  addressNear,
  arbitraryPolicy,
  arbitraryScenario,
  arbitraryScenarios,
  domain,
  drawFrom,
  embeddings,
  freeze,
  nameNear,
  portNear,
  portRange,
  prefix,
  thaw,
} from '@cofferdam/testkit';
import * as fc from 'fast-check';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);

/** Draws in a way that fast-check replays. */
const drawn = <T>(make: (draw: ReturnType<typeof drawFrom>) => T, count: number): T[] => {
  const found: T[] = [];
  class Draws extends fc.Arbitrary<T> {
    override generate(random: fc.Random): fc.Value<T> {
      return new fc.Value(make(drawFrom(random)), undefined);
    }
    override canShrinkWithoutContext(value: unknown): value is T {
      return value === this;
    }
    override shrink(): fc.Stream<fc.Value<T>> {
      return fc.Stream.nil();
    }
  }
  found.push(...fc.sample(new Draws(), { numRuns: count, seed }));
  return found;
};

const share = <T>(all: readonly T[], holds: (one: T) => boolean): number => all.filter(holds).length / all.length;
const between = (low: number, value: number, high: number): void =>
  assert.ok(low < value && value < high, `${low} < ${value} < ${high}, seed ${seed}`);

test('names near a pattern match it often and miss it often', () => {
  for (const text of ['*.example.com', '**.example.com', 'app*.example.com', 'api.example.com']) {
    const pattern = domain(text);
    between(
      0.2,
      share(
        drawn((draw) => nameNear(draw, pattern), 500),
        (name) => domainPatternMatches(pattern, name),
      ),
      0.9,
    );
  }
});

test('addresses near a prefix lie at its edges, inside and outside', () => {
  const network = prefix('10.20.0.0/16');
  const near = drawn((draw) => addressNear(draw, network), 500);
  between(
    0.4,
    share(near, (one) => prefixContains(network, one)),
    0.9,
  );
  for (const edge of ['10.20.0.0', '10.20.255.255', '10.19.255.255', '10.21.0.0'])
    assert.ok(
      near.some(({ value }) => value === address(edge).value),
      edge,
    );
});

test('addresses near the whole space stay in it', () => {
  for (const { value } of drawn((draw) => addressNear(draw, prefix('0.0.0.0/0')), 200))
    assert.ok(value >= 0n && value < 1n << 32n);
});

test('ports near a range lie at its ends and beside them', () => {
  const range = portRange('8000-8100');
  const near = drawn((draw) => portNear(draw, range), 500);
  between(
    0.4,
    share(near, (port) => portRangeContains(range, port)),
    0.9,
  );
});

test('every embedding is one that net looks into', () => {
  const inner = address('93.184.216.34');
  for (const { kind, wrap } of embeddings)
    assert.deepEqual(embeddedIPv4({ family: 6, value: wrap(inner.value) }), inner, kind);
});

test('one seed gives one scenario', () => {
  const sample = (): string[] => fc.sample(arbitraryScenarios({ flows: 3 }), { numRuns: 20, seed }).map(freeze);
  assert.deepEqual(sample(), sample());
});

test('what was frozen thaws to the same values', () => {
  fc.assert(
    fc.property(arbitraryScenarios({ flows: 3 }), (scenarios) => {
      assert.deepEqual(thaw(freeze(scenarios)), scenarios);
    }),
    { seed, numRuns: 200 },
  );
});

test('facts grow: what is known stays, and the path is fixed after the first packet', () => {
  fc.assert(
    fc.property(arbitraryScenario({ mode: 'valid' }), ({ facts }) => {
      for (const [step, after] of facts.entries()) {
        const before = facts[step - 1];
        assert.equal(after.path === undefined, step === 0);
        if (before === undefined) continue;
        for (const fact of ['tls', 'claimedName', 'request', 'mcp'] as const)
          if (before[fact].state !== 'unknown') assert.deepEqual(after[fact], before[fact]);
      }
    }),
    { seed, numRuns: 2000 },
  );
});

test('rulesets come in the order of the walk, and valid policies name only what they write', () => {
  const builtIn = ['anywhere', 'public-internet', 'private-networks', 'any-web'];
  fc.assert(
    fc.property(arbitraryPolicy({ mode: 'valid' }), ({ policy }) => {
      const tiers = policy.rulesets.map(({ tier }) => tierOrder.indexOf(tier));
      assert.deepEqual(
        tiers,
        tiers.toSorted((a, b) => a - b),
      );
      const written = new Set([...builtIn, ...policy.smartGroups.keys(), ...policy.webGroups.keys()]);
      for (const rule of policy.rulesets.flatMap(({ rules }) => rules)) {
        for (const name of [...rule.from, ...rule.to, ...(rule.web ?? [])]) assert.ok(written.has(name), name);
        assert.ok(rule.protocol !== 'icmp' || rule.ports === undefined);
        assert.ok(['tcp', 'any'].includes(rule.protocol) || (rule.tls === 'either' && !rule.http && !rule.mcp));
      }
    }),
    { seed, numRuns: 500 },
  );
});

test('the parser accepts a valid policy once it is printed, and it decides the same', () => {
  fc.assert(
    fc.property(arbitraryScenarios({ mode: 'valid', flows: 5 }), ({ policy, context, flows }) => {
      const parsed = parsePolicy([{ file: 'policy.yaml', text: printPolicy(policy) }]);
      assert.ok(parsed.policy, parsed.diagnostics.map(({ code, message }) => `${code}: ${message}`).join('\n'));
      const [before, after] = [prepare(policy, context), prepare(parsed.policy, context)];
      for (const facts of flows.flat())
        assert.deepEqual(evaluatePrepared(after, facts), evaluatePrepared(before, facts));
    }),
    { seed, numRuns: 100 },
  );
});

/** The reasons that the walk over the rules gives. */
const reasons = [
  'rule',
  'rule-denies',
  'no-rule',
  'no-permit-reachable',
  'quic',
  'monitored',
  'name-mismatch',
  'hello-unreadable',
  'name-unreadable',
  'plain-http-unread',
  'request-unreadable',
  'gateway-port',
  'reserved-address',
  'unknown-agent',
];

test('generated flows meet every reason that the walk gives, on both paths where it has two', () => {
  const met = new Map<string, number>();
  for (const { policy, context, flows } of fc.sample(arbitraryScenarios({ flows: 20 }), { numRuns: 1500, seed })) {
    const prepared = prepare(policy, context);
    for (const decision of flows.flat().map((facts) => evaluatePrepared(prepared, facts))) {
      const key = decision.kind === 'undecided' ? `undecided ${decision.path}` : decision.reason;
      met.set(key, (met.get(key) ?? 0) + 1);
    }
  }
  for (const key of [...reasons, 'undecided kernel', 'undecided proxy'])
    assert.ok((met.get(key) ?? 0) > 0, `${key}, seed ${seed}`);
});

test('a failing scenario shrinks to a few rules', () => {
  const result = fc.check(
    fc.property(arbitraryScenarios({ flows: 5 }), ({ policy, context, flows }) => {
      const prepared = prepare(policy, context);
      return flows.flat().every((facts) => {
        const decision = evaluatePrepared(prepared, facts);
        return decision.kind === 'undecided' || decision.verdict === 'deny' || decision.reason !== 'rule';
      });
    }),
    { seed, numRuns: 2000 },
  );
  assert.ok(result.failed);
  const [{ policy, flows }] = result.counterexample!;
  assert.equal(flows.length, 1);
  assert.equal(policy.rulesets.flatMap(({ rules }) => rules).length, 1);
});
