import { prepare, type Rule } from '@cofferdam/policy';
import * as fc from 'fast-check';
import { drawFrom } from './draw.ts';
import { drawEncounter, drawFacts, type Encounter, type FactsSequence } from './facts-generator.ts';
import { drawContext, drawPolicy, type Mode, type Setting } from './policy-generator.ts';
import { drawPromotion, type Promoted } from './promotion.ts';
import { instants } from './vocabulary.ts';

/** A setting and one flow in it. */
export interface Scenario extends Setting {
  readonly facts: FactsSequence;
}

/** A setting and several flows in it: what is compiled once is asked often. */
export interface Scenarios extends Setting {
  readonly flows: readonly FactsSequence[];
}

/** A setting, traffic that does not depend on what its policy says, and a way from nothing enforced to everything. */
export interface Traffic extends Setting {
  readonly encounters: readonly Encounter[];
  readonly promotion: readonly Promoted[];
}

export interface GeneratorOptions {
  /** Default: `valid` for three in four, else `wild`. */
  readonly mode?: Mode;
  /** How many flows for each setting; default 10. Only where there are several. */
  readonly flows?: number;
}

/**
 * An arbitrary that draws by itself and shrinks in the language of the domain: fewer rules, shorter lists, fewer flows. fast-check's seed and
 * path replay it like any other.
 */
class Generated<T> extends fc.Arbitrary<T> {
  readonly #make: (random: fc.Random) => T;
  readonly #smaller: (value: T) => Iterable<T>;

  constructor(make: (random: fc.Random) => T, smaller: (value: T) => Iterable<T>) {
    super();
    this.#make = make;
    this.#smaller = smaller;
  }

  override generate(random: fc.Random): fc.Value<T> {
    return new fc.Value(this.#make(random), undefined);
  }

  /** Values are made by {@link generate} alone: nothing here could tell whether another would be. */
  override canShrinkWithoutContext(_value: unknown): _value is T {
    return false;
  }

  override shrink(value: T): fc.Stream<fc.Value<T>> {
    return fc.stream(valuesOf(this.#smaller(value)));
  }
}

function* valuesOf<T>(values: Iterable<T>): IterableIterator<fc.Value<T>> {
  for (const value of values) yield new fc.Value(value, undefined);
}

const without = <T>(list: readonly T[], index: number): T[] => list.filter((_, at) => at !== index);

const optionalKeys = ['id', 'web', 'resolve', 'ports', 'http', 'mcp', 'schedule', 'expires'] as const;

function* smallerRules(rule: Rule): Iterable<Rule> {
  for (const key of optionalKeys) {
    if (rule[key] === undefined) continue;
    const { [key]: _dropped, ...rest } = rule;
    yield rest;
  }
  for (const key of ['from', 'to', 'web', 'ports'] as const) {
    const list = rule[key];
    for (const item of list !== undefined && list.length > 1 ? list : []) yield { ...rule, [key]: [item] };
  }
  if (rule.tls !== 'either') yield { ...rule, tls: 'either' };
  if (rule.protocol !== 'any') yield { ...rule, protocol: 'any' };
  if (rule.decrypt !== 'unspecified') yield { ...rule, decrypt: 'unspecified' };
}

function* smallerSettings<S extends Setting>(setting: S): Iterable<S> {
  const { policy, context } = setting;
  const withRulesets = (rulesets: typeof policy.rulesets): S => ({ ...setting, policy: { ...policy, rulesets } });
  for (const index of policy.rulesets.keys())
    if (policy.rulesets.length > 1) yield withRulesets(without(policy.rulesets, index));
  for (const [at, ruleset] of policy.rulesets.entries()) {
    const withRules = (rules: readonly Rule[]): S =>
      withRulesets(policy.rulesets.map((other) => (other === ruleset ? { ...ruleset, rules } : other)));
    const half = Math.ceil(ruleset.rules.length / 2);
    if (half > 1) {
      yield withRules(ruleset.rules.slice(0, half));
      yield withRules(ruleset.rules.slice(half));
    }
    for (const index of ruleset.rules.keys()) yield withRules(without(policy.rulesets[at]!.rules, index));
    for (const [index, rule] of ruleset.rules.entries())
      for (const smaller of smallerRules(rule)) yield withRules(ruleset.rules.with(index, smaller));
  }
  for (const [name, group] of policy.smartGroups)
    for (const selector of group.any.length > 1 ? group.any : [])
      yield {
        ...setting,
        policy: { ...policy, smartGroups: new Map(policy.smartGroups).set(name, { ...group, any: [selector] }) },
      };
  for (const [name, group] of policy.webGroups) {
    const withGroup = (domains: typeof group.domains, urls: typeof group.urls): S => ({
      ...setting,
      policy: { ...policy, webGroups: new Map(policy.webGroups).set(name, { ...group, domains, urls }) },
    });
    if (group.domains.length + group.urls.length < 2) continue;
    for (const domain of group.domains) yield withGroup([domain], []);
    for (const url of group.urls) yield withGroup([], [url]);
  }
  for (const name of policy.smartGroups.keys()) {
    const smartGroups = new Map(policy.smartGroups);
    smartGroups.delete(name);
    yield { ...setting, policy: { ...policy, smartGroups } };
  }
  for (const name of policy.webGroups.keys()) {
    const webGroups = new Map(policy.webGroups);
    webGroups.delete(name);
    yield { ...setting, policy: { ...policy, webGroups } };
  }
  for (const index of context.workloads.keys()) {
    const inventory = without(context.workloads, index);
    yield { ...setting, policy: { ...policy, inventory }, context: { ...context, workloads: inventory } };
  }
  if (context.resolved.size > 0) yield { ...setting, context: { ...context, resolved: new Map() } };
  if (context.gatewayAddresses.length > 0) yield { ...setting, context: { ...context, gatewayAddresses: [] } };
  if (context.monitor) yield { ...setting, context: { ...context, monitor: false } };
}

function* smallerScenario(scenario: Scenario): Iterable<Scenario> {
  for (const index of scenario.facts.keys())
    if (scenario.facts.length > 1) yield { ...scenario, facts: without(scenario.facts, index) };
  yield* smallerSettings(scenario);
}

function* smallerScenarios(scenarios: Scenarios): Iterable<Scenarios> {
  if (scenarios.flows.length > 1) for (const flow of scenarios.flows) yield { ...scenarios, flows: [flow] };
  for (const [at, flow] of scenarios.flows.length === 1 ? scenarios.flows.entries() : [])
    for (const index of flow.length > 1 ? flow.keys() : [])
      yield { ...scenarios, flows: scenarios.flows.with(at, without(flow, index)) };
  yield* smallerSettings(scenarios);
}

const modeOf = (random: fc.Random, options: GeneratorOptions): Mode =>
  options.mode ?? (drawFrom(random).chance(75) ? 'valid' : 'wild');

const settingOf = (random: fc.Random, mode: Mode): Setting => {
  const draw = drawFrom(random);
  const at = draw.pick(instants);
  const policy = drawPolicy(draw, mode, at);
  return { policy, context: drawContext(draw, policy), at };
};

/** A policy with the gateway it runs on. Sizes: see `drawPolicy`. */
export const arbitraryPolicy = (options: GeneratorOptions = {}): fc.Arbitrary<Setting> =>
  new Generated((random) => settingOf(random, modeOf(random, options)), smallerSettings);

/** A policy with its gateway and one flow in it, of 1 to 5 steps; its addresses, names, ports and requests lie near those of a rule. */
export const arbitraryScenario = (options: GeneratorOptions = {}): fc.Arbitrary<Scenario> =>
  new Generated((random) => {
    const mode = modeOf(random, options);
    const setting = settingOf(random, mode);
    return { ...setting, facts: drawFacts(drawFrom(random), mode, setting) };
  }, smallerScenario);

/** A policy with its gateway and `flows` flows in it. */
export const arbitraryScenarios = (options: GeneratorOptions = {}): fc.Arbitrary<Scenarios> =>
  new Generated((random) => {
    const mode = modeOf(random, options);
    const setting = settingOf(random, mode);
    const prepared = prepare(setting.policy, setting.context);
    const draw = drawFrom(random);
    const flows = Array.from({ length: options.flows ?? 10 }, () => drawFacts(draw, mode, setting, prepared));
    return { ...setting, flows };
  }, smallerScenarios);

function* smallerTraffic(traffic: Traffic): Iterable<Traffic> {
  if (traffic.encounters.length > 1) for (const one of traffic.encounters) yield { ...traffic, encounters: [one] };
  yield* smallerSettings(traffic);
}

/** A valid policy with its gateway, and `flows` flows that meet it. `run --monitor` is never on: it is no stage of a promotion. */
export const arbitraryTraffic = (options: Omit<GeneratorOptions, 'mode'> = {}): fc.Arbitrary<Traffic> =>
  new Generated((random) => {
    const drawn = settingOf(random, 'valid');
    // What becomes of a claimed name in own mode is the gateway's doing, not the traffic's.
    const dnsMode = drawn.context.dnsMode === 'own' ? 'synthetic' : drawn.context.dnsMode;
    const setting = { ...drawn, context: { ...drawn.context, dnsMode, monitor: false } };
    const draw = drawFrom(random);
    return {
      ...setting,
      encounters: Array.from({ length: options.flows ?? 10 }, () => drawEncounter(draw, setting)),
      promotion: drawPromotion(draw, setting.policy),
    };
  }, smallerTraffic);
