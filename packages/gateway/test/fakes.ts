import {
  type Address,
  type DomainName,
  domainPatternMatches,
  isExactPattern,
  isPublicInternet,
  parseAddress,
  parseDomainPattern,
} from '@cofferdam/net';
import type { NameClass } from '@cofferdam/plan';
import type { Decision, Facts, Reason } from '@cofferdam/verdict';
import type { Binding, Gate, GateAgent, GateRule, NameGrant } from '../src/index.ts';

export const address = (text: string): Address => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
};
export const name = (text: string): DomainName => text as DomainName;

const none = new Uint32Array(2);
export const noClasses: NameClass = { web: none, sure: none, every: none, host: none, resolves: none };

const pattern = (text: string) => {
  const parsed = parseDomainPattern(text);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
};

export interface FakeGateOptions {
  /** Domain patterns that every agent may resolve. */
  readonly domains?: readonly string[];
  readonly monitored?: boolean;
  readonly usable?: (address: Address) => boolean;
  readonly decide?: (facts: Facts) => Decision;
  readonly rules?: readonly GateRule[];
  readonly wouldBe?: Gate['wouldBe'];
}

export const permit = (
  rule: number | 'default' = 0,
  more: Partial<Extract<Decision, { kind: 'decided' }>> = {},
): Decision => ({
  kind: 'decided',
  verdict: 'permit',
  rule,
  stage: 'packet',
  reason: 'rule',
  path: 'proxy',
  restsOnName: false,
  ...more,
});

export const deny = (reason: Reason = 'no-rule', rule: number | 'default' = 'default'): Decision => ({
  ...(permit(rule) as Extract<Decision, { kind: 'decided' }>),
  verdict: 'deny',
  reason,
});

export const rule = (over: Partial<GateRule> & { name?: string } = {}): GateRule => ({
  reference: { index: 0, name: over.name ?? 'allow', ruleset: 'test', tier: 'agent' },
  action: 'permit',
  log: 'both',
  readsRequests: false,
  permitsWebSocket: false,
  refusesEch: false,
  decrypt: 'unspecified',
  ...over,
});

/** One agent, at 127.0.0.1 on `lo`; what it may resolve and reach is written in the test. */
export const fakeGate = (options: FakeGateOptions = {}): Gate => {
  const patterns = (options.domains ?? []).map(pattern);
  const grantOf = (_agent: GateAgent, asked: DomainName): NameGrant => {
    const matching = patterns.filter((one) => domainPatternMatches(one, asked));
    if (matching.some(isExactPattern)) return { kind: 'exact' };
    const first = matching[0];
    if (first !== undefined) return { kind: 'wildcard', suffix: first.fixed };
    return options.monitored === true ? { kind: 'lifted' } : { kind: 'none' };
  };
  return {
    revision: 1,
    agentAt: (source, onInterface) =>
      onInterface === 'lo'
        ? {
            name: 'coder',
            interface: onInterface,
            source,
            identity: { name: 'coder', labels: { team: 'platform' } },
            families: new Set([4, 6]),
            monitored: options.monitored === true,
          }
        : undefined,
    decide: options.decide ?? (() => permit()),
    wouldBe: options.wouldBe ?? (() => undefined),
    lifts: () => options.monitored === true,
    rule: (index) => (index === 'default' ? undefined : (options.rules ?? [rule()])[index]),
    grantOf,
    usableAddress: (_agent, _name, one) => (options.usable ?? isPublicInternet)(one),
    classesOf: () => noClasses,
  };
};

/** Remembers what it was asked to install; fails while `failing`. */
export const recordingInstaller = () => {
  const bindings: Binding[] = [];
  const installer = {
    bindings,
    failing: false,
    install: async (binding: Binding): Promise<void> => {
      if (installer.failing) throw new Error('the map is full');
      bindings.push(binding);
    },
  };
  return installer;
};
