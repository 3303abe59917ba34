import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import { canonicalName, type DomainName, parseAddress } from '@cofferdam/net';
import { decide, type LoadedPlan, loadPlan } from '@cofferdam/plan';
import { type Facts, unknown } from '@cofferdam/verdict';
import { bigPolicy } from './big-policy.ts';
import { median } from './statistics.ts';

/**
 * Compiling a large policy, loading it, and deciding with it in TypeScript. By itself, `node bench/compile.ts [rules] [groups] [runs]`
 * prints medians over runs of a small, a middling and a large one.
 */
export interface CompileTimes {
  /** Milliseconds. */
  readonly compile: number;
  readonly load: number;
  /** Nanoseconds. */
  readonly decide: number;
  /** Of the plan as JSON. */
  readonly bytes: number;
}

const timed = <T>(work: () => T): { value: T; ms: number } => {
  const start = performance.now();
  const value = work();
  return { value, ms: performance.now() - start };
};
const digest = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

const apiName = (): DomainName => {
  const name = canonicalName('api-3.example.com');
  if (!name.ok) throw new Error(name.error.message);
  return name.value;
};

const timeOfDeciding = (plan: LoadedPlan, at: number): number => {
  const facts: Facts = {
    at: at + 1000,
    source: parseAddress('10.0.0.3')!,
    interface: 'eth1',
    protocol: 'tcp',
    destination: parseAddress('93.184.216.34')!,
    destinationPort: 443,
    addressNames: [apiName()],
    tls: unknown,
    claimedName: unknown,
    plainHttpSeen: false,
    request: unknown,
    mcp: unknown,
  };
  const rounds = 200_000;
  for (let i = 0; i < rounds / 10; i++) decide(plan, facts);
  const { ms } = timed(() => {
    for (let i = 0; i < rounds; i++) decide(plan, facts);
  });
  return (ms * 1e6) / rounds;
};

/** One after another in this process: the first pays for what is not yet optimised. */
export const compileTimes = (rules: number, groups: number, runs: number): readonly CompileTimes[] => {
  const policy = bigPolicy(rules, groups);
  const at = Date.parse('2026-06-08T00:00:00Z');
  const context = {
    workloads: policy.inventory,
    resolved: new Map<DomainName, []>(),
    dnsMode: 'synthetic',
    gatewayAddresses: [],
    monitor: false,
  } as const;
  return Array.from({ length: runs }, () => {
    const compiled = timed(() => compile(policy, { ...context, at, revision: 1, digest }).plan);
    const loaded = timed(() => loadPlan(compiled.value));
    return {
      compile: compiled.ms,
      load: loaded.ms,
      decide: timeOfDeciding(loaded.value, at),
      bytes: JSON.stringify(compiled.value).length,
    };
  });
};

if (import.meta.main) {
  const [rules = 20_000, groups = 10_000, runs = 5] = process.argv.slice(2).map(Number);
  for (const [ruleCount, groupCount] of [
    [20, 20],
    [1000, 500],
    [rules, groups],
  ] as const) {
    const times = compileTimes(ruleCount, groupCount, runs);
    const of = (key: keyof CompileTimes): string => median(times.map((one) => one[key])).toFixed(0);
    console.log(
      `${ruleCount} rules, ${groupCount} groups: compile ${of('compile')} ms, load ${of('load')} ms, decide ${of('decide')} ns, plan ${of('bytes')} bytes`,
    );
  }
}
