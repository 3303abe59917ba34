import {
  canonicalName,
  comparePrefixes,
  err,
  formatAddress,
  formatPrefix,
  ok,
  type Prefix,
  parseAddress,
  parseDomainPattern,
  parsePathPattern,
  parsePrefix,
  parseUrlPattern,
  type Result,
} from '@cofferdam/net';
import { decodeBitmap, firstBit } from './bitmap.ts';
import { planDigestText } from './digest.ts';
import type { Plan, PlanPortRange, PlanProperties, PlanWeb } from './model.ts';
import { propertiesOf } from './properties.ts';
import { planShape } from './validate-shape.ts';

/**
 * A plan from a disk or a network, or the first thing that is wrong with it: a plan is taken whole or not at all. `digest` is SHA-256 of
 * the UTF-8 bytes of a text, lower-case hex; without it the hash is not compared.
 */
export const validatePlan = (value: unknown, digest?: (text: string) => string): Result<Plan> => {
  const wrong = planShape(value, 'plan');
  if (wrong !== undefined) return refused(wrong);
  const plan = value as Plan;
  for (const check of [bitmaps, properties, names, rules, agents, destinations, ports, epochs]) {
    const found = check(plan);
    if (found !== undefined) return refused(found);
  }
  if (!/^[0-9a-f]{64}$/.test(plan.hash)) return refused('plan.hash is not 64 digits of lower-case hex');
  if (digest !== undefined && digest(planDigestText(plan)) !== plan.hash) {
    return err('plan-hash', 'the plan is not what its hash says', 'fetch the plan again, or compile it anew');
  }
  return ok(plan);
};

const refused = (message: string): Result<never> =>
  err('plan-invalid', message, 'a plan is only what the compiler of the same version writes: compile it anew');

type Check = (plan: Plan) => string | undefined;

const firstWrong = <T>(
  items: readonly T[],
  wrong: (item: T, place: number) => string | undefined,
): string | undefined => {
  for (const [i, item] of items.entries()) {
    const found = wrong(item, i);
    if (found !== undefined) return found;
  }
  return undefined;
};

const bitmaps: Check = (plan) => {
  const good = (text: string, path: string): string | undefined =>
    decodeBitmap(text, plan.rules.length) === undefined
      ? `${path} is no bitmap over ${plan.rules.length} rules`
      : undefined;
  return (
    firstWrong(plan.agentClasses, ({ from }, i) => good(from, `plan.agentClasses[${i}].from`)) ??
    firstWrong(plan.destinationClasses, ({ to }, i) => good(to, `plan.destinationClasses[${i}].to`)) ??
    firstWrong(plan.portClasses, (text, i) => good(text, `plan.portClasses[${i}]`)) ??
    firstWrong(plan.epochs, ({ active }, i) => good(active, `plan.epochs[${i}].active`))
  );
};

const properties: Check = (plan) => {
  const expected = propertiesOf(plan.rules, plan.dnsMode);
  return firstWrong(Object.keys(expected) as (keyof PlanProperties)[], (key) =>
    plan.properties[key] === expected[key] ? undefined : `plan.properties.${key} is not what the rules say`,
  );
};

const names: Check = (plan) => {
  const parses = (texts: readonly string[], path: string, same: (text: string) => boolean): string | undefined =>
    firstWrong(texts, (text, i) =>
      same(text) && (i === 0 || texts[i - 1]! < text) ? undefined : `${path}[${i}] is not canonical or not in order`,
    );
  return (
    parses(plan.patterns, 'plan.patterns', (text) => isSame(parseDomainPattern(text), text)) ??
    parses(plan.urls, 'plan.urls', (text) => isSame(parseUrlPattern(text), text)) ??
    parses(plan.hostnames, 'plan.hostnames', (text) => {
      const name = canonicalName(text);
      return name.ok && name.value === text;
    })
  );
};

const isSame = (parsed: Result<{ readonly text: string }>, text: string): boolean =>
  parsed.ok && parsed.value.text === text;

const rules: Check = (plan) => {
  const rising = (places: readonly number[], below: number): boolean =>
    places.every((place, i) => place < below && (i === 0 || places[i - 1]! < place));
  const goodWeb = (web: PlanWeb | undefined): boolean =>
    web === undefined || (rising(web.domains, plan.patterns.length) && rising(web.urls, plan.urls.length));
  return firstWrong(plan.rules, (rule, i) => {
    const path = `plan.rules[${i}]`;
    if (!goodWeb(rule.web)) return `${path}.web names a pattern that is not there`;
    if (!goodWeb(rule.resolve)) return `${path}.resolve names a pattern that is not there`;
    if (!rising(rule.hostnames ?? [], plan.hostnames.length)) return `${path}.hostnames names one that is not there`;
    if ((rule.ports ?? []).some(([first, last]) => first > last)) return `${path}.ports ends before it begins`;
    const paths = rule.http?.paths ?? [];
    return paths.every((text) => isSame(parsePathPattern(text), text))
      ? undefined
      : `${path}.http.paths is not canonical`;
  });
};

const agents: Check = (plan) => {
  const seen = new Set<string>();
  return firstWrong(plan.agents, (agent, i) =>
    firstWrong(agent.addresses, ({ address, class: value }, k) => {
      const path = `plan.agents[${i}].addresses[${k}]`;
      const parsed = parseAddress(address);
      if (parsed === undefined || formatAddress(parsed) !== address) return `${path}.address is not canonical`;
      if (value >= plan.agentClasses.length) return `${path}.class is not there`;
      const key = JSON.stringify([agent.interface ?? null, address]);
      if (seen.has(key)) return `${path} is there twice`;
      seen.add(key);
      return undefined;
    }),
  );
};

const destinations: Check = (plan) => {
  const none = plan.destinationClasses[0];
  if (none === undefined || none.kind !== 'plain' || none.public)
    return 'plan.destinationClasses[0] is not the empty class';
  if (firstBit(decodeBitmap(none.to, plan.rules.length)!) !== -1)
    return 'plan.destinationClasses[0] is not the empty class';
  let before: Prefix | undefined;
  return firstWrong(plan.destinations, ({ prefix, class: value }, i) => {
    const path = `plan.destinations[${i}]`;
    const parsed = parsePrefix(prefix);
    if (!parsed.ok || formatPrefix(parsed.value) !== prefix) return `${path}.prefix is not canonical`;
    if (before !== undefined && comparePrefixes(before, parsed.value) >= 0) return `${path} is not in order`;
    before = parsed.value;
    return value < plan.destinationClasses.length ? undefined : `${path}.class is not there`;
  });
};

const ports: Check = (plan) => {
  const covers = (ranges: readonly PlanPortRange[], path: string): string | undefined => {
    let next = 0;
    const wrong = firstWrong(ranges, ({ first, last, class: value }, i) => {
      if (first !== next || last < first) return `${path}[${i}] does not go on where the one before ended`;
      next = last + 1;
      return value < plan.portClasses.length ? undefined : `${path}[${i}].class is not there`;
    });
    return wrong ?? (next === 65536 ? undefined : `${path} does not reach port 65535`);
  };
  if (plan.ports.icmp >= plan.portClasses.length) return 'plan.ports.icmp is not there';
  return covers(plan.ports.tcp, 'plan.ports.tcp') ?? covers(plan.ports.udp, 'plan.ports.udp');
};

const epochs: Check = (plan) => {
  if (plan.epochs.length === 0) return 'plan.epochs is empty';
  return firstWrong(plan.epochs, ({ from }, i) =>
    i === 0 || plan.epochs[i - 1]!.from < from ? undefined : `plan.epochs[${i}] does not begin after the one before`,
  );
};
