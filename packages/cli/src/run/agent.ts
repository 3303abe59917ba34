import { commandAddresses } from '@cofferdam/gateway';
import type { PolicySet, Workload } from '@cofferdam/policy';
import { RunError } from './options.ts';

/** Names of agents that the SmartGroups speak of. */
export const agentNamesOf = (policy: PolicySet): readonly string[] => {
  const names = new Set<string>();
  for (const { any } of policy.smartGroups.values())
    for (const selector of any)
      if (selector.kind === 'workload' && selector.agent !== undefined) names.add(selector.agent);
  return [...names].sort();
};

/**
 * The workload that the command is. Without `--agent` it is the one that the policy speaks of; where that is none, or several,
 * the user has to say.
 */
export const commandWorkload = (
  policy: PolicySet,
  asked: string | undefined,
  labels: Readonly<Record<string, string>>,
  onInterface: string,
): Workload => {
  const known = agentNamesOf(policy);
  if (asked === undefined && known.length > 1)
    throw new RunError(
      `the policy speaks of ${known.length} agents: ${known.join(', ')}`,
      `say which one the command is: --agent ${known[0]}`,
      2,
    );
  const name = asked ?? known[0] ?? 'command';
  const written = policy.inventory.find((one) => one.name === name);
  return {
    ...written,
    name,
    addresses: commandAddresses,
    interface: onInterface,
    labels: { ...written?.labels, ...labels },
  };
};
