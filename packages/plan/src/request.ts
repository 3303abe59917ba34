import { domainPatternMatches, pathPatternMatches, urlPatternMatches } from '@cofferdam/net';
import type { Facts, McpFacts } from '@cofferdam/verdict';
import type { LoadedPlan } from './load.ts';
import { namesOf } from './name-reading.ts';

/** What a condition says of the facts. `unreadable`: it waits for a fact that came and cannot be trusted, so for ever. */
export type Outcome = 'yes' | 'no' | 'waits' | 'unreadable';

/** How an absent or unreadable fact counts: a deny matches what is no request, a permit does not; monitored containment does not wait. */
export interface Leaning {
  readonly permit: boolean;
  readonly monitored: boolean;
}

const whenAbsent = ({ permit }: Leaning): Outcome => (permit ? 'no' : 'yes');
const whenUnreadable = ({ permit, monitored }: Leaning): Outcome =>
  monitored ? (permit ? 'no' : 'yes') : 'unreadable';

/** The `http` and `mcp` conditions of a rule. */
export const requestOutcome = (loaded: LoadedPlan, rule: number, facts: Facts, leaning: Leaning): Outcome => {
  const conditions = loaded.requests.get(rule);
  if (conditions === undefined) return 'yes';
  const { methods, paths, mcp } = conditions;
  const ofHttp =
    loaded.plan.rules[rule]!.http === undefined
      ? 'yes'
      : outcome(facts.request, leaning, ({ method, path }) => {
          return (methods?.has(method) ?? true) && (paths?.some((p) => pathPatternMatches(p, path)) ?? true);
        });
  const ofMcp =
    mcp === undefined
      ? 'yes'
      : mcpOutcome(facts, leaning, ({ method, tool }) => {
          return (
            (mcp.methods?.has(method) ?? true) &&
            (mcp.tools === undefined || (tool !== undefined && mcp.tools.has(tool)))
          );
        });
  return both(ofHttp, ofMcp);
};

/**
 * The URL patterns of a rule whose `web` no domain pattern satisfies: a URL pattern counts where its host matches a name of the flow and
 * its whole matches the request.
 */
export const urlOutcome = (loaded: LoadedPlan, rule: number, facts: Facts, leaning: Leaning): Outcome => {
  if (facts.protocol !== 'tcp') return whenAbsent(leaning);
  const names = namesOf(loaded.plan.dnsMode, leaning.permit ? 'permit' : 'deny', facts);
  return outcome(facts.request, leaning, (request) =>
    (loaded.plan.rules[rule]!.web?.urls ?? []).some((id) => {
      const url = loaded.names.urls[id]!;
      // A deny looks at each of the flow's names, whatever host the request says.
      if (!leaning.permit) return names.some((host) => urlPatternMatches(url, { ...request, host }));
      return names.some((name) => domainPatternMatches(url.host, name)) && urlPatternMatches(url, request);
    }),
  );
};

/** A deny matches a body that is no JSON-RPC and a flow that is no HTTP, but not a request that has no body. */
const mcpOutcome = (facts: Facts, leaning: Leaning, matches: (call: McpFacts) => boolean): Outcome => {
  if (!leaning.permit && facts.mcp.state === 'unreadable') return 'yes';
  if (!leaning.permit && facts.mcp.state === 'absent') return facts.request.state === 'known' ? 'no' : 'yes';
  return outcome(facts.mcp, leaning, matches);
};

const outcome = <T>(
  fact: { readonly state: 'unknown' | 'absent' | 'unreadable' } | { readonly state: 'known'; readonly value: T },
  leaning: Leaning,
  matches: (value: T) => boolean,
): Outcome => {
  switch (fact.state) {
    case 'unknown':
      return 'waits';
    case 'absent':
      return whenAbsent(leaning);
    case 'unreadable':
      return whenUnreadable(leaning);
    case 'known':
      return matches(fact.value) ? 'yes' : 'no';
  }
};

/** Both conditions: one that is not met settles it; one that waits for ever outweighs one that waits. */
export const both = (a: Outcome, b: Outcome): Outcome => {
  for (const first of ['no', 'unreadable', 'waits'] as const) if (a === first || b === first) return first;
  return 'yes';
};

/** One of two alternatives is enough; one that waits for what may come outweighs one that waits for ever. */
export const either = (a: Outcome, b: Outcome): Outcome => {
  for (const first of ['yes', 'waits', 'unreadable'] as const) if (a === first || b === first) return first;
  return 'no';
};
