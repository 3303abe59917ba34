import type { Selector, Workload } from '@cofferdam/policy';

type WorkloadSelector = Extract<Selector, { kind: 'workload' }>;

/** Which workloads a selector selects, as places in the inventory, rising. */
export type WorkloadIndex = (selector: WorkloadSelector) => readonly number[];

/**
 * Thousands of groups over thousands of workloads: each selector is checked only against the workloads that share its rarest key with it.
 */
export const indexWorkloads = (workloads: readonly Workload[]): WorkloadIndex => {
  const byKey = new Map<string, number[]>();
  for (const [i, workload] of workloads.entries()) {
    for (const key of keysOfWorkload(workload)) {
      const before = byKey.get(key);
      if (before === undefined) byKey.set(key, [i]);
      else before.push(i);
    }
  }
  const everyone = workloads.map((_, i) => i);
  return (selector) => {
    let candidates: readonly number[] = everyone;
    for (const key of keysOfSelector(selector)) {
      const sharing = byKey.get(key) ?? [];
      if (sharing.length < candidates.length) candidates = sharing;
    }
    return candidates.filter((i) => selects(selector, workloads[i]!));
  };
};

const keyed = (kind: string, ...parts: readonly string[]): string => [kind, ...parts].join('\0');

const keysOfWorkload = ({ name, labels, kubernetes, cloud }: Workload): string[] => [
  keyed('agent', name),
  ...Object.entries(labels).map(([key, value]) => keyed('label', key, value)),
  ...(kubernetes === undefined
    ? []
    : [keyed('cluster', kubernetes.cluster), keyed('namespace', kubernetes.cluster, kubernetes.namespace)]),
  ...(cloud === undefined ? [] : [keyed('account', cloud.provider, cloud.account)]),
];

const keysOfSelector = ({ agent, labels, kubernetes, cloud }: WorkloadSelector): string[] => [
  ...(agent === undefined ? [] : [keyed('agent', agent)]),
  ...Object.entries(labels ?? {}).map(([key, value]) => keyed('label', key, value)),
  ...(kubernetes === undefined ? [] : [keyed('cluster', kubernetes.cluster)]),
  ...(kubernetes?.namespace === undefined ? [] : [keyed('namespace', kubernetes.cluster, kubernetes.namespace)]),
  ...(cloud === undefined ? [] : [keyed('account', cloud.provider, cloud.account)]),
];

const selects = ({ agent, labels, kubernetes, cloud }: WorkloadSelector, workload: Workload): boolean =>
  allows(agent, workload.name) &&
  within(labels, workload.labels) &&
  (kubernetes === undefined ||
    (workload.kubernetes !== undefined &&
      kubernetes.cluster === workload.kubernetes.cluster &&
      allows(kubernetes.namespace, workload.kubernetes.namespace) &&
      within(kubernetes.labels, workload.kubernetes.labels))) &&
  (cloud === undefined ||
    (workload.cloud !== undefined &&
      cloud.provider === workload.cloud.provider &&
      cloud.account === workload.cloud.account &&
      allows(cloud.region, workload.cloud.region) &&
      allows(cloud.network, workload.cloud.network) &&
      allows(cloud.subnet, workload.cloud.subnet) &&
      within(cloud.tags, workload.cloud.tags)));

/** An absent key does not constrain. */
const allows = (wanted: string | undefined, found: string | undefined): boolean =>
  wanted === undefined || wanted === found;

const within = (
  wanted: Readonly<Record<string, string>> | undefined,
  found: Readonly<Record<string, string>>,
): boolean => Object.entries(wanted ?? {}).every(([key, value]) => Object.hasOwn(found, key) && found[key] === value);
